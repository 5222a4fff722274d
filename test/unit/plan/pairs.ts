// Two changes at once: the second begins at any step of the first. Whatever the order, it ends as both ask, safely all the way
// (the worlds check every step), and then nothing moves any more. So in every topology whose members keep something.
import { memberSubject, type MemberTopology } from "./member-changes.ts";
import { shardSubject } from "./shard-changes.ts";
import type { Choose } from "./simulator.ts";
import { type Change, merged, type PairWorld, type Past, type Subject } from "./subject.ts";

/** The topologies that pairs are tried in. */
export type PairTopology = MemberTopology | "Sharded";
export const TOPOLOGIES: readonly PairTopology[] = ["ActivePassive", "Consensus", "ActiveActive", "Sharded"];

/** One schedule: which changes, when the second begins, and the seed of all disorder. */
export interface Schedule {
  readonly topology: PairTopology;
  readonly first: string;
  readonly second: string;
  /** Turns of operator and world between the two. */
  readonly at: number;
  readonly seed: number;
  /** The world moves between looking and acting. */
  readonly stale: boolean;
}

/** Runs one schedule from its beginning. @throws {Error} at the first thing that is not as it must be. */
export function runSchedule({ topology, first, second, at, seed, stale }: Schedule): PairWorld {
  const way = beginning(topology, seed, stale);
  way.begin(first);
  way.go(at);
  return way.end(second);
}

function subjectOf(topology: PairTopology): Pick<Subject<never>, "changes" | "rows"> {
  return topology === "Sharded" ? shardSubject : memberSubject(topology);
}

/** The changes that are tried in a topology. */
export function changesIn(topology: PairTopology): readonly string[] {
  return Object.keys(subjectOf(topology).changes);
}

/** What stands for each row of the interlock table there. */
export function rowsIn(topology: PairTopology): Subject<never>["rows"] {
  return subjectOf(topology).rows;
}

/** How far a schedule has come. Those that begin alike have this part of their way in common. */
interface Way {
  begin(name: string): void;
  /** Operator and world take so many turns. */
  go(turns: number): void;
  /** The second change begins, and everything comes to rest. */
  end(second: string): PairWorld;
  /** Another one from here on. */
  fork(stale: boolean): Way;
}

function beginning(topology: PairTopology, seed: number, stale: boolean): Way {
  if (topology === "Sharded") return begun(shardSubject, seed, stale);
  return begun(memberSubject(topology), seed, stale);
}

function begun<W extends PairWorld>(subject: Subject<W>, seed: number, stale: boolean): Way {
  const world = subject.begin(lottery(seed));
  return new WayOf(subject, world, { spec: subject.base, names: [], good: subject.revisionOf(world) }, stale);
}

class WayOf<W extends PairWorld> implements Way {
  readonly #subject: Subject<W>;
  readonly #world: W;
  readonly #stale: boolean;
  #past: Past;

  constructor(subject: Subject<W>, world: W, past: Past, stale: boolean) {
    this.#subject = subject;
    this.#world = world;
    this.#past = past;
    this.#stale = stale;
  }

  fork(stale: boolean): Way {
    return new WayOf(this.#subject, this.#subject.fork(this.#world), this.#past, stale);
  }

  begin(name: string): void {
    const change = this.#changeOf(name);
    this.#past = { ...this.#past, names: [...this.#past.names, name] };
    change.begin?.(this.#world);
    this.#world.touch();
    if (change.spec !== undefined) this.#change(change.spec);
  }

  go(turns: number): void {
    const world = this.#world;
    for (let turn = 0; turn < turns; turn += 1) {
      if (this.#stale) world.pass(() => world.move());
      else if (world.pass()) world.pass(); // what it wrote is news for it, often before others have heard of it
      world.move();
      world.nowMs += 1_000;
    }
  }

  end(second: string): PairWorld {
    const world = this.#world;
    this.begin(second);
    this.go(30);
    for (const name of this.#past.names) {
      const change = this.#changeOf(name);
      change.end?.(world);
      world.touch();
      if (change.finally !== undefined) this.#change(change.finally);
    }
    world.settle(1_500);
    world.nowMs += 300_000; // an operation that nobody can answer any more ends at its deadline
    world.settle(1_500);
    this.#subject.conclude(world, this.#past);
    return world;
  }

  #changeOf(name: string): Change<W> {
    const change = this.#subject.changes[name];
    if (change === undefined) throw new Error(`${name} is no change of this topology`);
    return change;
  }

  #change(spec: object): void {
    this.#past = { ...this.#past, spec: merged(this.#past.spec, spec) };
    this.#world.change(this.#past.spec);
  }
}

/** A repeatable sequence of choices. */
export function lottery(seed: number): Choose {
  let state = seed >>> 0;
  const choose = (count: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * count);
  };
  return Object.assign(choose, { fork: () => lottery(state) });
}

