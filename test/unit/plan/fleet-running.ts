// Where tests of topology Stateless begin: four members that serve.
import { FleetWorld } from "./fleet-world.ts";

/** An update that tries a revision on one member for a minute. */
export const CANARY = { strategy: "Canary", canary: { members: 1, bakeSeconds: 60 } };

/** A settled cluster of four. */
export function runningFleet(spec: object = {}): FleetWorld {
  const world = new FleetWorld({ members: 4, ...spec });
  world.settle();
  world.leastReady = Number.POSITIVE_INFINITY;
  return world;
}

/** The part of a spec that asks for a version. */
export function versioned(wanted: string): object {
  return { engine: { name: "example", version: wanted } };
}

/** What holds something back. */
export function blockedBy(world: FleetWorld): string[] {
  return (world.status.blocked ?? []).map(({ guard }) => guard);
}
