// What planners remember between passes saves time and changes nothing: whoever sees the same for the first time plans the same.
import { describe, expect, test } from "vitest";
import { type BuildContext, keptContext } from "../../../src/build/context.ts";
import type { Plan } from "../../../src/plan/plan.ts";
import { planCluster } from "../../../src/plan/plan-cluster.ts";
import { contextOf, hookedEngine } from "./fixture.ts";
import { CHANGES, type ChangeName } from "./member-changes.ts";
import { lottery } from "./pairs.ts";
import { Simulator } from "./simulator.ts";
import { type Change, merged } from "./subject.ts";

const BASE = { members: 3, update: { minReadySeconds: 1, progressDeadlineSeconds: 60 } };

/** Lets the world go on for so many turns. @returns the plan of each, and that of somebody who remembers nothing. */
function planTwice(world: Simulator, turns: number): { readonly kept: Plan[]; readonly fresh: Plan[] } {
  const plans: { kept: Plan[]; fresh: Plan[] } = { kept: [], fresh: [] };
  for (let turn = 0; turn < turns; turn += 1) {
    const seen = world.observe();
    plans.kept.push(planCluster(seen));
    plans.fresh.push(planCluster(structuredClone(seen)));
    world.pass();
    world.move();
    world.nowMs += 1_000;
  }
  return plans;
}

test.each(Object.keys(CHANGES) as ChangeName[])("%s is planned as by an operator that has just started", (name) => {
  const world = new Simulator(BASE, lottery(3));
  world.engine = hookedEngine;
  const before = planTwice(world, 20);
  expect(before.kept).toEqual(before.fresh);
  const change: Change<Simulator> = CHANGES[name];
  change.begin?.(world);
  if (change.spec !== undefined) world.change(merged(BASE, change.spec));
  const after = planTwice(world, 30);
  expect(after.kept).toEqual(after.fresh);
});

test("what somebody else changed is brought in order however often it was found in order before", () => {
  const world = new Simulator(BASE);
  world.settle();
  for (const key of [
    "Service/orders-rw",
    "Role/orders-member",
    "StatefulSet/orders-1",
    "ConfigMap/orders-intent",
    "PersistentVolumeClaim/orders-2-data",
  ]) {
    const child = world.children.get(key);
    if (child === undefined) throw new Error(`no ${key} among ${[...world.children.keys()].join()}`);
    const { metadata } = child.manifest;
    const manifest = {
      ...child.manifest,
      metadata: { ...metadata, labels: { ...metadata.labels, "quorate.io/cluster": "x" } },
    };
    world.children.set(key, { ...child, version: child.version + 1, manifest });
    expect(
      world
        .plan()
        .steps.map((step) => ("manifest" in step ? `${step.manifest.kind}/${step.manifest.metadata.name}` : "")),
    ).toEqual([key]);
    world.settle();
    expect(world.children.get(key)?.manifest.metadata.labels["quorate.io/cluster"]).toBe("orders");
  }
});

describe("the context of a cluster", () => {
  const context = contextOf({ members: 3 });
  const kept = keptContext(context);

  test("stays the same object while nothing in it differs", () => {
    expect(keptContext({ ...context, settings: { ...context.settings }, told: { ...context.told } })).toBe(kept);
  });

  test.each<[string, Partial<BuildContext>]>([
    ["uid", { uid: "another" }],
    ["engine", { engine: hookedEngine }],
    ["engineImage", { engineImage: "example/engine:9" }],
    ["settings.agentImage", { settings: { agentImage: "quorate/agent:9" } }],
    ["settings.tracesUrl", { settings: { ...context.settings, tracesUrl: "http://traces" } }],
    ["told", { told: { verbosity: "7" } }],
    ["trace", { trace: { traceparent: "00-1-1-01", collectorUrl: "http://traces" } }],
  ])("is another one with another %s", (_, change) => {
    const other = { ...context, ...change };
    expect(keptContext(other)).toBe(other);
    expect(keptContext({ ...context })).not.toBe(other);
  });
});
