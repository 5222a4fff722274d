/** Exhaustive search with a bounded number of deviations, and random walks without a bound. */
import { hash } from "node:crypto";
import { canonical } from "./canonical.ts";
import { deviationsFrom, KINDS, type Kind } from "./deviations.ts";
import { heal, nextIndex, passTime, plainStep, PROGRESS_TICKS, isWaiting, take } from "./schedule.ts";
import type { Protocol, World } from "./world.ts";

/** A schedule that broke a promise. `trace` names the deviations in the order in which they were taken. */
export interface Finding {
  readonly violation: string;
  readonly trace: readonly string[];
}

/** What an exploration did. */
export interface Outcome {
  readonly states: number;
  readonly steps: number;
  readonly depth: number;
  readonly complete: boolean;
  readonly finding: Finding | null;
}

/** Bounds of an exploration. `budget`: deviations from the plain schedule in one run; `window`: ticks between two of them. */
export interface Bounds {
  readonly kinds: ReadonlySet<Kind>;
  readonly budget: number;
  readonly window: number;
  readonly maxStates: number;
}

interface Node {
  readonly world: World;
  readonly left: number;
  readonly depth: number;
  readonly trace: readonly string[];
}

/**
 * Visits every world that can be reached from `start` by the plain schedule with at most `budget` deviations, taken at any
 * step of the first `window` ticks and within `window` ticks of each other. Each run goes on, repaired, until somebody must serve.
 */
export function explore(protocol: Protocol, start: World, bounds: Bounds): Outcome {
  const visited = new Set<string>();
  const stack: Node[] = [{ world: { ...start, calmTicks: 0 }, left: bounds.budget, depth: 0, trace: [] }];
  let steps = 0;
  let depth = 0;
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    let { world } = node;
    // Without anything left to choose there is one way on; worlds are compared where time passes, elsewhere at each step.
    for (let at = node.depth; ; at += 1) {
      depth = Math.max(depth, at);
      const problem = problemOf(world);
      if (problem !== null)
        return {
          states: visited.size,
          steps,
          depth,
          complete: false,
          finding: { violation: problem, trace: node.trace },
        };
      if (world.calmTicks > PROGRESS_TICKS) break;
      const mayDeviate = node.left > 0 && world.calmTicks <= bounds.window;
      if (mayDeviate || nextIndex(world) === -1) {
        const key = keyOf(world, mayDeviate ? node.left : 0);
        if (visited.has(key)) break;
        visited.add(key);
        if (visited.size >= bounds.maxStates)
          return { states: visited.size, steps, depth, complete: false, finding: null };
      }
      if (mayDeviate) {
        for (const { label, world: next } of deviationsFrom(world, bounds.kinds)) {
          stack.push({ world: next, left: node.left - 1, depth: at + 1, trace: [...node.trace, `${at}: ${label}`] });
        }
      }
      world = plainStep(protocol, world);
      steps += 1;
    }
  }
  return { states: visited.size, steps, depth, complete: true, finding: null };
}

function keyOf(world: World, left: number): string {
  return `${hash("md5", canonical(world), "base64")}${left}.${world.calmTicks}`;
}

/** A broken promise: one that an oracle saw, or that nobody serves although everything has been whole for long. */
function problemOf(world: World): string | null {
  const { violation } = world.ledger;
  if (violation !== null) return violation;
  if (world.calmTicks <= PROGRESS_TICKS) return null;
  const leading = world.nodes.filter(({ engine }) => engine.mode === "writable");
  const leader = leading[0];
  // After the register went back, stopping with a reason is right: a person decides what histories cannot.
  if (
    leader === undefined &&
    world.ledger.regressed &&
    world.nodes.some(({ state }) => (state?.blocked ?? null) !== null)
  ) {
    return null;
  }
  if (leading.length !== 1 || leader === undefined)
    return `${leading.length} writable engines long after everything was repaired`;
  if (leader.state?.role.kind !== "leader" || !leader.state.role.routed)
    return `${leader.name} leads but does not serve long after everything was repaired`;
  if (world.ledger.served !== leader.engine.epoch)
    return `epoch ${world.ledger.served} is routed, ${leader.engine.epoch} leads`;
  const idle = world.nodes.find((node) => node.engine.log.length !== leader.engine.log.length);
  return idle === undefined ? null : `${idle.name} does not follow long after everything was repaired`;
}

/** A small, seeded generator: the same seed gives the same walk. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One random walk: work in any order, deviations at a random rate, then repair and the demand that somebody serves. */
export function walk(
  protocol: Protocol,
  start: World,
  seed: number,
  options: { steps: number; kinds: ReadonlySet<Kind> },
): Outcome {
  const random = randomFrom(seed);
  const rate = 0.005 + 0.06 * random();
  const disorder = random() * 0.5;
  const trace: string[] = [];
  let world: World = { ...start, calmTicks: 0 };
  const done = (at: number, finding: Finding | null): Outcome => ({
    states: at,
    steps: at,
    depth: at,
    complete: true,
    finding,
  });
  for (let at = 0; at < options.steps; at += 1) {
    const { violation } = world.ledger;
    if (violation !== null) return done(at, { violation, trace });
    if (random() < rate) {
      const choices = deviationsFrom(world, options.kinds);
      const choice = choices[Math.floor(random() * choices.length)];
      if (choice !== undefined) {
        world = choice.world;
        trace.push(`${at}: ${choice.label}`);
      }
      continue;
    }
    if (random() < rate / 8) world = heal(world);
    world = { ...randomStep(protocol, world, random, disorder), calmTicks: 0 };
  }
  let at = options.steps;
  for (; world.calmTicks <= PROGRESS_TICKS && problemOf(world) === null; at += 1) world = plainStep(protocol, world);
  const violation = problemOf(world);
  return done(at, violation === null ? null : { violation, trace });
}

function randomStep(protocol: Protocol, world: World, random: () => number, disorder: number): World {
  if (random() >= disorder) return plainStep(protocol, world);
  const ready = world.queue.map((_, index) => index).filter((index) => isReady(world, index));
  const index = ready[Math.floor(random() * (ready.length + 1))];
  return index === undefined ? passTime(protocol, world) : take(protocol, world, index);
}

function isReady(world: World, index: number): boolean {
  const item = world.queue[index];
  return item !== undefined && !isWaiting(world, item);
}

/** All kinds of deviations. */
export const ALL_KINDS: ReadonlySet<Kind> = new Set(KINDS);
