// Topology Stateless: planner, Deployment controller and kubelets taking turns, in order and in any order.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { forecast } from "../../../src/forecast/forecast.ts";
import { intentOf } from "./fixture.ts";
import { blockedBy, CANARY, runningFleet, versioned } from "./fleet-running.ts";
import { FleetWorld } from "./fleet-world.ts";
import { lottery } from "./pairs.ts";

function conditionOf(world: FleetWorld, type: string) {
  return world.status.conditions?.find((condition) => condition.type === type);
}

function kinds(world: FleetWorld): string[] {
  return [...world.children.keys()].filter((key) => !key.startsWith("ControllerRevision/")).toSorted();
}

describe("a new cluster", () => {
  test("is a Deployment with what belongs to it, and nothing for agents, leaders and data", () => {
    const world = runningFleet();
    expect(kinds(world)).toEqual([
      "Deployment/orders",
      "NetworkPolicy/orders",
      "PodDisruptionBudget/orders",
      "Service/orders-r",
      "ServiceAccount/orders-member",
    ]);
    expect(world.status).toMatchObject({
      readyRatio: "4/4",
      initialized: true,
      members: [],
      tracks: [{ name: "stable", desired: 4, ready: 4, updated: 4 }],
      rollout: { phase: "Complete" },
    });
    expect(conditionOf(world, "Ready")).toMatchObject({ status: "True", reason: "EnoughMembersReady" });
  });

  test("is written once: at rest nothing is", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    expect(world.plan().steps).toEqual([]);
  });
});

describe("an update", () => {
  test("adds before it takes away, and notes the revision as one that works", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2") });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:2"]);
    expect(world.leastReady).toBeGreaterThanOrEqual(4);
    expect(world.status.rollout?.phase).toBe("Complete");
    const steps = world.trace.length;
    world.settle();
    expect(world.trace.length).toBe(steps);
  });

  test("that crashes is left again, by itself and for good", () => {
    const world = runningFleet();
    world.crashing.add("example/http:2");
    world.change({ members: 4, ...versioned("2") });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:1"]);
    expect(world.leastReady).toBeGreaterThanOrEqual(4);
    expect(world.status.rollout).toMatchObject({
      phase: "RolledBack",
      failed: [{ reason: expect.stringMatching(/crashes/) }],
    });
    expect(blockedBy(world)).toEqual(["RevisionFailed"]);
  });

  test("that never becomes ready fails when its time is over", () => {
    const world = runningFleet();
    world.silent.add("example/http:2");
    world.change({ members: 4, ...versioned("2"), update: { progressDeadlineSeconds: 120 } });
    world.live(60);
    expect(world.status.rollout?.phase).toBe("Progressing");
    world.live(120);
    world.settle();
    expect(world.status.rollout).toMatchObject({
      phase: "RolledBack",
      failed: [{ reason: expect.stringMatching(/not ready within 120 s/) }],
    });
    expect(world.leastReady).toBeGreaterThanOrEqual(4);
  });

  test("that failed is held where it is, if the user wants it so", () => {
    const world = runningFleet();
    world.crashing.add("example/http:2");
    world.change({ members: 4, ...versioned("2"), update: { onFailure: "Hold" } });
    world.settle();
    expect(world.status.rollout?.phase).toBe("Held");
    expect(world.deployment("orders")?.template.spec.containers[0]?.image).toBe("example/http:2");
  });

  test("of the operator alone replaces nobody until it is accepted", () => {
    const world = runningFleet();
    const before = world.pods.map(({ name }) => name);
    world.agentImage = "quorate/agent:2"; // in it is what waits before a start
    world.settle();
    expect(world.pods.map(({ name }) => name)).toEqual(before);
    expect(blockedBy(world)).toEqual(["TemplateAccepted"]);
    const hash = /quorate.io\/accept-template=(\S+)/.exec(world.status.blocked?.[0]?.override ?? "")?.[1] ?? "";
    world.annotations = { "quorate.io/accept-template": hash };
    world.settle();
    expect(world.pods.some(({ name }) => before.includes(name))).toBe(false);
    expect(blockedBy(world)).toEqual([]);
  });

  test("waits for its maintenance window", () => {
    const window = { name: "never", cron: "0 3 29 2 *", durationMinutes: 60 };
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), maintenanceWindows: [window] });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:1"]);
    expect(blockedBy(world)).toEqual(["WindowOpen"]);
  });
});

