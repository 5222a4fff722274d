// The gates: what they hold back, what they say, and what lets a step pass.
import { describe, expect, test } from "vitest";
import { ANNOTATION_URGENT_UNTIL } from "../../../src/build/labels.ts";
import type { Measured } from "../../../src/plan/observation.ts";
import { newsOf } from "../../../src/controller/narrator.ts";
import { revisionOf } from "../../../src/build/stateful-set.ts";
import type { World } from "../../../src/plan/facts.ts";
import { analyses, budgetBlock, type GatedWorld, overriddenGates, windowBlock } from "../../../src/plan/gates.ts";
import { contextOf } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

const SATURDAY = { name: "saturday", cron: "0 3 * * 6", timeZone: "Europe/Paris", durationMinutes: 120 };

/** The settled cluster at a moment. */
function worldAt(now: string, spec: object, annotations: Record<string, string> = {}, found?: Measured): GatedWorld {
  const simulator = new Simulator({ ...spec });
  simulator.settle();
  simulator.measured = found;
  simulator.nowMs = Date.parse(now);
  simulator.annotations = annotations;
  const seen = simulator.observe();
  if (seen.cluster === undefined) throw new Error("there is a cluster");
  return { seen, cluster: seen.cluster };
}

describe("windowBlock", () => {
  const wednesday = "2026-11-25T12:00:00Z";
  const spec = { maintenanceWindows: [SATURDAY] };

  test("holds nothing back without windows, nor while one is open", () => {
    expect(windowBlock(worldAt(wednesday, {}), "a rollout")).toBeUndefined();
    expect(windowBlock(worldAt("2026-11-28T03:00:00Z", spec), "a rollout")).toBeUndefined();
  });

  test("says what waits, which window opens next and how to pass", () => {
    expect(windowBlock(worldAt(wednesday, spec), "a rollout")).toEqual({
      guard: "WindowOpen",
      object: "orders",
      message:
        "No maintenance window is open for a rollout. saturday opens next, at 2026-11-28T02:00Z, for 120 minutes.",
      override: `kubectl annotate -n shop clusterspec/orders ${ANNOTATION_URGENT_UNTIL}="$(date -u -d '+1 hour' +%FT%TZ)" --overwrite`,
      nextTryMs: Date.parse("2026-11-28T02:00:00Z"),
    });
  });

  test("says the same until the window opens, so that nothing is written meanwhile", () => {
    expect(windowBlock(worldAt("2026-11-28T01:59:59Z", spec), "it")).toEqual(
      windowBlock(worldAt(wednesday, spec), "it"),
    );
  });

  test.each([
    { until: "2026-11-25T13:00:00Z", says: undefined },
    { until: "2026-11-25T12:00:00Z", says: "for 120 minutes." },
    { until: "2026-11-27T12:00:00Z", says: "is more than a day ahead and is ignored." },
    { until: "soon", says: "is not a time such as 2030-01-31T12:00:00Z and is ignored." },
  ])("with urgency until $until: $says", ({ until, says }) => {
    const block = windowBlock(worldAt(wednesday, spec, { [ANNOTATION_URGENT_UNTIL]: until }), "a rollout");
    if (says === undefined) expect(block).toBeUndefined();
    else expect(block?.message.endsWith(says)).toBe(true);
  });

  test("an impossible window stops the cluster's changes and says which field to correct", () => {
    const simulator = new Simulator({ maintenanceWindows: [{ ...SATURDAY, timeZone: "Mars/Olympus" }] });
    expect(simulator.plan()).toMatchObject({ stalled: true, blocked: [{ guard: "WindowsValid" }] });
  });
});

/** Measurements with one budget. */
function measured(remaining: number, alert: "None" | "Ticket" | "Page" = "None"): Measured {
  const budgets = [{ name: "Availability" as const, remaining, burns: [], alert }];
  return { budgets, missing: "", record: undefined, trial: undefined };
}

const NO_DATA: Measured = { budgets: undefined, missing: "nobody answers", record: undefined, trial: undefined };
const NOW = "2026-11-25T12:00:00Z";

describe("budgetBlock", () => {
  test("holds nothing back without objectives, nor while they are kept", () => {
    expect(budgetBlock(worldAt(NOW, {}, {}, undefined))).toBeUndefined();
    expect(budgetBlock(worldAt(NOW, { slo: {} }, {}, measured(0.01)))).toBeUndefined();
  });

  test.each([
    { of: undefined, says: "cannot be judged" },
    { of: NO_DATA, says: "cannot be judged: nobody answers." },
    {
      of: { ...measured(0.9), missing: "objective checkout has no data: nobody answers" },
      says: "cannot be judged: objective checkout has no data: nobody answers.",
    },
    { of: measured(0), says: "The error budget of Availability is spent." },
    { of: measured(0.9, "Page"), says: "burns too fast: Availability (Page)." },
    { of: measured(0.9, "Ticket"), says: "burns too fast: Availability (Ticket)." },
  ])("holds changes back: $says", ({ of, says }) => {
    const block = budgetBlock(worldAt(NOW, { slo: {} }, {}, of));
    expect(block).toMatchObject({
      guard: "BudgetLeft",
      object: "orders",
      override: expect.stringContaining("annotate"),
    });
    expect(block?.message).toContain(says);
  });

  test.each(["Warn", "Ignore"])("holds nothing back with whenExhausted %s", (whenExhausted) => {
    expect(budgetBlock(worldAt(NOW, { slo: { whenExhausted } }, {}, measured(0)))).toBeUndefined();
  });
});

