// Where most tests of the planner begin: a cluster that runs.
import { Simulator } from "./simulator.ts";

/** A settled cluster of `members`. */
export function running(members: number, spec: object = {}): Simulator {
  const world = new Simulator({ members, ...spec });
  world.settle();
  return world;
}

/** Names of the first `count` members. */
export function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `orders-${i}`);
}
