// What people are told of a whole cluster that stops and starts, over passes of the simulator.
import { expect, test } from "vitest";
import { newsOf } from "../../../src/controller/narrator.ts";
import { Simulator } from "../plan/simulator.ts";

/** Lets the cluster come to rest. @returns the Events about a stop or start on the way. */
function toldUntilRest(world: Simulator): string[] {
  const told: string[] = [];
  for (let second = 0; second < 60; second += 1) {
    const seen = world.observe();
    if (seen.cluster === undefined) throw new Error("the cluster exists");
    for (const { event } of newsOf(seen, seen.cluster, world.plan())) {
      if (event.action === "Stop" || event.action === "Start") told.push(`${event.reason}: ${event.note}`);
    }
    world.pass();
    world.move();
    world.nowMs += 1_000;
  }
  return told;
}

test("a cluster that is stopped and started is told of once each, and a new one is neither", () => {
  const world = new Simulator({ members: 3 });
  expect(toldUntilRest(world)).toEqual([]);
  world.change({ members: 3, stopped: true });
  expect(toldUntilRest(world)).toEqual(["ClusterStopped: All members have ended; volumes are kept."]);
  world.change({ members: 3, stopped: false });
  expect(toldUntilRest(world)).toEqual([
    "ClusterStarting: The members start again. orders-0, which led last, goes first.",
  ]);
});
