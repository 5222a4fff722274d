/**
 * Failover of real members: no acknowledged row is lost, no leader writes out of turn, the right one leads in the end.
 * Times are printed, never asserted.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

const INIT = /quorate-init/;
const AGENT = /^\S*node (?:--\S+ )*\S*agent\.mjs run/;
const ENGINE = /^(\S*\/)?postgres( |:)/;

let cluster: MemberCluster;

/** Waits until the engine of `old` with this main process leads no more: it was ended, or another member leads. */
async function untilRelieved(old: TestMember, main: number | undefined): Promise<void> {
  await cluster.until(`the engine of ${old.name} to be relieved`, async () => {
    const leader = await cluster.routed().catch(() => undefined);
    const hasEnded = !cluster.pids(old, ENGINE).includes(main ?? 0);
    return hasEnded || (leader !== undefined && leader !== old) ? true : undefined;
  });
}

function signalAll(member: TestMember, command: RegExp, signal: NodeJS.Signals): void {
  const pids = cluster.pids(member, command);
  expect(pids.length).toBeGreaterThan(0);
  for (const pid of pids) process.kill(pid, signal);
}

/** Runs `fault` under a client and judges what the client saw. */
async function expectNothingLost(fault: (leader: TestMember) => Promise<void>): Promise<void> {
  const leader = await cluster.untilWhole();
  const client = new CountingClient(cluster);
  client.start();
  await pause(1000);
  await fault(leader);
  await cluster.untilWhole();
  const acked = client.acked;
  await cluster.until("writes to go on", () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
  const verdict = await client.finish();
  process.stdout.write(
    `  largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} rows, ${verdict.unknown} unknown\n`,
  );
  expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
}

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  for (const member of cluster.members) cluster.run(member);
  await cluster.untilWhole();
});
afterAll(async () => {
  await cluster.stop();
});
// A leader must have stayed a while, or the failover budget rightly holds the next one back.
beforeEach(() => pause(3000));

describe("an unplanned change of leader", () => {
  test("the engine's main process dies", () =>
    expectNothingLost(async (leader) => {
      const [main] = cluster.pids(leader, ENGINE);
      process.kill(main ?? Number.NaN, "SIGKILL");
      await cluster.untilAnotherLeads(leader);
    }));

  test("the whole container dies", () =>
    expectNothingLost(async (leader) => {
      await cluster.kill(leader);
      await cluster.untilAnotherLeads(leader);
      cluster.run(leader);
    }));

  test.each([
    ["the agent alone stands still", [AGENT]],
    ["agent and engine stand still", [AGENT, ENGINE]],
    ["init stands still with its agent", [INIT, AGENT]],
  ])("%s: led again from here or elsewhere", (_, commands) =>
    expectNothingLost(async (leader) => {
      const [main] = cluster.pids(leader, ENGINE);
      for (const command of commands) signalAll(leader, command, "SIGSTOP");
      await untilRelieved(leader, main);
      for (const command of [INIT, ...commands]) {
        for (const pid of cluster.pids(leader, command)) process.kill(pid, "SIGCONT");
      }
    }),
  );
});

describe("an engine that hangs", () => {
  test("is ended, and led again from here or elsewhere", () =>
    expectNothingLost(async (leader) => {
      const [main] = cluster.pids(leader, ENGINE);
      signalAll(leader, ENGINE, "SIGSTOP");
      await cluster.until("the hung engine to be ended", () =>
        Promise.resolve(cluster.pids(leader, ENGINE).includes(main ?? 0) ? undefined : true),
      );
    }));
});

describe("a planned change of leader", () => {
  test("SIGTERM hands over first, then ends", () =>
    expectNothingLost(async (leader) => {
      await cluster.terminate(leader);
      await cluster.untilAnotherLeads(leader);
      cluster.run(leader);
    }));

  test("a switchover to the member that was named", () =>
    expectNothingLost(async (leader) => {
      const target = cluster.members.find((member) => member !== leader);
      await cluster.want({
        switchover: { id: `switchover-${Date.now()}`, from: leader.name, to: target?.name ?? null },
      });
      expect((await cluster.untilAnotherLeads(leader)).name).toBe(target?.name);
      await cluster.want({ switchover: null });
    }));
});

describe("no change of leader", () => {
  test("the agent dies: init restarts it, the engine goes on", () =>
    expectNothingLost(async (leader) => {
      const [engine] = cluster.pids(leader, ENGINE);
      signalAll(leader, AGENT, "SIGKILL");
      await pause(8000);
      expect((await cluster.routed())?.name).toBe(leader.name);
      expect(cluster.pids(leader, ENGINE)[0]).toBe(engine);
    }));

  test("the API server is away for 20 s: the same leader goes on writing", () =>
    expectNothingLost(async (leader) => {
      await cluster.plane.killApiServer();
      await pause(20_000);
      await cluster.plane.startApiServer();
      await pause(8000);
      expect((await cluster.routed())?.name).toBe(leader.name);
    }));

  test("the API server hangs for 10 s: the same leader goes on writing", () =>
    expectNothingLost(async (leader) => {
      cluster.plane.pauseApiServer();
      await pause(10_000);
      cluster.plane.resumeApiServer();
      await pause(8000);
      expect((await cluster.routed())?.name).toBe(leader.name);
    }));
});

test("all that the agents asked for meanwhile was allowed, and they have no right that they never use", async () => {
  const { refused, unused } = await cluster.rights();
  expect(refused).toEqual([]);
  expect(unused).toEqual([]);
});
