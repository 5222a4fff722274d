/** What the Redis Engine owes the protocol, with real servers: positions that never say too much, followers that keep no tail. */
import { spawnSync } from "node:child_process";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { comparePositions } from "../../src/agent/protocol/position.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const PASSWORDS = { quorate: `q:u'o "r\\#`, app: "a''p\\p% $(id)" } as const;
const spec = shippedSpec("redis");
const DEFAULTS = Object.entries(spec.parameters.defaults).map(([name, value]) => `${name}\t${value}\n`);

/** Asks a server as an account; what it refuses comes back as its words. */
function ask(member: HostMember, account: keyof typeof PASSWORDS, ...command: string[]): string {
  const env = { ...process.env, REDISCLI_AUTH: PASSWORDS[account] };
  const args = ["-p", String(member.port), "--user", account, ...command];
  const { stdout, stderr } = spawnSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" });
  return (stdout + stderr).trim();
}

const write = (member: HostMember, key: string): string => ask(member, "app", "set", key, "1");
const countOf = (member: HostMember, keys: string): number =>
  Number(ask(member, "app", "eval", `return #redis.call("keys", ARGV[1])`, "0", keys));
const endOf = async (member: HostMember): Promise<number> => Number((await member.observe()).position.value);

function setParameters(member: HostMember, ...lines: string[]): void {
  writeFileSync(member.parametersFile, [...DEFAULTS, ...lines].join(""));
}

/** Waits until each has everything that the leader has. */
async function untilEqual(leader: HostMember, ...followers: HostMember[]): Promise<void> {
  for (const follower of followers) {
    const order = async () => comparePositions((await follower.observe()).position, (await leader.observe()).position);
    await expect.poll(order, { timeout: 10_000, interval: 30 }).toBe("equal");
  }
}

