// The Engine's hooks around an update: asked before anything changes, once, and again by whoever comes after the one that died.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HookName } from "../../../src/api/agent-wire.ts";
import { EngineSpec } from "../../../src/api/engine.ts";
import type { Guard } from "../../../src/plan/guards.ts";
import { engine, hookedEngine } from "./fixture.ts";
import { evict, healNode, loseNode } from "./faults.ts";
import { lottery } from "./pairs.ts";
import { Simulator } from "./simulator.ts";

const UPDATE = { minReadySeconds: 1, progressDeadlineSeconds: 60 };
const BASE = { members: 3, update: UPDATE };
const VERSION_2 = { ...BASE, engine: { name: "example", version: "2" } };
const ONE_WAY = engine.versions.map((one) => (one.version === "2" ? { ...one, irreversibleFrom: ["1"] } : one));

/** A settled cluster at version 1 of an engine, with what was done so far forgotten. */
function settled(of: EngineSpec = hookedEngine, choose?: (count: number) => number): Simulator {
  const world = new Simulator(BASE, choose);
  world.engine = of;
  world.settle();
  world.trace.length = 0;
  return world;
}

function turns(world: Simulator, count: number, seconds = 1): void {
  for (let turn = 0; turn < count; turn += 1) {
    world.pass();
    world.move();
    world.nowMs += seconds * 1_000;
  }
}

const replaced = (world: Simulator) => world.trace.flatMap((line) => /^Delete Pod (\S+)-0:/.exec(line)?.[1] ?? []);
const asked = (world: Simulator) => world.hooks.map(({ action }) => action);
const blocked = (world: Simulator, guard: Guard) => world.status.blocked?.find((one) => one.guard === guard);

/** Does what the override of a guard says. */
function override(world: Simulator, guard: Guard): void {
  const [, name = "", value = ""] = /(quorate\.io\/\S+)=(\S+)/.exec(blocked(world, guard)?.override ?? "") ?? [];
  expect(name).not.toBe("");
  world.annotations = { ...world.annotations, [name]: value };
}

describe("a roll", () => {
  test("asks before its first member and after its last, each once, on the leader, with both versions", () => {
    const world = settled();
    world.change(VERSION_2);
    while (replaced(world).length === 0) turns(world, 1);
    expect(asked(world)).toEqual(["beforeUpdate"]);
    world.settle();
    expect(asked(world)).toEqual(["beforeUpdate", "afterUpdate"]);
    const [before, after] = world.hooks;
    expect(before).toMatchObject({ member: "orders-0", epoch: 1, fromVersion: "1", toVersion: "2", consent: false });
    expect(after).toMatchObject({ member: world.leader, epoch: 2, update: before?.update });
    expect(world.status.rollout).toMatchObject({ phase: "Complete", revision: before?.toRevision });
    expect(world.intent?.hook).toBeNull();
  });

  test("asks nobody for a cluster's first revision, nor for what needs no roll", () => {
    const world = settled();
    world.change({ ...BASE, parameters: { verbosity: "7" } });
    world.settle();
    expect(asked(world)).toEqual([]);
  });

  test("does not begin while beforeUpdate fails, says so without a break, and goes on by itself", () => {
    const world = settled();
    world.hookAnswers.set("beforeUpdate", "Failed");
    world.change(VERSION_2);
    turns(world, 40, 5);
    expect(replaced(world)).toEqual([]);
    expect(blocked(world, "UpdatePrepared")).toMatchObject({
      message: expect.stringContaining("beforeUpdate says Failed"),
    });
    const since = blocked(world, "UpdatePrepared")?.since ?? "";
    expect(world.nowMs - Date.parse(since)).toBeGreaterThan(150_000);
    expect(asked(world).length).toBeGreaterThan(2);
    expect(asked(world).length).toBeLessThan(6);
    world.hookAnswers.clear();
    world.settle();
    expect(world.status.rollout?.phase).toBe("Complete");
    expect(blocked(world, "UpdatePrepared")).toBeUndefined();
  });

  test("is not over while afterUpdate fails, and can still be taken back", () => {
    const world = settled();
    world.hookAnswers.set("afterUpdate", "Failed");
    world.change(VERSION_2);
    turns(world, 50, 2);
    expect(replaced(world)).toHaveLength(3);
    expect(blocked(world, "UpdateFinished")).toBeDefined();
    expect(world.status.rollout?.phase).toBe("Blocked");
    world.change(BASE);
    world.settle();
    expect(asked(world).at(-1)).toBe("canRollBack");
    expect(new Set([...world.pods.values()].map((pod) => pod.templateHash)).size).toBe(1);
    expect(replaced(world)).toHaveLength(6);
    expect(world.status.blocked).toBeUndefined();
  });

  test("whose agents know no hooks says so when their time is over", () => {
    const world = settled();
    world.mute = true;
    world.change(VERSION_2);
    turns(world, 24, 5);
    expect(blocked(world, "UpdatePrepared")?.message).toContain("no answer within 70 s");
    expect(replaced(world)).toEqual([]);
  });

  test("waits with its hooks for the gates: nothing is prepared that may not begin", () => {
    const world = settled();
    world.change({ ...VERSION_2, update: { ...UPDATE, partition: 3 } });
    world.settle();
    expect(asked(world)).toEqual([]);
  });
});

