/**
 * Members of an engine that acknowledges before its followers have a write, under real agents: planned changes lose nothing;
 * unplanned ones lose nothing of what followers have confirmed to the client. Times are printed, never asserted.
 */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RedisClient } from "../../hack/scenario/redis-client.ts";
import type { RedisAddress } from "../../hack/scenario/redis-connection.ts";
import { pause } from "../../hack/scenario/shell.ts";
import { hasRedis, REDIS_PROGRAMS } from "../engine/host-redis.ts";
import { shippedSpec } from "../engine/host-cluster.ts";
import { MemberCluster, type TestMember } from "./harness.ts";
import type { LeaseStatus } from "./lease-status.ts";

const REDIS = { name: "redis", user: { uid: 65534, gid: 65534 }, programs: REDIS_PROGRAMS };
const SERVER = /^redis-server/;
const AGENT = /^\S*node (?:--\S+ )*\S*agent\.mjs run/;

let cluster: MemberCluster;

/** The epoch in which a member leads; undefined while it does not. */
async function epochOf(member: TestMember): Promise<number | undefined> {
  const status = (await cluster.status(member).catch(() => undefined)) as LeaseStatus | undefined;
  return status?.state?.role.kind === "leader" ? status.state.role.epoch : undefined;
}

/** Waits until somebody leads in a later epoch, whoever it is. */
function untilLedAnew(epoch: number): Promise<number> {
  return cluster.until(`a leader in a later epoch than ${epoch}`, async () => {
    const leader = await cluster.routed().catch(() => undefined);
    const now = leader === undefined ? undefined : await epochOf(leader);
    return now !== undefined && now > epoch ? now : undefined;
  });
}

async function plainRoute(): Promise<RedisAddress | undefined> {
  const member = await cluster.routed();
  return member === undefined ? undefined : { host: "127.0.0.1", port: member.ports.engine };
}

/** For clients that believe nobody but the cluster's authority. */
async function tlsRoute(): Promise<RedisAddress | undefined> {
  const member = await cluster.routed();
  if (member === undefined) return undefined;
  const ca = await readFile(join(cluster.folder, "peer/ca.crt"), "utf8");
  return { host: "127.0.0.1", port: member.ports.tls, tls: { ca } };
}

/** Fingerprint of the certificate that a member's server shows. */
async function shownBy({ ports }: TestMember): Promise<string | undefined> {
  const ca = await readFile(join(cluster.folder, "peer/ca.crt"), "utf8");
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: ports.tls, ca }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

/** Ports of a leader's server at which followers copy. */
async function copiedAt({ ports }: TestMember): Promise<number[]> {
  const env = { ...process.env, REDISCLI_AUTH: await cluster.password("quorate") };
  const args = ["-p", String(ports.engine), "--user", "quorate", "client", "list", "type", "replica"];
  const text = execFileSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" });
  return [...text.matchAll(/ laddr=\S*:(\d+) /g)].map(([, port]) => Number(port));
}

