// What people and metrics are told of rolls, over whole rolls of the simulator.
import { expect, test } from "vitest";
import { rolloutNews } from "../../../src/controller/rollout-news.ts";
import { Simulator } from "../plan/simulator.ts";

/** Lets the cluster come to rest. @returns the reasons of the Events on the way. */
function reasonsUntilRest(world: Simulator): string[] {
  const reasons: string[] = [];
  for (let second = 0; second < 300; second += 1) {
    reasons.push(...rolloutNews(world.status.rollout, world.plan().rollout).map(({ event }) => event.reason));
    world.pass();
    world.move();
    world.nowMs += 1_000;
  }
  return reasons;
}

const UPDATE = { update: { progressDeadlineSeconds: 60 } };

test("a new cluster is no roll; a roll is told once when it begins and once when it ends", () => {
  const world = new Simulator({ members: 3 });
  expect(reasonsUntilRest(world)).toEqual([]);
  world.change({ members: 3, engine: { name: "example", version: "2" } });
  expect(reasonsUntilRest(world)).toEqual(["RolloutStarted", "RolloutCompleted"]);
  expect(reasonsUntilRest(world)).toEqual([]);
});

test("a roll that fails is told with its reason, and so is the way back", () => {
  const world = new Simulator({ members: 3, ...UPDATE });
  world.settle();
  world.broken.add("example/engine:2");
  world.change({ members: 3, ...UPDATE, engine: { name: "example", version: "2" } });
  expect(reasonsUntilRest(world)).toEqual(["RolloutStarted", "RolloutFailed", "RollbackStarted", "RolledBack"]);
});
