/** The Redis Engine as shards of one data set, with real servers: slots belong to the data, and keys stay within reach of a client. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ShardClient } from "../../hack/scenario/shard-client.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPortRow, secondPort } from "../../src/conformance/ports.ts";
import { HostAuthority } from "./host-authority.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRedis, INSISTENT_CLIENT, REDIS_PROGRAMS } from "./host-redis.ts";

const PASSWORDS = { quorate: `q:u'o "r\\#`, app: "app-password" } as const;
const MEMBERS = 2;
const MOST_SHARDS = 3;
/** From here on the kernel gives ports to connections. */
const FIRST_GIVEN_PORT = 32_768;
const spec = shippedSpec("redis");

/** Port of the first member's server; the others' follow. */
let firstPort: number;

/** Claims ports of servers whose member ports no connection can have. */
async function claimRow(): Promise<number> {
  const count = MOST_SHARDS * MEMBERS;
  for (;;) {
    const first = await claimPortRow(count);
    if (memberPortOf(first + count) < FIRST_GIVEN_PORT) return first;
  }
}

/** As the servers' configuration has it when nothing else is said. */
const memberPortOf = (port: number): number => port + 10_000;

/** Whom members trust when they speak TLS; undefined when they do not. */
let authority: HostAuthority | undefined;

/** Where other members find the server whose plain port that is. */
function meetingPort(port: number): number {
  return authority === undefined ? port : secondPort(port);
}

function peersOf(shards: number): string {
  return Array.from({ length: shards * MEMBERS }, (_, at) => {
    const port = firstPort + at;
    const member = `cache-s${Math.floor(at / MEMBERS)}-${String.fromCodePoint(97 + (at % MEMBERS))}`;
    return `${member}=127.0.0.1:${meetingPort(port)}:${memberPortOf(port)}`;
  }).join(",");
}

function makeShard(index: number, shards: number): HostCluster {
  const ports = Array.from({ length: MEMBERS }, (_, at) => firstPort + index * MEMBERS + at);
  const shard = new HostCluster(ports, {
    spec,
    user: userOf("nobody"),
    passwords: PASSWORDS,
    programs: REDIS_PROGRAMS,
    name: `cache-s${index}`,
    context: { QUORATE_SHARD_PEERS: peersOf(shards), QUORATE_PEER_DIR: authority?.folder ?? "" },
    ...(authority === undefined ? {} : { tlsPortOf: secondPort }),
  });
  const defaults = Object.entries(spec.parameters.defaults).map(([name, value]) => `${name}\t${value}\n`);
  for (const member of shard.members) writeFileSync(member.parametersFile, defaults.join(""));
  return shard;
}

/** Sends commands as account `app`, as a client that goes where servers send it. @returns the answers, a line each. */
function ask(
  member: HostMember,
  commands: readonly string[],
  encrypted = authority !== undefined,
  ...options: readonly string[]
): string[] {
  const env = { ...process.env, REDISCLI_AUTH: PASSWORDS.app };
  const how = encrypted ? ["--tls", "--cacert", join(authority?.folder ?? "", "ca.crt")] : [];
  const port = encrypted ? meetingPort(member.port) : member.port;
  const args = ["-c", "-p", String(port), ...how, "--user", "app", ...options];
  const { stdout } = spawnSync(REDIS_PROGRAMS["redis-cli"], args, {
    env,
    encoding: "utf8",
    input: commands.join("\n"),
  });
  return stdout
    .trim()
    .split("\n")
    .filter((line) => !line.startsWith("->"));
}

const KEYS = Array.from({ length: 300 }, (_, at) => `key:"${at}`);
const quoted = (key: string): string => JSON.stringify(key);

/** How many of the keys are found with their value. */
function present(member: HostMember): number {
  const answers = ask(
    member,
    KEYS.map((key) => `get ${quoted(key)}`),
  );
  return KEYS.filter((key, at) => answers[at] === key).length;
}

