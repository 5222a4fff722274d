// Rolls through the gates: what was measured decides how far they go, and whether they come back.
import { describe, expect, test } from "vitest";
import { ANNOTATION_URGENT_UNTIL } from "../../../src/build/labels.ts";
import { revisionOf } from "../../../src/build/stateful-set.ts";
import type { Measured, Observation } from "../../../src/plan/observation.ts";
import type { AnalysisVerdict } from "../../../src/slo/analysis.ts";
import { contextOf } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

const analysis = [{ name: "latency", measure: "LatencyP95Milliseconds", max: "10" }];
const update = { strategy: "Canary", minReadySeconds: 0, canary: { bakeSeconds: 60, analysis } };
const VERSION_2 = { engine: { name: "example", version: "2" } };

const budgets = (
  remaining: number,
  alert: "None" | "Page" = "None",
  name: "Availability" | "ApiLatency" = "Availability",
) => [{ name, remaining, burns: [], alert }];

function measured(change: Partial<Measured> = {}): Measured {
  return { budgets: budgets(1), missing: "", record: undefined, trial: undefined, ...change };
}

/** A settled cluster whose spec now asks for another version. */
function rolling(spec: object, before: Measured, world = new Simulator({ members: 3, ...spec })): Simulator {
  world.measured = before;
  world.settle();
  world.trace.length = 0;
  world.change({ members: 3, ...spec, ...VERSION_2 });
  return world;
}

/** What the agents say of the new revision. */
function verdictOn(spec: object, verdict: AnalysisVerdict["verdict"]): Measured["trial"] {
  const { templateHash: revision } = revisionOf(contextOf({ members: 3, ...spec, ...VERSION_2 }));
  return { revision, verdicts: [{ name: "latency", verdict, message: "12 of at most 10" }] };
}

function run(world: Simulator, seconds = 0): void {
  for (let turn = 0; turn < 20; turn += 1) {
    world.pass();
    world.move();
    world.nowMs += (seconds * 1000) / 20;
  }
}

const replaced = (world: Simulator) => world.trace.flatMap((line) => /^Delete Pod (\S+)-0:/.exec(line)?.[1] ?? []);
const guards = (world: Simulator) => world.plan().blocked.map(({ guard }) => guard);

describe("a budget", () => {
  const spec = { slo: {}, update: { minReadySeconds: 0 } };

  test.each([
    { why: "spent", of: measured({ budgets: budgets(0) }) },
    { why: "burning", of: measured({ budgets: budgets(0.9, "Page") }) },
    { why: "not measured", of: measured({ budgets: undefined, missing: "nobody answers" }) },
  ])("$why lets no roll begin, and says so", ({ of }) => {
    const world = rolling(spec, of);
    run(world, 600);
    expect(replaced(world)).toEqual([]);
    expect(guards(world)).toEqual(["BudgetLeft"]);
  });

  test("that comes back lets the roll begin", () => {
    const world = rolling(spec, measured({ budgets: budgets(0) }));
    run(world);
    world.measured = measured();
    world.settle();
    expect(replaced(world)).toHaveLength(3);
  });

  test("that is spent lets an urgent change pass", () => {
    const world = rolling(spec, measured({ budgets: budgets(0) }));
    world.annotations = { [ANNOTATION_URGENT_UNTIL]: new Date(world.nowMs + 3_600_000).toISOString() };
    run(world, 60);
    expect(replaced(world)).toHaveLength(3);
    expect(world.status.overridden).toMatchObject([{ guard: "BudgetLeft" }]);
  });

  test("that begins to burn after a step takes the members back, and the leader was never touched", () => {
    const canary = { slo: {}, update: { strategy: "Canary", minReadySeconds: 0, canary: { bakeSeconds: 300 } } };
    const world = rolling(canary, measured());
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2"]);
    world.measured = measured({ budgets: budgets(0.9, "Page") });
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
    expect(world.status.rollout?.failed?.[0]?.reason).toContain(
      "the error budget of Availability burns since the last step",
    );
    expect(world.leader).toBe("orders-0");
  });

  test("that burned already when an urgent step was taken blames nobody, until it has stopped and burns anew", () => {
    const canary = { slo: {}, update: { strategy: "Canary", minReadySeconds: 0, canary: { bakeSeconds: 600 } } };
    const burning = measured({ budgets: budgets(0.9, "Page") });
    const world = rolling(canary, measured());
    world.measured = burning;
    world.annotations = { [ANNOTATION_URGENT_UNTIL]: new Date(world.nowMs + 30_000).toISOString() };
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2"]);
    run(world, 60);
    expect(world.status.rollout?.failed).toBeUndefined();
    world.measured = measured();
    run(world, 20);
    world.measured = burning;
    run(world, 60);
    expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
  });

  test("that burns because of a member that is down lets that one be replaced, and does not blame the revision that mends it", () => {
    const held = {
      slo: {},
      update: { strategy: "Canary", minReadySeconds: 0, onFailure: "Hold", progressDeadlineSeconds: 30 },
    };
    const world = rolling(held, measured());
    world.broken.add("example/engine:2");
    run(world, 60);
    expect(world.status.rollout).toMatchObject({ phase: "Held" });
    world.measured = measured({ budgets: budgets(0.9, "Page") });
    world.change({ members: 3, ...held, engine: { name: "example", image: "example/engine:mended" } });
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.pods.get("orders-2")?.ready).toBe(true);
    expect(guards(world)).not.toContain("RevisionFailed");
  });

  test.each([
    { why: "of the API server's latency", of: budgets(0.9, "Page", "ApiLatency"), slo: {} },
    { why: "that nobody is to be held back for", of: budgets(0.9, "Page"), slo: { whenExhausted: "Warn" } },
  ])("$why that burns takes nobody back", ({ of, slo }) => {
    const canary = { slo, update: { strategy: "Canary", minReadySeconds: 0, canary: { bakeSeconds: 300 } } };
    const world = rolling(canary, measured());
    run(world, 60);
    world.measured = measured({ budgets: of });
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2"]);
  });
});