describe.skipIf(!hasRedis)("redis", () => {
  let cluster: HostCluster;
  let a: HostMember;
  let b: HostMember;
  let c: HostMember;

  beforeEach(async () => {
    cluster = new HostCluster(await claimPorts(3), {
      spec,
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: REDIS_PROGRAMS,
    });
    [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
    for (const member of cluster.members) setParameters(member);
    await cluster.form(0);
    await untilEqual(a, b, c);
  });
  afterEach(() => cluster.close());

  it("tells leader and followers apart, and keeps the application to its task", async () => {
    expect(write(a, "k")).toBe("OK");
    await untilEqual(a, b, c);
    const leader = await a.observe();
    expect(leader).toMatchObject({ writable: true, receiving: false, version: expect.stringMatching(/^7\.\d+\.\d+$/) });
    expect(new Map(leader.followers.map((one) => [one.name, one.streaming]))).toEqual(
      new Map([
        ["orders-b", true],
        ["orders-c", true],
      ]),
    );
    expect(await b.observe()).toMatchObject({ writable: false, receiving: true, followers: [], replayLagSeconds: 0 });
    expect(ask(b, "app", "get", "k")).toBe("1");
    expect(write(b, "k")).toContain("READONLY");
    for (const command of ["replicaof no one", "config get *", "shutdown", "acl list"]) {
      expect(ask(a, "app", ...command.split(" "))).toContain("NOPERM");
    }
    expect(ask(a, "app", "debug", "sleep", "1")).toContain("not allowed"); // to nobody, whatever the account
    const commandLines = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" }).stdout;
    for (const password of Object.values(PASSWORDS)) expect(commandLines).not.toContain(password);
    expect(a.log).not.toContain(PASSWORDS.quorate);
  });

  it("counts what clients ask of the leader, and what it refused for a reason of its own", async () => {
    const counts = async (): Promise<{ served: number; failed: number }> =>
      (await a.driver.countRequests()) ?? { served: -1, failed: -1 };
    const before = await counts();
    for (let n = 0; n < 20; n++) write(a, `counted-${n}`);
    expect(ask(a, "app", "lpush", "counted-0", "1")).toContain("WRONGTYPE");
    expect((await counts()).served - before.served).toBe(21);
    expect((await counts()).failed, "what the client brought about").toBe(before.failed);
    for (let n = 0; n < 5; n++) await a.observe();
    expect((await counts()).served - before.served, "quorate's own questions").toBe(21);
    expect(ask(a, "quorate", "config", "set", "maxmemory", "1")).toBe("OK");
    for (let n = 0; n < 3; n++) expect(write(a, "counted-0")).toContain("OOM");
    expect(await counts()).toMatchObject({ served: before.served + 21, failed: before.failed + 3 });
    expect(await b.driver.countRequests(), "a follower, which carries out the leader's").toBeNull();
  });

  it("tells how long what clients asked of the leader took", async () => {
    const took = async () => (await a.driver.countRequests())?.took;
    write(a, "slow");
    const before = await took();
    // A script that works on a client's behalf for 30 ms; the server knows how long it took.
    const busy =
      "local n = 0; local t = redis.call('TIME'); repeat local u = redis.call('TIME'); n = (u[1]-t[1])*1000000 + u[2]-t[2] until n > 30000";
    ask(a, "app", "eval", busy, "0");
    for (let n = 0; n < 5; n++) await a.observe();
    const after = await took();
    const fast = (bound: string) => (after?.within[bound] ?? 0) - (before?.within[bound] ?? 0);
    expect(fast("0.017600"), "the script took longer, and the rest of it is part of it").toBe(
      (after?.requests ?? 0) - (before?.requests ?? 0) - 1,
    );
    expect(fast("4.480000")).toBe((after?.requests ?? 0) - (before?.requests ?? 0));
    expect((after?.seconds ?? 0) - (before?.seconds ?? 0)).toBeGreaterThan(0.03);
  });

  it("a sealed follower receives nothing more, also after a restart, and goes on where it was", async () => {
    await b.run("seal");
    const sealed = await b.observe();
    for (let n = 0; n < 20; n++) write(a, `sealed-${n}`);
    expect(sealed.receiving).toBe(false);
    expect((await b.observe()).position).toEqual(sealed.position);
    await b.stop();
    expect((await b.start()).position).toEqual(sealed.position);
    expect(await b.observe()).toMatchObject({ receiving: false, writable: false });
    await b.follow(a);
    await untilEqual(a, b);
    expect(b.log).toContain("Master accepted a Partial Resynchronization");
    expect(countOf(b, "sealed-*")).toBe(20);
  });

  it("a planned stop leaves the followers with every byte, and the leader comes back without a new copy", async () => {
    for (let n = 0; n < 200; n++) write(a, `planned-${n}`);
    await a.stop();
    expect(countOf(b, "planned-*")).toBe(200);
    expect(await endOf(b)).toBe(await endOf(c));
    await cluster.promote(b, [], 0);
    const stopped = (await a.start()).position;
    expect(comparePositions(stopped, (await b.observe()).position)).toBe("behind");
    await a.follow(b);
    await untilEqual(b, a);
    expect(a.log).toContain("Master accepted a Partial Resynchronization");
  });

  it("a killed member never says more than it holds, and holds what was acknowledged", async () => {
    for (let n = 0; n < 20; n++) write(a, `before-${n}`);
    const seen = (await a.observe()).position;
    for (let n = 0; n < 20; n++) write(a, `after-${n}`);
    const end = await endOf(a);
    await a.kill();
    const { position } = await a.start();
    expect(position.history).toBe(seen.history);
    expect(Number(position.value)).toBeGreaterThanOrEqual(Number(seen.value));
    expect(Number(position.value)).toBeLessThanOrEqual(end);
    expect(countOf(a, "*-[0-9]*")).toBe(40);
  });

  it("everybody killed: the last leader leads again with every acknowledged key, and the others take its copy", async () => {
    for (let n = 0; n < 50; n++) write(a, `all-${n}`);
    await a.observe();
    const before = (await a.observe()).position;
    for (const member of cluster.members) await member.kill();
    for (const member of cluster.members) await member.start();
    await cluster.promote(a, [], 0);
    expect(countOf(a, "all-*")).toBe(50);
    const after = (await a.observe()).position;
    expect(comparePositions(before, after)).toBe("behind");
    for (const member of [b, c]) await member.follow(a);
    await untilEqual(a, b, c);
    expect(countOf(c, "all-*")).toBe(50);
    expect((await a.observe()).position.history).toBe(after.history);
  });

  /** The leader is killed with writes that others have and nobody saw of it; the others are sealed, as by a candidate. */
  async function killAfterUnseenWrites(leader: HostMember, ...others: HostMember[]): Promise<void> {
    for (let n = 0; n < 50; n++) write(leader, `unseen-${n}`);
    for (const other of others) await expect.poll(() => countOf(other, "unseen-*"), { timeout: 10_000 }).toBe(50);
    await leader.kill();
    for (const other of others) await other.run("seal");
  }

  it("a leader that was killed leads again: followers that have more than was seen of it need not be made anew", async () => {
    for (let round = 0; round < 2; round++) {
      await a.observe();
      await killAfterUnseenWrites(a, b, c);
      await a.start();
      await cluster.promote(a, [], 0);
      for (const follower of [b, c]) await follower.follow(a);
      await untilEqual(a, b, c);
      expect([a, b, c].map((member) => countOf(member, "unseen-*"))).toEqual([50, 50, 50]);
      ask(a, "app", "del", ...Array.from({ length: 50 }, (_, n) => `unseen-${n}`));
      await untilEqual(a, b, c);
    }
  });

  it.each([
    ["a write may reach them before the log", true],
    ["so it may since the last look", false],
  ])("followers with a tail that the leader's log may lack are refused: %s", async (_, isLookedAt) => {
    await a.observe();
    setParameters(a, "appendfsync\teverysec\n");
    await a.run("reload");
    if (isLookedAt) await a.observe();
    await killAfterUnseenWrites(a, b, c);
    await a.start();
    await cluster.promote(a, [], 0);
    await expect(b.follow(a)).rejects.toMatchObject({ code: 3, message: expect.stringContaining("diverged") });
  });

  it("one that led and then followed does not speak for its next leader's log", async () => {
    await a.observe();
    await a.stop();
    await cluster.promote(b, [], 0);
    await a.start();
    for (const follower of [a, c]) await follower.follow(b);
    await untilEqual(b, a, c);
    await a.run("seal");
    await killAfterUnseenWrites(b, c);
    await a.kill();
    await a.start();
    await cluster.promote(a, [], 0);
    await expect(c.follow(a)).rejects.toMatchObject({ code: 3, message: expect.stringContaining("diverged") });
  });

  it("positions stay comparable over failovers, also for one that slept through two of them", async () => {
    await c.stop();
    const slept = (await a.observe()).position;
    let [from, to]: [HostMember, HostMember] = [a, b];
    for (let round = 0; round < 3; round++) {
      write(from, `round-${round}`);
      await untilEqual(from, to);
      const old = (await from.observe()).position;
      await from.stop();
      await cluster.promote(to, [], 0);
      const { position } = await to.observe();
      expect(comparePositions(old, position)).toBe("behind");
      expect(comparePositions(slept, position)).toBe("behind");
      await from.start();
      await from.follow(to);
      await untilEqual(to, from);
      [from, to] = [to, from];
    }
    const { position } = await c.start();
    expect(comparePositions(position, (await from.observe()).position)).toBe("behind");
    await c.follow(from);
    await untilEqual(from, c);
    expect(countOf(c, "round-*")).toBe(3);
  });

  it("a member with a tail of its own refuses to follow, and loses the tail with a new copy", async () => {
    for (const follower of [b, c]) await follower.run("seal");
    write(a, "tail");
    await a.observe();
    await a.kill();
    await cluster.promote(b, [], 0);
    write(b, "kept");
    await a.start();
    await expect(a.follow(b)).rejects.toMatchObject({
      code: 3,
      message: expect.stringContaining("diverged: the leader left"),
    });
    expect(await a.observe()).toMatchObject({ receiving: false });
    await a.stop();
    await expect(a.run("rejoin", HostMember.following(b))).rejects.toMatchObject({ code: 3 });
    await a.run("clone", HostMember.following(b));
    await a.start();
    await a.follow(b);
    await untilEqual(b, a);
    expect([countOf(a, "tail"), countOf(a, "kept")]).toEqual([0, 1]);
  });

  it("what scripts and transactions wrote is there after a crash", async () => {
    ask(a, "app", "eval", `for n = 1, 50 do redis.call("set", "script-" .. n, n) end`, "0");
    await untilEqual(a, b);
    await b.kill();
    await b.start();
    expect(countOf(b, "script-*")).toBe(50);
    await b.follow(a);
    await untilEqual(a, b);
  });

  it("a copy that was cut short leaves what was there, and can be made again", async () => {
    ask(a, "app", "eval", `for n = 1, 20000 do redis.call("set", "bulk-" .. n, string.rep("x", 500)) end`, "0");
    await untilEqual(a, b);
    await b.stop();
    const context = HostMember.following(a);
    for (const afterMs of [5, 20, 60, 120]) {
      const ending = new AbortController();
      const cloning = b.driver.run("clone", context, ending.signal);
      await pause(afterMs);
      ending.abort();
      await cloning.catch(() => undefined);
      await b.start();
      expect(countOf(b, "bulk-*")).toBe(20_000);
      await b.stop();
    }
    rmSync(`${b.dataDir}.replaced`, { recursive: true, force: true }); // of one that was cut short after them
    renameSync(b.dataDir, `${b.dataDir}.replaced`); // cut short between its two renames
    await b.start();
    expect(countOf(b, "bulk-*")).toBe(20_000);
    await b.stop();
    await b.run("clone", context);
    await b.start();
    await b.follow(a);
    await untilEqual(a, b);
  });

  it("a member killed while it takes over its leader's data comes back with a copy that is whole", async () => {
    ask(a, "app", "eval", `for n = 1, 50000 do redis.call("set", "bulk-" .. n, string.rep("x", 200)) end`, "0");
    await untilEqual(a, b);
    for (const afterMs of [10, 60, 150, 300]) {
      await b.kill(); // from its log it starts without a position that its leader knows, and has to be sent everything
      await b.start();
      await b.follow(a);
      await pause(afterMs);
      const { position } = await b.observe();
      expect(comparePositions(position, (await a.observe()).position)).not.toBe("incomparable");
      await b.kill();
      await b.start();
      expect(countOf(b, "bulk-*")).toBe(50_000);
    }
  });

  it("takes parameters while it runs, all or none, and forgets those that are taken away", async () => {
    const valueOf = (name: string): string | undefined => ask(a, "quorate", "config", "get", name).split("\n")[1];
    expect(valueOf("appendfsync")).toBe("always");
    const maxmemory = valueOf("maxmemory");
    setParameters(a, "maxmemory\t50mb\n", "timeout\t300\n");
    await a.run("reload");
    expect([valueOf("maxmemory"), valueOf("timeout")]).toEqual([String(50 * 1024 * 1024), "300"]);
    setParameters(a, "maxmemory\t60mb\n", "timeout\tsoon\n");
    await expect(a.run("reload")).rejects.toMatchObject({ code: 3, message: expect.stringContaining("timeout") });
    expect([valueOf("maxmemory"), valueOf("timeout")]).toEqual([String(50 * 1024 * 1024), "300"]);
    setParameters(a, "maxmemory\t50mb\n");
    await a.run("reload");
    expect(valueOf("timeout")).toBe("0");
    setParameters(a);
    await a.run("reload");
    expect(valueOf("maxmemory")).toBe(maxmemory);
    setParameters(a, "replicaof\t10.0.0.1 6379\n");
    await expect(a.run("reload")).rejects.toMatchObject({
      code: 3,
      message: expect.stringContaining("set by quorate"),
    });
  });

  it("declares as reloadable what the server lets be changed, and nothing else that is the user's", () => {
    const all = ask(a, "quorate", "config", "get", "*").split("\n");
    const valueOf = new Map(all.flatMap((name, at) => (at % 2 === 0 ? [[name, all[at + 1] ?? ""] as const] : [])));
    for (const name of spec.parameters.reloadable) {
      expect(`${name}: ${ask(a, "quorate", "config", "set", name, valueOf.get(name) ?? "unknown")}`).toBe(
        `${name}: OK`,
      );
    }
  });

  it("cannot be made to promise what it does not keep", async () => {
    await expect(cluster.setSyncSet(a, [b, c], 1)).rejects.toThrow("choose durability.mode Async");
    expect(spec.durabilityModes).toEqual(["Async"]);
  });
});