function put(member: HostMember): void {
  const answers = ask(
    member,
    KEYS.map((key) => `set ${quoted(key)} ${quoted(key)}`),
  );
  expect(new Set(answers)).toEqual(new Set(["OK"]));
}

async function slotsOf(member: HostMember): Promise<unknown> {
  return (await member.observe()).shard;
}

/** The two members of a shard, the one with the more advanced copy first. */
async function byAdvance(shard: HostCluster): Promise<[HostMember, HostMember]> {
  const [a, b] = [shard.member(0), shard.member(1)];
  const [ofA, ofB] = [await a.observe(), await b.observe()].map(({ position }) => BigInt(position?.value ?? 0));
  return (ofB ?? 0n) > (ofA ?? 0n) ? [b, a] : [a, b];
}

/** Waits until `member` sees keys of every slot within reach: gossip takes a second or two. */
function untilReached(member: HostMember): Promise<void> {
  return expect.poll(() => present(member), { timeout: 20_000, interval: 200 }).toBe(KEYS.length);
}

/** Servers that have just met take no writes for some seconds. */
async function untilWorking(leader: HostMember): Promise<void> {
  const info = () => ask(leader, ["cluster info"]).join();
  await expect.poll(info, { timeout: 20_000 }).toMatch(/cluster_state:ok[^]*slots_ok:16384/);
}