/** Runs `change` under a client that waits for `followers` of them, and judges what the client saw. */
async function expectNothingLost(
  followers: number,
  change: (leader: TestMember) => Promise<void>,
  route = plainRoute,
): Promise<void> {
  const leader = await cluster.untilWhole();
  const client = new RedisClient(route, await cluster.password("app"), followers);
  client.start();
  await pause(1500);
  await change(leader);
  await cluster.untilWhole();
  const { acked } = client;
  await cluster.until("writes to go on", () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
  const verdict = await client.finish();
  const { largestGapMs, unknown } = verdict;
  process.stdout.write(`  largest write gap ${largestGapMs} ms, ${verdict.acked} keys, ${unknown} unknown\n`);
  expect(verdict.acked).toBeGreaterThan(20);
  expect(verdict.lost).toBe(0);
}

describe.skipIf(!hasRedis)("redis", () => {
  beforeAll(async () => {
    cluster = await MemberCluster.create(3, REDIS);
    const { defaults } = shippedSpec("redis").parameters;
    await cluster.want({ durability: { mode: "Async", whenDegraded: "Block" }, parameters: defaults });
    for (const member of cluster.members) cluster.run(member);
    await cluster.untilWhole();
  });
  afterAll(async () => {
    await cluster.stop();
  });
  // A leader must have stayed a while, or the failover budget rightly holds the next one back.
  beforeEach(() => pause(3000));

  test("a switchover to the member that was named", () =>
    expectNothingLost(0, async (leader) => {
      const target = cluster.members.find((member) => member !== leader);
      await cluster.want({
        switchover: { id: `switchover-${Date.now()}`, from: leader.name, to: target?.name ?? null },
      });
      expect((await cluster.untilAnotherLeads(leader)).name).toBe(target?.name);
      await cluster.want({ switchover: null });
    }));

  test("a certificate that is renewed under a client with TLS, and a switchover by nothing else", () =>
    expectNothingLost(
      1,
      async (leader) => {
        expect(await copiedAt(leader)).toEqual([leader.ports.tls, leader.ports.tls]);
        const servers = cluster.members.map((member) => cluster.pids(member, SERVER));
        const former = await shownBy(leader);
        await cluster.renewCertificate();
        for (const member of cluster.members)
          await cluster.until("the renewed certificate", async () =>
            (await shownBy(member)) === former ? undefined : true,
          );
        expect(cluster.members.map((member) => cluster.pids(member, SERVER))).toEqual(servers);
        await cluster.want({ switchover: { id: `renewed-${Date.now()}`, from: leader.name, to: null } });
        const next = await cluster.untilAnotherLeads(leader);
        await cluster.want({ switchover: null });
        await cluster.untilWhole();
        expect(await copiedAt(next)).toEqual([next.ports.tls, next.ports.tls]);
      },
      tlsRoute,
    ));

  test("SIGTERM hands over first, then ends", () =>
    expectNothingLost(0, async (leader) => {
      await cluster.terminate(leader);
      await cluster.untilAnotherLeads(leader);
      cluster.run(leader);
    }));

  test("the server dies", () =>
    expectNothingLost(1, async (leader) => {
      const epoch = await cluster.until("its epoch", () => epochOf(leader));
      const [main] = cluster.pids(leader, SERVER);
      process.kill(main ?? Number.NaN, "SIGKILL");
      // Nobody but the last leader is sure to hold everything that it acknowledged: back within its lease, it leads again.
      await untilLedAnew(epoch);
    }));

  test("the whole container dies", () =>
    expectNothingLost(1, async (leader) => {
      await cluster.kill(leader);
      await cluster.untilAnotherLeads(leader);
      cluster.run(leader);
    }));

  test("agent and server stand still: the fence ends the server before another leads", () =>
    expectNothingLost(1, async (leader) => {
      const [main = Number.NaN] = cluster.pids(leader, SERVER);
      const agents = cluster.pids(leader, AGENT);
      for (const pid of [main, ...agents]) process.kill(pid, "SIGSTOP");
      await cluster.untilAnotherLeads(leader);
      expect(cluster.pids(leader, SERVER)).not.toContain(main);
      for (const pid of cluster.pids(leader, AGENT)) process.kill(pid, "SIGCONT");
    }));

  test("everybody is stopped and started again", () =>
    expectNothingLost(0, async () => {
      await Promise.all(cluster.members.map((member) => cluster.terminate(member)));
      for (const member of cluster.members) cluster.run(member);
    }));

  test("everybody dies at once", () =>
    expectNothingLost(2, async () => {
      await Promise.all(cluster.members.map((member) => cluster.kill(member)));
      for (const member of cluster.members) cluster.run(member);
    }));

  test("a member whose volume is lost gets a copy of the leader's", () =>
    expectNothingLost(0, async (leader) => {
      const follower = cluster.members.find((member) => member !== leader) ?? leader;
      await cluster.kill(follower);
      await cluster.loseVolume(follower);
      cluster.run(follower);
    }));
});
