// Virtual time. Every timer and every answer of an interface is an event here; between two events nothing moves, and which
// of several comes first is drawn from the seed. So a seed is a run.
import type { Clock, Random } from "../../src/clock.ts";

/** Where virtual time begins. */
export const EPOCH_MS = Date.parse("2030-01-01T00:00:00Z");

/** Who waits for an event: its own clock, and whether it lives. */
export interface Actor {
  readonly name: string;
  readonly clock: Clock;
  /** Drops everything that it waits for: its process is gone. */
  kill(): void;
  readonly isAlive: boolean;
  /** Nothing that it waits for comes while it is stopped; all of it comes, late, once it goes on. */
  pause(): void;
  resume(): void;
}

/** How an actor's clock goes. */
export interface ClockFault {
  /** Its seconds in one of ours. */
  readonly rate?: number;
  /** How far its wall clock is ahead. */
  readonly aheadMs?: number;
}

interface Event {
  readonly dueMs: number;
  readonly order: number;
  readonly actor: SimActor | undefined;
  readonly run: () => void;
  isCancelled: boolean;
}

/** A repeatable source of numbers in [0, 1). */
export function randomOf(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The one loop of a run. */
export class Scheduler {
  readonly random: Random;
  /** What happened, a line each: two runs are the same when these are. */
  readonly trace: string[] = [];
  /** Events carried out so far. */
  steps = 0;
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #order = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  /** Milliseconds since the run began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Notes what happened. */
  note(who: string, what: string): void {
    this.trace.push(`${(this.#nowMs / 1000).toFixed(3).padStart(9)}  ${who.padEnd(12)} ${what}`);
  }

  /** Some milliseconds in [least, most), drawn. */
  between(leastMs: number, mostMs: number): number {
    return leastMs + this.random() * (mostMs - leastMs);
  }

  /** Calls `run` in `delayMs`, for the world itself. @returns the function that cancels it. */
  after(delayMs: number, run: () => void): () => void {
    return this.push(Math.max(0, delayMs), run, undefined);
  }

  /** A new actor. */
  actor(name: string, fault: ClockFault = {}): Actor {
    return new SimActor(this, name, fault);
  }

  /** For actors: calls `run` unless the actor is gone by then. */
  push(delayMs: number, run: () => void, actor: SimActor | undefined): () => void {
    this.#order += 1;
    const event: Event = { dueMs: this.#nowMs + delayMs, order: this.#order, actor, run, isCancelled: false };
    insert(this.#heap, event);
    return () => void (event.isCancelled = true);
  }

  /**
   * Lets events happen until `isOver` says so or the time is up. After each event, everything that it lets go on has gone on
   * before the next.
   * @returns whether `isOver` was reached.
   */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<boolean> {
    while (!isOver()) {
      const next = this.#heap[0];
      if (next === undefined || next.dueMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return isOver();
      }
      removeFirst(this.#heap);
      if (next.isCancelled || next.actor?.takesIn(next) === false) continue;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.steps += 1;
      next.run();
      await new Promise<void>((resolve) => setImmediate(resolve)); // all promises that can go on go first
    }
    return true;
  }
}

/** An actor of a run. Its clock may go faster or slower than the world's. */
class SimActor implements Actor {
  readonly name: string;
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  #isAlive = true;
  #missed: Event[] | undefined;

  constructor(scheduler: Scheduler, name: string, { rate = 1, aheadMs = 0 }: ClockFault) {
    this.#scheduler = scheduler;
    this.name = name;
    this.clock = {
      monotonicMs: () => scheduler.nowMs * rate,
      now: () => new Date(EPOCH_MS + scheduler.nowMs * rate + aheadMs),
      schedule: (delayMs, callback) => scheduler.push(Math.max(0, delayMs) / rate, callback, this),
    };
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  kill(): void {
    this.#isAlive = false;
  }

  pause(): void {
    this.#missed ??= [];
  }

  resume(): void {
    const missed = this.#missed ?? [];
    this.#missed = undefined;
    for (const event of missed) if (!event.isCancelled) this.#scheduler.push(0, event.run, this);
  }

  /** Whether the event can be carried out now. */
  takesIn(event: Event): boolean {
    if (this.#missed === undefined) return this.#isAlive;
    if (this.#isAlive) this.#missed.push(event);
    return false;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

/** Puts an event into a binary heap. */
function insert(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || !isBefore(event, parent)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = event;
}

function removeFirst(heap: Event[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    const [left, right] = [heap[child], heap[child + 1]];
    if (left === undefined) break;
    let least = left;
    if (right !== undefined && isBefore(right, left)) {
      least = right;
      child += 1;
    }
    if (!isBefore(least, last)) break;
    heap[at] = least;
    at = child;
  }
  heap[at] = last;
}