describe("a change that cannot be taken back", () => {
  const bySaying = (world: Simulator) => world.hookAnswers.set("beforeUpdate", "Refused");
  test.each<[string, EngineSpec, (world: Simulator) => unknown]>([
    ["because the Engine lists it", EngineSpec.parse({ ...engine, versions: ONE_WAY }), () => undefined],
    ["because beforeUpdate says so", hookedEngine, bySaying],
  ])("waits for consent %s", (_, of, arrange) => {
    const world = settled(of);
    arrange(world);
    world.change(VERSION_2);
    turns(world, 30);
    expect(replaced(world)).toEqual([]);
    expect(world.status.conditions?.find(({ type }) => type === "Blocked")?.reason).toBe("IrreversibleChangeConsented");
    override(world, "IrreversibleChangeConsented");
    world.hookAnswers.clear();
    world.settle();
    expect(world.status.rollout?.phase).toBe("Complete");
    expect(world.hooks.filter(({ action }) => action === "beforeUpdate").map(({ consent }) => consent)).toEqual(
      of === hookedEngine ? [false, true] : [],
    );
  });

  test("is not consented to by what was said of another try or another revision", () => {
    const world = settled(EngineSpec.parse({ ...engine, versions: ONE_WAY }));
    world.change({ ...VERSION_2, resources: { requests: { memory: "2Gi" } } });
    turns(world, 10);
    override(world, "IrreversibleChangeConsented");
    world.change(VERSION_2);
    turns(world, 30);
    expect(replaced(world)).toEqual([]);
    expect(blocked(world, "IrreversibleChangeConsented")).toBeDefined();
  });

  test("is not rolled back by itself, also when it fails, unless a person insists", () => {
    const world = settled(EngineSpec.parse({ ...engine, versions: ONE_WAY }));
    world.broken.add("example/engine:2");
    world.change(VERSION_2);
    turns(world, 10);
    override(world, "IrreversibleChangeConsented");
    turns(world, 30, 5);
    expect(world.status.rollout?.failed).toHaveLength(1);
    expect(replaced(world)).toEqual(["orders-2"]);
    expect(blocked(world, "RollbackPossible")?.message).toContain("irreversibleFrom");
    override(world, "RollbackPossible");
    world.settle();
    expect(world.status.rollout?.phase).toBe("RolledBack");
  });

  test("is not undone by going back to the earlier version in the spec either", () => {
    const world = settled(EngineSpec.parse({ ...engine, versions: ONE_WAY }));
    world.change(VERSION_2);
    turns(world, 10);
    override(world, "IrreversibleChangeConsented");
    world.settle();
    world.trace.length = 0;
    world.change(BASE);
    turns(world, 20);
    expect(replaced(world)).toEqual([]);
    expect(blocked(world, "RollbackPossible")).toBeDefined();
  });
});