describe("urgency", () => {
  const annotations = { [ANNOTATION_URGENT_UNTIL]: "2026-11-25T13:00:00Z" };
  const spec = { slo: {}, maintenanceWindows: [SATURDAY] };

  test("passes both gates, and says which", () => {
    const world = worldAt(NOW, spec, annotations, measured(0));
    expect(budgetBlock(world)).toBeUndefined();
    expect(windowBlock(world, "a rollout")).toBeUndefined();
    expect(overriddenGates(world).map(({ guard }) => guard)).toEqual(["BudgetLeft", "WindowOpen"]);
  });

  test("that is not needed overrides nothing", () => {
    expect(
      overriddenGates(
        worldAt("2026-11-28T03:00:00Z", spec, { [ANNOTATION_URGENT_UNTIL]: "2026-11-28T04:00:00Z" }, measured(1)),
      ),
    ).toEqual([]);
  });

  test("never throws, whatever windows there are", () => {
    const impossible = {
      maintenanceWindows: [
        { ...SATURDAY, timeZone: "Mars/Olympus" },
        { ...SATURDAY, name: "b", cron: "0 3 30 2 *" },
      ],
    };
    const simulator = new Simulator(impossible);
    simulator.annotations = { [ANNOTATION_URGENT_UNTIL]: new Date(simulator.nowMs + 60_000).toISOString() };
    simulator.pass();
    expect(simulator.status.overridden).toMatchObject([{ guard: "WindowOpen" }]);
  });
});

describe("what people are told", () => {
  /** Passes over a settled cluster, one for each measurement. @returns reasons of the events of each, without those of other matters. */
  function told(spec: object, annotations: Record<string, string>, ...measurements: readonly Measured[]) {
    const simulator = new Simulator(spec);
    simulator.settle();
    simulator.annotations = annotations;
    return measurements.map((one) => {
      simulator.measured = one;
      const seen = simulator.observe();
      if (seen.cluster === undefined) throw new Error("there is a cluster");
      const events = newsOf(seen, seen.cluster, simulator.plan()).map(({ event }) => event.reason);
      simulator.pass();
      const condition = simulator.status.conditions?.find(({ type }) => type === "SLOHealthy");
      return { events, condition: `${condition?.status} ${condition?.reason}`, left: simulator.status.budgetLeft };
    });
  }

  test("a budget that burns, is spent and recovers: each once", () => {
    const [well, burns, stillBurns, spent, unknown, again] = told(
      { slo: { whenExhausted: "Warn" } },
      {},
      measured(1),
      measured(0.8, "Page"),
      measured(0.76, "Page"),
      measured(-0.1),
      NO_DATA,
      measured(0.06),
    );
    expect(well).toEqual({ events: [], condition: "True WithinBudget", left: "100%" });
    expect(burns).toEqual({ events: ["BudgetBurning"], condition: "False BudgetBurning", left: ">=75%" });
    expect(stillBurns?.events).toEqual([]);
    expect(spent).toEqual({ events: ["BudgetExhausted"], condition: "False BudgetExhausted", left: "0%" });
    expect(unknown).toEqual({ events: [], condition: "Unknown NoData", left: undefined });
    expect(again).toEqual({ events: [], condition: "True WithinBudget", left: ">=5%" });
  });

  test("nothing, without objectives", () => {
    expect(told({}, {}, NO_DATA)).toEqual([{ events: [], condition: "undefined undefined", left: undefined }]);
  });

  test("that a gate is overridden: once", () => {
    const urgent = { [ANNOTATION_URGENT_UNTIL]: "2030-01-01T12:00:00Z" };
    const [first, second] = told({ slo: {} }, urgent, measured(0), measured(0));
    expect(first?.events).toContain("GateOverridden");
    expect(second?.events).not.toContain("GateOverridden");
  });
});

test("a budget that drifts within a step changes no status", () => {
  const simulator = new Simulator({ slo: {} });
  simulator.settle();
  const statuses = [0.89, 0.8, 0.76].map((remaining) => {
    simulator.measured = measured(remaining);
    simulator.pass();
    return JSON.stringify(simulator.status);
  });
  expect(new Set(statuses).size).toBe(1);
});

test("bad time is recorded in an object that goes with the cluster", () => {
  const simulator = new Simulator({ slo: {} });
  simulator.settle();
  simulator.measured = { ...measured(0.9), record: '{"Availability":[[[1,2]],[],[],[]]}' };
  expect(simulator.pass()).toBe(true);
  const child = simulator.children.get("ConfigMap/orders-budget")?.manifest;
  expect(child?.metadata.ownerReferences).toHaveLength(1);
  expect(child?.["data"]).toEqual({ "bad-time.json": '{"Availability":[[[1,2]],[],[],[]]}' });
  expect(simulator.pass()).toBe(false);
});

describe("analyses", () => {
  const analysis = [
    { name: "a", measure: "Restarts", max: "0" },
    { name: "b", query: "up", max: "1" },
  ];
  const spec = { update: { strategy: "Canary", canary: { analysis } } };
  const context = contextOf(spec);
  const { templateHash } = revisionOf(context);

  function verdictsOn(revision: string): string[] {
    const verdicts = [
      { name: "b", verdict: "Fail" as const, message: "2 of at most 1" },
      { name: "gone", verdict: "Fail" as const, message: "" },
    ];
    const world = { ...worldAt(NOW, spec, {}, { ...NO_DATA, trial: { revision, verdicts } }), context } as World;
    return analyses(world).map(({ name, verdict }) => `${name} ${verdict}`);
  }

  test("are in the order of the spec, and not passed before they are measured", () => {
    expect(verdictsOn(templateHash)).toEqual(["a NoData", "b Fail"]);
  });

  test("of another revision say nothing about this one", () => {
    expect(verdictsOn("another")).toEqual(["a NoData", "b NoData"]);
  });
});