describe("an analysis", () => {
  const spec = { update };

  test("without data holds the canary at its first step, and takes it back when its time is over", () => {
    const world = rolling(spec, measured());
    run(world, 60);
    run(world, 600);
    expect(replaced(world)).toEqual(["orders-2"]);
    expect(guards(world)).toEqual(["AnalysisPassed"]);
    run(world, 120);
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.status.rollout?.failed?.[0]?.reason).toBe(
      "analysis latency could not be measured within 600 s: it was not yet measured",
    );
    expect(world.leader).toBe("orders-0");
  });

  test("that passes lets it go on once it has baked", () => {
    const world = rolling(spec, measured());
    run(world);
    world.measured = measured({ trial: verdictOn(spec, "Pass") });
    run(world, 40);
    expect(replaced(world)).toEqual(["orders-2"]);
    world.settle();
    expect(replaced(world)).toHaveLength(3);
  });

  test("that fails takes it back with its figures, and the leader was never touched", () => {
    const world = rolling(spec, measured());
    run(world);
    world.measured = measured({ trial: verdictOn(spec, "Fail") });
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.status.rollout?.failed?.[0]?.reason).toContain("12 of at most 10");
    expect(world.leader).toBe("orders-0");
  });

  test("of the revision before fails nobody", () => {
    const world = rolling(spec, measured());
    run(world);
    world.measured = measured({
      trial: { revision: "before", verdicts: [{ name: "latency", verdict: "Fail", message: "" }] },
    });
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2"]);
  });
});

describe("a maintenance window", () => {
  test("holds a roll until it opens, and between steps when it closes", () => {
    const maintenanceWindows = [{ name: "w", cron: "0 12 * * *", durationMinutes: 30 }];
    const canary = { strategy: "Canary", minReadySeconds: 0, canary: { bakeSeconds: 3600 } };
    const world = rolling({ maintenanceWindows, update: canary }, measured());
    const day = new Date(world.nowMs).toISOString().slice(0, 10);
    world.nowMs = Date.parse(`${day}T11:59:00Z`);
    run(world);
    expect(replaced(world)).toEqual([]);
    expect(guards(world)).toEqual(["WindowOpen"]);
    world.nowMs = Date.parse(`${day}T12:00:00Z`);
    run(world, 60);
    expect(replaced(world)).toEqual(["orders-2"]);
    world.nowMs = Date.parse(`${day}T14:00:00Z`);
    run(world);
    expect(replaced(world)).toEqual(["orders-2"]);
    expect(guards(world)).toEqual(["WindowOpen"]);
  });
});

/** A world in which the class of all pods is not there, or not yet. */
class Unranked extends Simulator {
  isMissing = false;

  override observe(): Observation {
    const seen = super.observe();
    return this.isMissing ? { ...seen, missingPriorityClass: "gone" } : seen;
  }
}

describe("a PriorityClass that is not there", () => {
  const spec = { pods: { priorityClassName: "gone" }, update: { minReadySeconds: 0 } };

  test("lets no roll begin, which would end a pod that nobody could make again, and is named with the way out", () => {
    const world = new Unranked({ members: 3, ...spec });
    rolling(spec, measured(), world);
    world.isMissing = true;
    run(world, 600);
    expect(replaced(world)).toEqual([]);
    expect(guards(world)).toEqual(["PriorityClassKnown", "PriorityClassKnown"]);
    expect(world.plan().blocked[0]).toMatchObject({
      object: "gone",
      message: expect.stringContaining("spec.pods.priorityClassName"),
      override: expect.stringContaining('{"spec":{"pods":{"priorityClassName":null}}}'),
    });
  });

  test("lets the roll begin once it is there", () => {
    const world = new Unranked({ members: 3, ...spec });
    rolling(spec, measured(), world);
    world.isMissing = true;
    run(world);
    world.isMissing = false;
    world.settle();
    expect(replaced(world)).toHaveLength(3);
  });
});