describe("a rollback", () => {
  function failing(answer?: "Refused" | "Failed"): Simulator {
    const world = settled();
    if (answer !== undefined) world.hookAnswers.set("canRollBack", answer);
    world.broken.add("example/engine:2");
    world.change(VERSION_2);
    turns(world, 40, 4);
    return world;
  }

  test("asks first, and goes when it may", () => {
    const world = failing();
    world.settle();
    expect(asked(world)).toEqual(["beforeUpdate", "canRollBack"]);
    expect(world.hooks[1]).toMatchObject({ fromVersion: "2", toVersion: "1" });
    expect(world.status.rollout?.phase).toBe("RolledBack");
  });

  test("that the Engine refuses is asked for once, held back, and explained", () => {
    const world = failing("Refused");
    turns(world, 40, 10);
    expect(asked(world)).toEqual(["beforeUpdate", "canRollBack"]);
    expect(replaced(world)).toEqual(["orders-2"]);
    expect(blocked(world, "RollbackPossible")?.message).toContain("canRollBack says Refused");
    world.change({ ...VERSION_2, engine: { name: "example", image: "example/engine:2.1", version: "2" } });
    world.hookAnswers.clear();
    world.settle();
    expect(world.status.rollout?.phase).toBe("Complete");
  });

  test("is asked again by itself where the Engine could not say", () => {
    const world = failing("Failed");
    expect(blocked(world, "RollbackPossible")?.nextTry).toBeDefined();
    world.hookAnswers.clear();
    world.settle();
    expect(world.status.rollout?.phase).toBe("RolledBack");
  });
});

describe("whatever happens meanwhile", () => {
  const ANSWERS = ["Done", "Refused", "Failed"] as const;
  const anyAnswers = fc.record<Record<HookName, (typeof ANSWERS)[number]>>({
    beforeUpdate: fc.constantFrom(...ANSWERS),
    afterUpdate: fc.constantFrom(...ANSWERS),
    canRollBack: fc.constantFrom(...ANSWERS),
  });
  const anyFault = fc.constantFrom("none", "leader dies", "leader is evicted", "leader's node is lost");

  test("no member changes before its hook said yes, and it ends as the last word says", () => {
    const anyRun = fc.record({
      answers: anyAnswers,
      fault: anyFault,
      at: fc.nat(25),
      seed: fc.nat(1e6),
      bad: fc.boolean(),
    });
    fc.assert(
      fc.property(anyRun, ({ answers, fault, at, seed, bad }) => {
        const world = settled(hookedEngine, lottery(seed));
        for (const [hook, answer] of Object.entries(answers)) {
          if (answer !== "Done") world.hookAnswers.set(hook as HookName, answer);
        }
        if (bad) world.broken.add("example/engine:2");
        world.change(VERSION_2);
        turns(world, at);
        const leader = world.leader ?? "";
        const node = world.pods.get(leader)?.node ?? "";
        if (fault === "leader dies") world.kill(leader);
        if (fault === "leader is evicted") evict(world, leader);
        if (fault === "leader's node is lost") loseNode(world, node);
        turns(world, 30, 3); // the simulator judges every step: see safety.ts
        healNode(world, node);
        if (answers.beforeUpdate === "Refused") expect(replaced(world)).toEqual([]);
        world.hookAnswers.clear();
        for (let round = 0; round < 3; round += 1) {
          for (const guard of ["IrreversibleChangeConsented", "RollbackPossible"] as const) {
            if (blocked(world, guard) !== undefined) override(world, guard);
          }
          turns(world, 20, 5);
        }
        world.settle(1_500);
        expect(world.status.rollout?.phase).toBe(bad ? "RolledBack" : "Complete");
      }),
      { numRuns: 15 },
    );
  }, 60_000);
});
