// What people are told of a whole cluster over passes of the simulator: that it stops and starts, and follows another authority.
import { expect, test } from "vitest";
import { ANNOTATION_ROTATE_AUTHORITY } from "../../../src/build/labels.ts";
import { newsOf } from "../../../src/controller/narrator.ts";
import { engine } from "../plan/fixture.ts";
import { Simulator } from "../plan/simulator.ts";

/** Lets the cluster come to rest. @returns the Events of these actions on the way. */
function toldUntilRest(world: Simulator, actions: readonly string[] = ["Stop", "Start"]): string[] {
  const told: string[] = [];
  for (let second = 0; second < 60; second += 1) {
    const seen = world.observe();
    if (seen.cluster === undefined) throw new Error("the cluster exists");
    for (const { event } of newsOf(seen, seen.cluster, world.plan())) {
      if (actions.includes(event.action)) told.push(`${event.reason}: ${event.note}`);
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

test("every step from one authority to the next is told of once, with its reason", () => {
  const world = new Simulator({ members: 3 });
  world.engine = { ...engine, clientTls: true };
  const steps = (): string[] => toldUntilRest(world, ["ReplaceAuthority"]);
  expect(steps()).toEqual([]); // a first one follows none
  world.annotations = { [ANNOTATION_ROTATE_AUTHORITY]: "leaked" };
  const at = new Date(world.nowMs + 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");
  expect(steps()).toEqual([
    `AuthorityTrusted: A next authority is trusted beside the former and signs nothing before ${at}, so that clients can read ca.crt. Why now: quorate.io/rotate-authority asks for another authority.`,
  ]);
  world.nowMs += 3_600_000;
  expect(steps()).toEqual([
    "AuthoritySigns: The next authority signs the members' certificate; both are still trusted. Why now: every member trusts the next authority.",
    "AuthoritySettled: The former authority is trusted no more; the next one took its place. Why now: every member shows the next one's certificate.",
  ]);
});