describe.skipIf(!hasRedis).each([{ how: "without TLS" }, { how: "with TLS" }])("redis as shards $how", ({ how }) => {
  let shards: HostCluster[] = [];
  let first: HostMember;
  let second: HostMember;

  /** Everybody looks, and so meets everybody, as agents do every second. */
  async function untilMet(): Promise<void> {
    const members = shards.flatMap((shard) => shard.members).filter((member) => member.running);
    await expect
      .poll(
        async () => {
          for (const member of members) await member.observe();
          const known = members.map((member) => ask(member, ["cluster info"]).join());
          return known.every((text) => text.includes(`cluster_known_nodes:${members.length + 1}`));
        },
        { timeout: 20_000, interval: 300 },
      )
      .toBe(true);
  }

  beforeAll(async () => {
    firstPort = await claimRow();
    authority = how === "with TLS" ? new HostAuthority("*.cache-s0-members.shop.svc") : undefined;
  });
  afterAll(() => authority?.remove());

  beforeEach(async () => {
    shards = [makeShard(0, 2), makeShard(1, 2)];
    for (const shard of shards) await shard.form(0);
    [first, second] = shards.map((shard) => shard.member(0)) as [HostMember, HostMember];
    await first.run("assignSlots", { QUORATE_SLOTS: "0-8191" });
    await second.run("assignSlots", { QUORATE_SLOTS: "8192-16383" });
    await untilMet();
    for (const leader of [first, second]) await untilWorking(leader);
    put(first);
  });
  afterEach(async () => {
    for (const shard of shards) await shard.close();
  });

  it("keys are found through every member, and followers know what their leader owns", async () => {
    for (const member of shards.flatMap((shard) => shard.members)) expect(present(member)).toBe(KEYS.length);
    const follower = shards[0]?.member(1) ?? first;
    expect(await slotsOf(follower)).toEqual({ slots: "0-8191", moving: "", movingTo: "" });
    expect(ask(first, ["function flush"]).join()).toContain("NOPERM");
    await first.run("probeWrite", { QUORATE_EPOCH: "1" });
    await second.run("probeWrite", { QUORATE_EPOCH: "1" });
    const loads = await Promise.all([first, second].map((leader) => leader.driver.measureSlots()));
    expect(loads.reduce((sum, { keys }) => sum + keys, 0)).toBeGreaterThanOrEqual(KEYS.length);
    for (const { operations } of loads) expect(operations).toBeGreaterThan(KEYS.length / 3);
  });

  it.skipIf(how === "without TLS")(
    "members speak nothing but TLS with each other; clients go on as they came",
    async () => {
      const members = shards.flatMap((shard) => shard.members);
      // The bus: whoever comes with TLS is shown the certificate, and there is no other way in.
      for (const { port } of members) {
        const shown = await new Promise<string | undefined>((resolve, reject) => {
          const socket = connect({ host: "127.0.0.1", port: memberPortOf(port), rejectUnauthorized: false }, () => {
            resolve(socket.getPeerX509Certificate()?.subject);
            socket.destroy();
          });
          socket.once("error", reject);
        });
        expect(shown).toBe("CN=quorate member");
      }
      for (const leader of [first, second]) {
        const env = { ...process.env, REDISCLI_AUTH: PASSWORDS.quorate };
        const args = ["-p", String(leader.port), "--user", "quorate", "client", "list", "type", "replica"];
        const { stdout } = spawnSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" });
        expect([...stdout.matchAll(/ laddr=\S*:(\d+) /g)].map(([, port]) => Number(port))).toEqual([leader.tlsPort]);
      }
      const nodes = (encrypted: boolean) =>
        ask(first, ["cluster nodes"], encrypted).filter((line) => !line.includes(":1@1"));
      const portsOf = (lines: readonly string[]) => lines.map((line) => /:(\d+)@/.exec(line)?.[1] ?? line).toSorted();
      expect(portsOf(nodes(true))).toEqual(members.map(({ port }) => String(secondPort(port))).toSorted());
      expect(portsOf(nodes(false))).toEqual(members.map(({ port }) => String(port)).toSorted());
      const answers = ask(
        first,
        KEYS.map((key) => `get ${quoted(key)}`),
        false,
      );
      expect(KEYS.filter((key, at) => answers[at] === key)).toHaveLength(KEYS.length);
    },
  );

  it.skipIf(how === "without TLS")(
    "a renewed certificate, and then another authority, change nothing for clients",
    async () => {
      const members = shards.flatMap((shard) => shard.members);
      const stages = [
        () => authority?.issue(),
        () => authority?.announce(),
        () => authority?.issue(),
        () => authority?.settle(),
      ];
      for (const stage of stages) {
        stage();
        for (const member of members) {
          await member.run("reload");
          expect(present(first)).toBe(KEYS.length);
        }
      }
      const [shard] = shards as [HostCluster];
      const follower = shard.member(1);
      await pause(1100); // a follower confirms once a second
      await first.kill();
      await shard.promote(follower, [], 0);
      await untilReached(second);
      // Whoever starts now has nothing but the new files.
      await first.start();
      await first.follow(follower);
      await expect.poll(async () => (await follower.observe()).followers[0]?.streaming, { timeout: 10_000 }).toBe(true);
      await untilReached(first);
    },
  );

  it("slots that another shard owns are refused, and so are any while nobody says what that shard owns", async () => {
    const [, other] = shards as [HostCluster, HostCluster];
    const assigned = first.run("assignSlots", { QUORATE_SLOTS: "8000-8200" });
    await expect(assigned).rejects.toThrow("slots 8192-8200 are owned by cache-s1, as cache-s1-a says");
    await first.run("assignSlots", { QUORATE_SLOTS: "0-8191" }); // its own are its own
    for (const member of other.members) await member.kill();
    const unsure = first.run("assignSlots", { QUORATE_SLOTS: "8192" });
    await expect(unsure).rejects.toThrow("cache-s1 does not say which slots it owns");
    expect(await slotsOf(first)).toEqual({ slots: "0-8191", moving: "", movingTo: "" });
  });

  it("a shard that lost its leader is led by its follower, with its slots; the former leader comes back owning nothing", async () => {
    const [shard] = shards as [HostCluster];
    const follower = shard.member(1);
    await expect.poll(async () => (await first.observe()).followers[0]?.streaming).toBe(true);
    await pause(1100); // a follower confirms once a second
    await first.kill();
    await shard.promote(follower, [], 0);
    await untilReached(second);
    expect(await slotsOf(follower)).toEqual({ slots: "0-8191", moving: "", movingTo: "" });
    expect(await first.start()).toMatchObject({ writable: false, receiving: false });
    await expect(first.run("probeWrite", { QUORATE_EPOCH: "3" })).rejects.toThrow("the server is not a leader");
    expect(ask(first, ["cluster nodes"]).find((line) => line.includes("myself"))).toMatch(/ connected$/);
    await first.follow(follower);
    await expect.poll(async () => (await follower.observe()).followers[0]?.streaming, { timeout: 10_000 }).toBe(true);
    expect(present(second)).toBe(KEYS.length);
  });

  it("a server that has just read its log is not taken for a leader", async () => {
    const [shard] = shards as [HostCluster];
    // Long enough to read for somebody to ask meanwhile.
    const many = Array.from({ length: 60_000 }, (_, at) => `set {2}${at} ${at}`);
    expect(ask(first, many, undefined, "--pipe").at(-1)).toBe("errors: 0, replies: 60000");
    writeFileSync(join(shard.root, "bin", "redis-cli"), INSISTENT_CLIENT, { mode: 0o755 });
    for (let time = 0; time < 3; time++) {
      await first.kill();
      expect(await first.start()).toMatchObject({ writable: false, receiving: false });
    }
  });

  it("a leader that was killed and leads again takes writes at once, and keys are within reach of all others", async () => {
    await first.kill();
    await first.start();
    await first.run("seal");
    await first.run("promote", { QUORATE_EPOCH: "2" });
    // Redis holds a leader back for 5 s that has not known a majority of the others.
    const info = () => ask(first, ["cluster info"]).join();
    await expect.poll(info, { timeout: 2000, interval: 50 }).toContain("cluster_state:ok");
    await untilReached(first);
    await untilReached(second);
    expect(await slotsOf(first)).toEqual({ slots: "0-8191", moving: "", movingTo: "" });
  });

  it("servers that all come back at other addresses find each other again", async () => {
    const members = shards.flatMap((shard) => shard.members);
    for (const member of members) await member.kill();
    for (const member of members) {
      // As if every pod had another address: what each remembers of the others leads nowhere.
      const nodes = join(member.dataDir, "nodes.conf");
      writeFileSync(nodes, readFileSync(nodes, "utf8").replaceAll("127.0.0.1:", "192.0.2.1:"));
      await member.start();
    }
    for (const shard of shards) {
      const [leader, follower] = await byAdvance(shard);
      await shard.promote(leader, [], 0);
      await follower.follow(leader);
    }
    await untilMet();
    await untilReached(first);
    expect(ask(first, ["cluster nodes"]).join()).not.toContain("192.0.2.1");
  });

  it("everybody killed: each shard is led again, with its slots and all keys", async () => {
    for (const shard of shards) for (const member of shard.members) await member.kill();
    for (const shard of shards) for (const member of shard.members) await member.start();
    for (const shard of shards) {
      // As an election would have it: what was seen of the follower last may be later than what was seen of the leader.
      const [leader, follower] = await byAdvance(shard);
      await shard.promote(leader, [], 0);
      await follower.follow(leader);
    }
    await untilMet();
    await untilReached(first);
    expect(await slotsOf(second)).toMatchObject({ slots: "8192-16383" });
  });

  it("slots move with their keys to a new shard and back, under a client that counts", {
    timeout: 300_000,
  }, async () => {
    const third = makeShard(2, 3);
    shards.push(third);
    await third.form(0);
    await untilMet();
    await untilWorking(third.member(0));
    const to = (shard: HostCluster) => {
      const leader = shard.member(0);
      return {
        QUORATE_TARGET: leader.name.slice(0, -2),
        QUORATE_TARGET_HOST: "127.0.0.1",
        QUORATE_TARGET_PORT: String(meetingPort(leader.port)),
      };
    };
    const addresses = shards.map((shard) => `127.0.0.1:${shard.member(0).port}`);
    const client = new ShardClient({ members: () => Promise.resolve(addresses), password: PASSWORDS.app, writers: 2 });
    client.start();
    await first.run("moveSlots", { QUORATE_SLOTS: "5462-8191", ...to(third) });
    await second.run("moveSlots", { QUORATE_SLOTS: "8192-10922", ...to(third) });
    expect(await slotsOf(third.member(0))).toEqual({ slots: "5462-10922", moving: "", movingTo: "" });
    expect(await slotsOf(first)).toEqual({ slots: "0-5461", moving: "", movingTo: "" });
    await untilReached(second);
    expect(Number(ask(third.member(0), ["dbsize"])[0])).toBeGreaterThan(50);
    await third.member(0).run("moveSlots", { QUORATE_SLOTS: "5462-10922", ...to(shards[0] as HostCluster) });
    await untilReached(second);
    expect(await slotsOf(first)).toEqual({ slots: "0-10922", moving: "", movingTo: "" });
    const verdict = await client.finish();
    expect(verdict).toMatchObject({ lost: 0 });
    expect(verdict.acked).toBeGreaterThan(50);
    expect(ask(third.member(0), ["dbsize"])).toEqual(["0"]);
  });

  it("a move that was cut short goes on when the giver's former leader has come back as a follower", async () => {
    const [shard] = shards as [HostCluster];
    const [, follower] = shard.members as [HostMember, HostMember];
    const context = {
      QUORATE_SLOTS: "6000-8191",
      QUORATE_TARGET: "cache-s1",
      QUORATE_TARGET_HOST: "127.0.0.1",
      QUORATE_TARGET_PORT: String(meetingPort(second.port)),
    };
    const ending = new AbortController();
    const moving = first.driver.run("moveSlots", context, ending.signal);
    // Some keys are with the taker, and the slots are on their way at both.
    const hasBegun = () => ask(second, ["cluster nodes"]).join().includes("[6000-<-");
    await expect.poll(hasBegun, { timeout: 10_000, interval: 5 }).toBe(true);
    ending.abort();
    await moving.catch(() => undefined);
    await pause(1100); // a follower confirms once a second
    await first.kill();
    await shard.promote(follower, [], 0);
    await first.start();
    await first.follow(follower);
    // The taker hears that who owned the slots leads no more: from then on it takes them for nobody's.
    await expect.poll(() => ask(second, ["cluster info"]).join(), { timeout: 20_000 }).toMatch(/slots_assigned:14192/);
    await follower.run("moveSlots", context);
    await untilReached(follower);
    expect(await slotsOf(second)).toEqual({ slots: "6000-16383", moving: "", movingTo: "" });
  });

  it("a move that was cut short goes on, also under the giver's next leader", async () => {
    const [shard, other] = shards as [HostCluster, HostCluster];
    const target = {
      QUORATE_TARGET: "cache-s1",
      QUORATE_TARGET_HOST: "127.0.0.1",
      QUORATE_TARGET_PORT: String(meetingPort(second.port)),
    };
    const context = { QUORATE_SLOTS: "6000-8191", ...target };
    for (const afterMs of [150, 300, 450, 600]) {
      const ending = new AbortController();
      const moving = first.driver.run("moveSlots", context, ending.signal);
      await pause(afterMs);
      ending.abort();
      await moving.catch(() => undefined);
    }
    await first.kill();
    const follower = shard.member(1);
    await shard.promote(follower, [], 0);
    await follower.run("moveSlots", context);
    await untilReached(other.member(0));
    expect(await slotsOf(follower)).toEqual({ slots: "0-5999", moving: "", movingTo: "" });
    expect(await slotsOf(second)).toEqual({ slots: "6000-16383", moving: "", movingTo: "" });
  });
});
