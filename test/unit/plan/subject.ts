// What pairs of changes are tried on: the worlds of one topology, what happens to clusters there, and how they are to end.
import { isSameJson } from "../../../src/build/hash.ts";
import type { INTERLOCKS } from "../../../src/plan/interlock.ts";
import type { Plan } from "../../../src/plan/plan.ts";
import type { Choose } from "./simulator.ts";

/** A row of the interlock table. */
export type InterlockedChange = (typeof INTERLOCKS)[number]["change"];

/** A cluster in its world, as far as schedules deal with it. */
export interface PairWorld {
  nowMs: number;
  readonly trace: readonly string[];
  readonly status: object;
  /** How often the operator looked, since this world began or was forked. */
  readonly looks: number;
  change(spec: object): void;
  /** Says that something was changed from outside. */
  touch(): void;
  /** The operator looks at its next turn, whether there is news or not. */
  resync(): void;
  /** What the operator would do now. */
  plan(): Plan;
  /** One pass of the operator. @param meanwhile - What happens between looking and acting. */
  pass(meanwhile?: () => void): boolean;
  /** One thing happens in the world, if anything can. */
  move(): boolean;
  settle(limit?: number): void;
}

/** Something that happens to a cluster. */
export interface Change<W> {
  /** What it wants of the spec. */
  readonly spec?: object;
  readonly begin?: (world: W) => void;
  /** Mends what must be mended before the cluster can come to rest. */
  readonly end?: (world: W) => void;
  /** What the spec wants afterwards, where that is something else. */
  readonly finally?: object;
}

/** What was done to a cluster that is to be at rest now. */
export interface Past {
  readonly spec: object;
  readonly names: readonly string[];
  /** The revision of the beginning, which works. */
  readonly good: string | undefined;
}

/** Clusters of one topology: how they begin, what happens to them, and how they are to end. */
export interface Subject<W extends PairWorld> {
  readonly base: object;
  readonly changes: Readonly<Record<string, Change<W>>>;
  /** Which of the changes stand for a row of the interlock table; or why the topology knows no such change. */
  readonly rows: Readonly<Record<InterlockedChange, readonly string[] | string>>;
  /** A cluster that has come to rest. */
  readonly begin: (choose: Choose) => W;
  readonly fork: (world: W) => W;
  readonly revisionOf: (world: W) => string | undefined;
  /** Does what only people can. @throws {Error} at the first thing that is not as it must be. */
  readonly conclude: (world: W, past: Past) => void;
}

/** Takes `change` over into `spec`, field by field. */
export function merged(spec: object, change: object): object {
  const result: Record<string, unknown> = { ...spec };
  for (const [field, value] of Object.entries(change)) {
    const before = result[field];
    const isInner = typeof before === "object" && before !== null && typeof value === "object" && value !== null;
    result[field] = isInner ? merged(before, value as object) : value;
  }
  return result;
}

/** @throws {Error} with the reason when it does not hold. */
export function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

/** Half an hour of resyncs finds nothing to do and writes nothing. */
export function assertSilent(world: PairWorld): void {
  check(world.plan().steps.length === 0, "L2: there is still something to do");
  const { status } = world;
  const steps = world.trace.length;
  for (let resync = 0; resync < 3; resync += 1) {
    world.nowMs += 600_000;
    world.resync();
    world.pass();
  }
  check(world.trace.length === steps && isSameJson(world.status, status), "L2: it writes although nothing changes");
}