describe("the number of members", () => {
  test("is spec.members", () => {
    const world = runningFleet();
    world.change({ members: 7 });
    world.settle();
    expect(world.status.readyRatio).toBe("7/7");
    world.change({ members: 2 });
    world.settle();
    expect(world.pods).toHaveLength(2);
  });

  test("is the autoscaler's where there is one, also through an update", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    world.autoscale(6);
    world.settle();
    expect(world.status.readyRatio).toBe("6/6");
    world.leastReady = Number.POSITIVE_INFINITY;
    world.change({ members: 4, autoscaling: { maxMembers: 9 }, ...versioned("2") });
    world.settle();
    expect(world.deployment("orders")?.replicas).toBe(6);
    expect(world.leastReady).toBeGreaterThanOrEqual(6);
  });

  test("that the autoscaler sets between looking and writing is not taken back", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    world.change({ members: 4, autoscaling: { maxMembers: 9 }, ...versioned("2") });
    const stale = world.plan().steps.find((step) => "manifest" in step && step.manifest.kind === "Deployment");
    if (stale === undefined || !("manifest" in stale)) throw new Error("no step changes the Deployment");
    const { resourceVersion } = stale.manifest.metadata;
    world.autoscale(8);
    expect(resourceVersion).not.toBe(String(world.children.get("Deployment/orders")?.version)); // the API server refuses it
    world.settle();
    expect(world.deployment("orders")?.replicas).toBe(8);
    expect(world.images("stable")).toEqual(["example/http:2"]);
  });

  test("follows bounds that are raised and lowered", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    world.change({ members: 6, autoscaling: { maxMembers: 9 } });
    world.settle();
    expect(world.deployment("orders")?.replicas).toBe(6);
    world.change({ members: 2, autoscaling: { maxMembers: 3 } });
    world.settle();
    expect(world.deployment("orders")?.replicas).toBe(3);
  });

  test("is spec.members again when autoscaling goes", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    world.autoscale(8);
    world.change({ members: 4 });
    world.settle();
    expect(kinds(world)).not.toContain("HorizontalPodAutoscaler/orders");
    expect(world.pods).toHaveLength(4);
  });

  test("that follows a metric nobody can read is told as that", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    const child = world.children.get("HorizontalPodAutoscaler/orders");
    if (child === undefined) throw new Error("no autoscaler");
    const condition = {
      type: "ScalingActive",
      status: "False",
      reason: "FailedGetResourceMetric",
      message: "no metrics",
    };
    child.manifest = { ...child.manifest, status: { conditions: [condition] } };
    world.pass();
    expect(world.status.blocked).toMatchObject([
      { guard: "LoadMeasured", message: expect.stringMatching(/no metrics/) },
    ]);
  });
});

describe("a forecast", () => {
  const VERSION_2 = versioned("2");

  test.each([
    ["an update", VERSION_2, ["Apply Deployment/orders (its 4 members are replaced, new ones first)"]],
    [
      "an update with a canary",
      { ...VERSION_2, update: CANARY },
      [
        "Apply Deployment/orders-canary (1 members)",
        "Apply Deployment/orders (its 4 members are replaced, new ones first)",
        "Delete Deployment/orders-canary (no revision is tried any more)",
      ],
    ],
    ["more members", { members: 6 }, ["Apply Deployment/orders (4 → 6 members)"]],
  ])("of %s says what then happens", (_, edit, expected) => {
    const { update } = edit as { readonly update?: object };
    const world = runningFleet(update === undefined ? {} : { update });
    const edited = { topology: "Stateless", members: 4, ...edit };
    const { events, blocked } = forecast(world.observe(), intentOf(edited));
    expect(events.map(({ kind, object, detail }) => `${kind} ${object} (${detail})`)).toEqual(expected);
    expect(blocked).toEqual([]);
    const before = world.trace.length;
    world.change(edited);
    world.settle();
    const happened = world.trace.slice(before).filter((line) => line.includes("Deployment"));
    expect(happened).toHaveLength(expected.length);
  });
});

