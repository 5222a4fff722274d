import { describe, expect, test } from "vitest";
import type { ClusterStatus } from "../../../src/api/cluster-status.ts";
import type { ClusterView } from "../../../src/plan/observation.ts";
import type { Plan } from "../../../src/plan/plan.ts";
import { withTimes } from "../../../src/status/conditions.ts";
import { computeStatus, type Failure } from "../../../src/status/status.ts";
import { Simulator } from "../plan/simulator.ts";

function settled(members = 3): Simulator {
  const world = new Simulator({ members });
  world.settle();
  return world;
}

function statusOf(
  world: Simulator,
  change: { plan?: Partial<Plan>; failure?: Failure; generation?: number } = {},
): ClusterStatus {
  const seen = world.observe();
  const cluster = { ...seen.cluster, generation: change.generation ?? 1 } as ClusterView;
  return computeStatus(seen, cluster, { ...world.plan(), ...change.plan }, change.failure);
}

function conditions(status: ClusterStatus): Record<string, string> {
  return Object.fromEntries((status.conditions ?? []).map((c) => [c.type, `${c.status} ${c.reason}`]));
}

describe("conditions", () => {
  test("of a cluster at rest: Ready, and nothing abnormal is there", () => {
    expect(conditions(statusOf(settled()))).toEqual({
      Available: "True LeaderServes",
      Degraded: "False AllMembersInSync",
      Progressing: "False UpToDate",
      Ready: "True AllMembersInSync",
    });
  });

  test("of a cluster that loses a follower: available, degraded, not ready", () => {
    const world = settled();
    world.kill("orders-2");
    expect(conditions(statusOf(world))).toMatchObject({
      Available: "True LeaderServes",
      Degraded: "True MembersNotInSync",
      Ready: "False MembersNotInSync",
    });
  });

  test("of a cluster without a leader say so first", () => {
    const world = settled();
    world.kill("orders-0");
    expect(conditions(statusOf(world))).toMatchObject({ Available: "False NoLeader", Ready: "False NoLeader" });
  });

  test("during a change: Reconciling, and gone afterwards", () => {
    const world = settled();
    world.change({ members: 4 });
    world.pass();
    expect(conditions(world.status)).toMatchObject({ Reconciling: "True Changing", Ready: "False MembersNotInSync" });
    world.settle();
    expect(conditions(world.status)).not.toHaveProperty("Reconciling");
  });

  test("of objectives say what people should know of how they are judged, and nothing follows from it", () => {
    const world = settled();
    world.change({ slo: {} });
    world.settle();
    const budgets = [{ name: "Availability" as const, remaining: 1, burns: [], alert: "None" as const }];
    world.measured = { budgets, missing: "", remarks: "checkout: nobody knows", record: undefined, trial: undefined };
    const told = statusOf(world).conditions?.find(({ type }) => type === "SLOHealthy");
    expect(told).toMatchObject({
      status: "True",
      message: "Error budget left: Availability 100%. Of checkout: nobody knows.",
    });
  });

  test("of a refused object: Stalled, not Reconciling", () => {
    const failure = { reason: "Invalid", message: "spec.x: no", terminal: true };
    const told = conditions(statusOf(settled(), { failure }));
    expect(told).toMatchObject({ Stalled: "True Invalid", Ready: "False Invalid" });
    expect(told).not.toHaveProperty("Reconciling");
  });

  test("of a cluster that holds a step back say which guard does, and are gone with it", () => {
    const world = settled();
    world.change({ members: 3, paused: true });
    world.pass();
    expect(conditions(world.status)).toMatchObject({ Blocked: "True NotPaused" });
    expect(world.status.blocked).toMatchObject([{ guard: "NotPaused", object: "orders", since: expect.any(String) }]);
    world.change({ members: 3 });
    world.pass();
    expect(conditions(world.status)).not.toHaveProperty("Blocked");
  });

  test("keep their time until their status changes", () => {
    const before = [
      { type: "Ready", status: "True" as const, reason: "A", message: "", lastTransitionTime: "2029-01-01T00:00:00Z" },
    ];
    const now = Date.parse("2030-01-01T00:00:00.999Z");
    const verdict = (status: "True" | "False") => ({ type: "Ready", status, reason: "B", message: "new" });
    expect(withTimes([verdict("True")], before, 2, now)[0]).toMatchObject({
      lastTransitionTime: "2029-01-01T00:00:00Z",
      reason: "B",
      observedGeneration: 2,
    });
    expect(withTimes([verdict("False")], before, 2, now)[0]?.lastTransitionTime).toBe("2030-01-01T00:00:00Z");
  });
});

describe("status", () => {
  test("says what kubectl prints", () => {
    expect(statusOf(settled())).toMatchObject({
      leader: "orders-0",
      epoch: 1,
      readyRatio: "3/3",
      desiredMembers: 3,
      selector: "app.kubernetes.io/managed-by=quorate,quorate.io/cluster=orders",
      engineImage: "example/engine:1",
      initialized: true,
      members: [
        { name: "orders-0", role: "Leader", state: "Running", ready: true },
        { name: "orders-1", role: "Follower", lag: "0" },
        { name: "orders-2", role: "Follower", lag: "0" },
      ],
    });
  });

  test("does not change by itself", () => {
    const world = settled();
    const before = world.status;
    world.nowMs += 3_600_000;
    world.pass();
    expect(world.status).toEqual(before);
  });

  test("does not claim a generation that it could not deal with", () => {
    const world = settled();
    const failure = { reason: "Unreachable", message: "no answer", terminal: false };
    expect(statusOf(world, { failure, generation: 2 }).observedGeneration).toBe(1);
    expect(statusOf(world, { generation: 2 }).observedGeneration).toBe(2);
  });
});

describe("of a shard that speaks TLS, the certificate", () => {
  const [one, other] = ["1", "2"].map((name) => ({ trusts: `trusts ${name}`, shows: `shows ${name}` }));

  /** What is told when each member that runs says so; undefined for one that says nothing of it. */
  function told(said: readonly (typeof one)[], tls = true): ClusterStatus["certificate"] {
    const seen = settled(said.length).observe();
    const { cluster } = seen;
    if (cluster === undefined) throw new Error("no cluster");
    const members = seen.members.map((member, index) => {
      const { pod } = member;
      const { certificate: _, ...report } = pod?.report ?? {};
      const certificate = said[index];
      const full = { ...report, ...(certificate === undefined ? {} : { certificate }) } as typeof report & object;
      return { ...member, pod: { ...pod, report: full } } as typeof member;
    });
    const shard = { of: "whole", shards: ["orders"], ...(tls ? { tls } : {}) };
    const intent = { ...cluster.intent, shard };
    const plan = settled().plan();
    return computeStatus({ ...seen, members }, { ...cluster, intent }, plan, undefined).certificate;
  }

  test("is what all members that run go by", () => {
    expect(told([one, one, one])).toEqual(one);
    expect(told([one, other, one])).toBeUndefined();
    expect(told([one, one, undefined])).toBeUndefined();
    expect(told([undefined, one, one])).toBeUndefined();
    expect(told([one, one, one], false)).toBeUndefined();
  });
});
