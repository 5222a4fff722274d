// Topology Stateless tries a revision on a Deployment beside the one that serves.
import { describe, expect, test } from "vitest";
import type { AnalysisVerdict } from "../../../src/slo/analysis.ts";
import { blockedBy, CANARY, runningFleet, versioned } from "./fleet-running.ts";
import type { FleetWorld } from "./fleet-world.ts";

describe("a canary", () => {
  test("runs beside the others, bakes, and then everybody follows and it goes", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: CANARY });
    world.live(40);
    expect(world.images("canary")).toEqual(["example/http:2"]);
    expect(world.images("stable")).toEqual(["example/http:1"]);
    expect(world.status).toMatchObject({
      readyRatio: "5/5",
      rollout: { phase: "Baking", step: "1/5", updated: ["orders-canary"] },
      tracks: [
        { name: "stable", desired: 4 },
        { name: "canary", desired: 1, ready: 1 },
      ],
    });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:2"]);
    expect(world.deployment("orders-canary")).toBeUndefined();
    expect(world.pods).toHaveLength(4);
    expect(world.leastReady).toBeGreaterThanOrEqual(4);
    expect(world.status.rollout).toMatchObject({ phase: "Complete", updated: ["orders"] });
  });

  test("that crashes goes, and nobody else ever ran it", () => {
    const world = runningFleet();
    world.crashing.add("example/http:2");
    world.change({ members: 4, ...versioned("2"), update: CANARY });
    for (let turn = 0; turn < 100; turn += 1) {
      world.live(1);
      expect(
        world.pods.filter(({ track }) => track === "stable").every(({ template }) => template.includes(":1")),
      ).toBe(true);
    }
    world.settle();
    expect(world.deployment("orders-canary")).toBeUndefined();
    expect(world.status.rollout?.phase).toBe("RolledBack");
    expect(world.trace.filter((line) => line.includes("Deployment orders: it was changed by another"))).toEqual([]);
  });

  const judged = { ...CANARY, canary: { ...CANARY.canary, analysis: [{ name: "errors", query: "q", max: "1" }] } };
  const verdictOn = (world: FleetWorld, verdict: AnalysisVerdict["verdict"]) => {
    const revision = world.status.rollout?.revision ?? "";
    const trial = { revision, verdicts: [{ name: "errors", verdict, message: "7 of at most 1" }] };
    world.measured = { budgets: undefined, missing: "", record: undefined, trial };
  };

  test("is judged: one that fails its analysis goes", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: judged });
    world.live(40);
    verdictOn(world, "Fail");
    world.live(30);
    expect(world.deployment("orders-canary")).toBeUndefined();
    expect(world.status.rollout?.failed?.[0]?.reason).toBe("analysis errors failed: 7 of at most 1");
    expect(world.images("stable")).toEqual(["example/http:1"]);
  });

  test("is not let on while its analysis has no data, and fails when none comes", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: { ...judged, progressDeadlineSeconds: 300 } });
    world.live(200);
    expect(blockedBy(world)).toEqual(["AnalysisPassed"]);
    world.live(400);
    expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
  });

  test("that passes its analysis goes on", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: judged });
    world.live(40);
    verdictOn(world, "Pass");
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:2"]);
  });

  describe("of a cluster with objectives", () => {
    const queries = { badQuery: "bad[$(WINDOW)]", totalQuery: "all[$(WINDOW)]" };
    const slo = { objectives: [{ name: "checkout", targetPercent: "99", ...queries }] };
    const budget = (name: string, alert: "None" | "Page" = "None") => ({ name, remaining: 0.9, burns: [], alert });
    const measure = (world: FleetWorld, checkout: ReturnType<typeof budget> | undefined, missing = "") => {
      const budgets = [budget("Availability"), ...(checkout === undefined ? [] : [checkout])];
      world.measured = { budgets, missing, record: undefined, trial: undefined };
    };

    test("does not begin while one of the user's own is not known", () => {
      const world = runningFleet();
      measure(world, undefined, "objective checkout has no data: Prometheus has no value of it over 5m");
      world.change({ members: 4, ...versioned("2"), update: CANARY, slo });
      world.live(100);
      expect(blockedBy(world)).toEqual(["BudgetLeft"]);
      expect(world.deployment("orders-canary")).toBeUndefined();
      expect(world.status.conditions?.find(({ type }) => type === "SLOHealthy")).toMatchObject({
        status: "Unknown",
        reason: "NoData",
        message: expect.stringContaining("objective checkout has no data"),
      });
      measure(world, budget("checkout"));
      world.settle();
      expect(world.images("stable")).toEqual(["example/http:2"]);
    });

    test("goes when it begins to burn the budget of one", () => {
      const world = runningFleet();
      measure(world, budget("checkout"));
      world.change({ members: 4, ...versioned("2"), update: CANARY, slo });
      world.live(40);
      expect(world.images("canary")).toEqual(["example/http:2"]);
      measure(world, budget("checkout", "Page"));
      world.live(30);
      expect(world.deployment("orders-canary")).toBeUndefined();
      expect(world.status.rollout?.failed?.[0]?.reason).toBe("the error budget of checkout burns since the last step");
      expect(world.images("stable")).toEqual(["example/http:1"]);
    });
  });

  test("waits for a person where promotion is by hand; the command it shows promotes it", () => {
    const world = runningFleet();
    const manual = { ...CANARY, canary: { ...CANARY.canary, promotion: "Manual" } };
    world.change({ members: 4, ...versioned("2"), update: manual });
    world.settle();
    expect(blockedBy(world)).toEqual(["PromotionGiven"]);
    expect(world.images("stable")).toEqual(["example/http:1"]);
    world.operate("go", { type: "Promote" });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:2"]);
  });

  test("is given up by an Abort", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: CANARY });
    world.live(20);
    world.operate("no", { type: "Abort" });
    world.settle();
    expect(world.deployment("orders-canary")).toBeUndefined();
    expect(world.status.rollout?.phase).toBe("RolledBack");
    expect(world.operations.get("no")?.status.phase).toBe("Done");
  });

  test("tries what is wanted now, when that changes under it", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: CANARY });
    world.live(40);
    world.change({ members: 4, ...versioned("3"), update: CANARY });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:3"]);
    expect(world.deployment("orders-canary")).toBeUndefined();
  });

  test("goes when the change is taken back", () => {
    const world = runningFleet();
    world.change({ members: 4, ...versioned("2"), update: CANARY });
    world.live(40);
    world.change({ members: 4, update: CANARY });
    world.settle();
    expect(world.images("stable")).toEqual(["example/http:1"]);
    expect(world.deployment("orders-canary")).toBeUndefined();
  });
});
