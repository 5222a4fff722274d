// Canaries, analyses and hooks where the engine keeps its own list of members: chosen and run by who leads at the time, and judged by
// what the engine itself counts.
import { describe, expect, test } from "vitest";
import type { HookName } from "../../../src/api/agent-wire.ts";
import type { EngineSpec } from "../../../src/api/engine.ts";
import { revisionOf } from "../../../src/build/stateful-set.ts";
import type { Measured } from "../../../src/plan/observation.ts";
import type { AnalysisVerdict } from "../../../src/slo/analysis.ts";
import { contextOf, hookedEngine } from "./fixture.ts";
import { lottery } from "./pairs.ts";
import { SimulatedGroup } from "./simulated-group.ts";
import { Simulator } from "./simulator.ts";

const VERSION_2 = { engine: { name: "example", version: "2" } };
const ANALYSIS = [{ name: "latency", measure: "LatencyP95Milliseconds", max: "10" }];

describe.each(["Consensus", "ActiveActive"] as const)("topology %s", (topology) => {
  const ofTopology: EngineSpec = { ...hookedEngine, topologies: [topology] };
  const withoutHooks: EngineSpec = {
    ...ofTopology,
    actions: { ...ofTopology.actions, beforeUpdate: undefined, afterUpdate: undefined, canRollBack: undefined },
  };

  /** A settled cluster at version 1. */
  function settled(update: object, members = 5, engine = withoutHooks): { world: Simulator; spec: object } {
    const spec = { topology, members, update: { minReadySeconds: 0, progressDeadlineSeconds: 60, ...update } };
    const world = new Simulator(spec, lottery(members));
    world.engine = engine;
    world.group = new SimulatedGroup(topology);
    world.measured = measured();
    world.looksWhenTold = true;
    world.settle();
    world.trace.length = 0;
    return { world, spec };
  }

  function measured(trial?: Measured["trial"]): Measured {
    return { budgets: undefined, missing: "", record: undefined, trial };
  }

  function verdictOn(spec: object, verdict: AnalysisVerdict["verdict"]): Measured["trial"] {
    const { templateHash: revision } = revisionOf({ ...contextOf({ ...spec, ...VERSION_2 }), engine: withoutHooks });
    return { revision, verdicts: [{ name: "latency", verdict, message: "12 of at most 10" }] };
  }

  function run(world: Simulator, seconds: number): void {
    for (let second = 0; second < seconds; second += 1) {
      world.pass();
      world.move();
      world.nowMs += 1_000;
    }
  }

  const replaced = (world: Simulator) => world.trace.flatMap((line) => /^Delete Pod (\S+)-0:/.exec(line)?.[1] ?? []);
  const asked = (world: Simulator) => world.hooks.map(({ action }) => action);
  const revisions = (world: Simulator) => new Set([...world.pods.values()].map((pod) => pod.templateHash)).size;

  describe("a canary", () => {
    const CANARY = { strategy: "Canary", canary: { bakeSeconds: 120 } };

    test("is a follower, goes on to half and then to all, and the leader is the last, once it has handed over", () => {
      const { world, spec } = settled(CANARY);
      const { leader } = world;
      world.change({ ...spec, ...VERSION_2 });
      run(world, 100);
      expect(replaced(world)).toHaveLength(1);
      expect(replaced(world)).not.toContain(leader);
      expect(world.leader).toBe(leader);
      run(world, 90);
      expect(replaced(world)).toHaveLength(3);
      expect(replaced(world)).not.toContain(leader);
      world.settle();
      expect(replaced(world)).toHaveLength(5);
      expect(replaced(world).at(-1)).toBe(leader);
      expect(revisions(world)).toBe(1);
      expect(world.handovers).toHaveLength(1);
      expect(world.status.rollout?.phase).toBe("Complete");
      expect(world.group?.voters).toHaveLength(5);
    });

    test("that does not come up goes back by itself, and nobody else is touched", () => {
      const { world, spec } = settled(CANARY);
      const { leader } = world;
      world.broken.add("example/engine:2");
      world.change({ ...spec, ...VERSION_2 });
      run(world, 240);
      expect(new Set(replaced(world)).size).toBe(1);
      expect(world.leader).toBe(leader);
      expect(world.handovers).toEqual([]);
      expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
      expect(revisions(world)).toBe(1);
      expect(world.group?.voters).toHaveLength(5);
    });

    test("waits for a person where its promotion is manual", () => {
      const manual = { strategy: "Canary", canary: { bakeSeconds: 10, promotion: "Manual" } };
      const { world, spec } = settled(manual, 3);
      world.change({ ...spec, ...VERSION_2 });
      run(world, 120);
      expect(replaced(world)).toHaveLength(1);
      expect(world.status.blocked?.map(({ guard }) => guard)).toEqual(["PromotionGiven"]);
      world.operate("on", { type: "Promote" });
      run(world, 60);
      world.operate("all", { type: "Promote" });
      world.settle();
      expect(replaced(world)).toHaveLength(3);
      expect(world.status.rollout?.phase).toBe("Complete");
    });
  });

  describe("an analysis", () => {
    const ANALYSED = { strategy: "Canary", canary: { bakeSeconds: 60, analysis: ANALYSIS } };

    test("that fails takes the canary back, and the leader was never touched", () => {
      const { world, spec } = settled(ANALYSED);
      const { leader } = world;
      world.change({ ...spec, ...VERSION_2 });
      run(world, 40);
      const [canary] = replaced(world);
      world.measured = measured(verdictOn(spec, "Fail"));
      world.touch();
      run(world, 80);
      expect(replaced(world)).toEqual([canary, canary]);
      expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
      expect(world.status.rollout?.failed?.[0]?.reason).toContain("analysis latency failed");
      expect(world.leader).toBe(leader);
      expect(world.handovers).toEqual([]);
    });

    test("that passes lets the roll go on", () => {
      const { world, spec } = settled(ANALYSED);
      world.change({ ...spec, ...VERSION_2 });
      world.measured = measured(verdictOn(spec, "Pass"));
      world.settle();
      expect(replaced(world)).toHaveLength(5);
      expect(world.status.rollout?.phase).toBe("Complete");
    });
  });

  describe("hooks", () => {
    const of = (action: HookName, world: Simulator) => world.hooks.filter((hook) => hook.action === action);

    test("run on whoever leads: before the first member, and after the last", () => {
      const { world, spec } = settled({}, 3, ofTopology);
      const { leader } = world;
      world.change({ ...spec, ...VERSION_2 });
      while (replaced(world).length === 0) run(world, 1);
      expect(of("beforeUpdate", world)).toMatchObject([{ member: leader, fromVersion: "1", toVersion: "2" }]);
      expect(asked(world)).toEqual(["beforeUpdate"]);
      world.settle();
      expect(asked(world)).toEqual(["beforeUpdate", "afterUpdate"]);
      expect(of("afterUpdate", world)).toMatchObject([{ member: world.leader }]);
      expect(world.status.rollout?.phase).toBe("Complete");
    });

    test("that do not succeed hold the roll, and it goes on by itself", () => {
      const { world, spec } = settled({}, 3, ofTopology);
      world.hookAnswers.set("beforeUpdate", "Failed");
      world.change({ ...spec, ...VERSION_2 });
      run(world, 100);
      expect(replaced(world)).toEqual([]);
      expect(world.status.blocked?.map(({ guard }) => guard)).toContain("UpdatePrepared");
      world.hookAnswers.clear();
      world.touch();
      world.settle();
      expect(world.status.rollout?.phase).toBe("Complete");
    });

    test("are asked of the next leader when the one that was asked is gone", () => {
      const { world, spec } = settled({}, 3, ofTopology);
      world.mute = true;
      world.change({ ...spec, ...VERSION_2 });
      while (world.intent?.hook === null) run(world, 1);
      const first = world.intent?.hook?.member ?? "";
      world.kill(first);
      const pod = world.pods.get(first);
      if (pod !== undefined) pod.lost = true;
      world.mute = false;
      world.touch();
      run(world, 60);
      expect(of("beforeUpdate", world)[0]?.member).toBe(world.leader);
      expect(world.leader).not.toBe(first);
    });

    test("that say no to a rollback are heard", () => {
      const { world, spec } = settled({}, 3, ofTopology);
      world.hookAnswers.set("canRollBack", "Refused");
      world.broken.add("example/engine:2");
      world.change({ ...spec, ...VERSION_2 });
      run(world, 200);
      expect(asked(world)).toEqual(["beforeUpdate", "canRollBack"]);
      expect(replaced(world)).toHaveLength(1);
      expect(world.status.blocked?.map(({ guard }) => guard)).toContain("RollbackPossible");
    });
  });
});