/** The topologies that know the change, beginning with another one for every `turn`. */
function topologiesOf(names: readonly string[], turn: number): readonly PairTopology[] {
  const knowing = TOPOLOGIES.filter((topology) => names.every((name) => changesIn(topology).includes(name)));
  const from = turn % Math.max(1, knowing.length);
  return [...knowing.slice(from), ...knowing.slice(0, from)];
}

/** All changes of all topologies, each once. */
export const CHANGE_NAMES: readonly string[] = [...new Set(TOPOLOGIES.flatMap(changesIn))];

/**
 * Every pair in both orders once, in one of the topologies that know both; the second begins at a step of the first that is drawn for
 * it; every other one with stale views. Another `seed` tries the pairs in other topologies, at other steps.
 */
export function* drawnSchedules(steps: number, seed = 1): Generator<Schedule> {
  const draw = lottery(steps + 1_000 * (seed - 1));
  let count = 0;
  for (const first of CHANGE_NAMES) {
    for (const second of CHANGE_NAMES) {
      const at = draw(steps);
      const [topology] = topologiesOf([first, second], draw(TOPOLOGIES.length) + seed);
      count += 1;
      if (topology !== undefined) yield { topology, first, second, at, seed: count, stale: count % 2 === 0 };
    }
  }
}

/** A schedule, and how it is run. */
export interface Run {
  readonly schedule: Schedule;
  /** @throws {Error} at the first thing that is not as it must be. */
  readonly run: () => PairWorld;
}

/** Which schedules of all. */
export interface Selection {
  /** How many steps of the first change the second is begun at. */
  readonly steps: number;
  readonly seeds: Iterable<number>;
  readonly topologies?: readonly PairTopology[];
  /** Only those that begin with one of these. */
  readonly firsts?: readonly string[];
}

/**
 * Every pair in both orders, the second at each of the first steps of the first, with and without stale views, for each seed, in every
 * topology that knows both.
 *
 * What schedules have in common is run once: the start of the cluster for all of a seed, the first change up to a step for all
 * that begin another there. Each comes out as by `runSchedule`.
 */
export function* schedules({
  steps,
  seeds,
  topologies = TOPOLOGIES,
  firsts = CHANGE_NAMES,
}: Selection): Generator<Run> {
  for (const seed of seeds) {
    const ways = topologies.flatMap((topology) => {
      const start = beginning(topology, seed, false);
      const known = firsts.filter((first) => changesIn(topology).includes(first));
      return [false, true].flatMap((stale) => known.map((first) => outset(start, { topology, first, stale })));
    });
    yield* runsOf(ways, steps, seed);
  }
}

/**
 * A share of the same: each change first in one of the topologies that know it, with or without stale views. Another seed tries
 * it in another topology.
 */
export function* sharedSchedules({ steps, seeds, firsts = CHANGE_NAMES }: Selection): Generator<Run> {
  for (const seed of seeds) {
    const ways = firsts.flatMap((first) => {
      const turn = CHANGE_NAMES.indexOf(first) + seed;
      const [topology] = topologiesOf([first], turn);
      if (topology === undefined) return [];
      return outset(beginning(topology, seed, false), { topology, first, stale: turn % 2 === 0 });
    });
    yield* runsOf(ways, steps, seed);
  }
}

/** Steps outside: a run that is cut short has tried every pair at the earlier ones. */
function* runsOf(ways: readonly Outset[], steps: number, seed: number): Generator<Run> {
  for (let at = 0; at < steps; at += 1) {
    for (const { about, take, go } of ways) {
      for (const second of changesIn(about.topology)) {
        yield { schedule: { ...about, second, at, seed }, run: () => take().end(second) };
      }
      go();
    }
  }
}

interface Outset {
  readonly about: Pick<Schedule, "topology" | "first" | "stale">;
  readonly go: () => void;
  readonly take: () => Way;
}

/** A way that goes on step by step, for others to begin from. What went wrong on it went wrong on all of them. */
function outset(start: Way, about: Outset["about"]): Outset {
  const way = start.fork(about.stale);
  let failure: unknown;
  const attempt = (act: () => void): void => {
    if (failure !== undefined) return;
    try {
      act();
    } catch (error) {
      failure = error;
    }
  };
  attempt(() => way.begin(about.first));
  return {
    about,
    go: () => attempt(() => way.go(1)),
    take: (): Way => {
      if (failure !== undefined) throw failure;
      return way.fork(about.stale);
    },
  };
}