describe("pause, stop, restart:", () => {
  test("a paused update stops where it is and goes on afterwards", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2") });
    world.live(5);
    world.change({ members: 4, ...versioned("2"), paused: true });
    world.live(5);
    expect(world.deployment("orders")?.paused).toBe(true);
    expect(blockedBy(world)).toEqual(["NotPaused"]);
    const before = world.pods.map(({ name }) => name);
    world.live(60);
    expect(world.pods.map(({ name }) => name)).toEqual(before);
    world.change({ members: 4, ...versioned("2") });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:2"]);
  });

  test("a stopped cluster has no members, and comes back with as many as are to be warm", () => {
    const world = runningFleet({ autoscaling: { maxMembers: 9 } });
    world.autoscale(8);
    world.settle();
    world.change({ members: 4, autoscaling: { maxMembers: 9 }, stopped: true });
    world.settle();
    expect(world.pods).toEqual([]);
    expect(conditionOf(world, "Ready")).toMatchObject({ status: "False", reason: "Stopped" });
    world.change({ members: 4, autoscaling: { maxMembers: 9 } });
    world.settle();
    expect(world.status.readyRatio).toBe("4/4");
  });

  test("a change made while stopped is rolled out after the start", () => {
    const world = runningFleet();
    world.change({ members: 4, stopped: true });
    world.settle();
    world.change({ members: 4, stopped: true, ...versioned("2") });
    world.settle();
    world.change({ members: 4, ...versioned("2") });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:2"]);
  });

  test("a Restart replaces everybody once, new members first", () => {
    const world = runningFleet();
    const before = world.pods.map(({ name }) => name);
    world.operate("again", { type: "Restart" });
    world.settle();
    expect(world.operations.get("again")?.status).toMatchObject({ phase: "Done", message: "4 members were replaced" });
    const after = world.pods.map(({ name }) => name);
    expect(after.some((name) => before.includes(name))).toBe(false);
    expect(world.leastReady).toBeGreaterThanOrEqual(4);
    world.settle();
    expect(world.pods.map(({ name }) => name)).toEqual(after);
  });

  test.each([
    [{ type: "Switchover" }, /Switchover is about members that hold data/],
    [{ type: "Recover" }, /Recover is about members that hold data/],
    [{ type: "Restart", member: "orders-1" }, /leave out spec\.member/],
    [{ type: "Restart", role: "Leader" }, /leave out spec\.role/],
  ])("%o is refused", (operation, message) => {
    const world = runningFleet();
    world.operate("no", operation);
    world.live(3);
    expect(world.operations.get("no")?.status).toMatchObject({
      phase: "Refused",
      message: expect.stringMatching(message),
    });
  });
});

test("whatever is wanted one after the other, in whatever order things happen: the last word wins, and enough members are ready all the way", () => {
  const wish = fc.record({
    engine: fc.constantFrom("1", "2", "3").map((one) => ({ name: "example", version: one })),
    members: fc.integer({ min: 2, max: 6 }),
    update: fc.constantFrom({}, CANARY),
    paused: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(wish, { minLength: 1, maxLength: 4 }),
      fc.integer(),
      fc.integer({ min: 1, max: 80 }),
      (wishes, seed, between) => {
        const world = new FleetWorld({ members: 3 }, lottery(seed));
        world.settle();
        let least = 3;
        for (const spec of wishes) {
          least = Math.min(least, spec.members);
          world.leastReady = Number.POSITIVE_INFINITY;
          world.change(spec);
          world.live(between);
          expect(world.leastReady).toBeGreaterThanOrEqual(Math.min(least, 3));
        }
        const last = wishes.at(-1);
        world.change({ ...last, paused: false });
        world.settle();
        expect(world.images("stable")).toEqual([`example/http:${last?.engine.version ?? ""}`]);
        expect(world.pods).toHaveLength(last?.members ?? 0);
        expect(world.deployment("orders-canary")).toBeUndefined();
        expect(world.plan().steps).toEqual([]);
      },
    ),
    { numRuns: 8 },
  );
}, 60_000);
