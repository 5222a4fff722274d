// Between the watches, which say that something about a key changed, and the workers, which look what it is.
// Holds keys, never events or objects: however often a key is added, one pass over its latest state is enough.
import { type Clock, type Random, systemClock } from "../clock.ts";

/** Why a key is queued, most urgent first. A key that is added for several reasons keeps the most urgent one. */
export const PRIORITIES = ["failover", "change", "resync"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A key that was handed to a worker, to be given back with `done`. */
export interface QueueItem {
  readonly key: string;
  readonly priority: Priority;
  /** How often this key failed in a row, 0 on the first try. */
  readonly failures: number;
}

/** Hooks for metrics; each is called synchronously and must not throw. */
export interface QueueObserver {
  depth?(priority: Priority, keys: number): void;
  /** How long a key was ready before a worker took it. */
  waited?(priority: Priority, seconds: number): void;
  retried?(): void;
}

export interface QueueOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** Backoff after the first failure of a key, default 50. It doubles with every further failure. */
  readonly baseDelayMs?: number;
  /** Longest backoff, default 60,000. */
  readonly maxDelayMs?: number;
  readonly observer?: QueueObserver;
}

interface Ready {
  readonly priority: Priority;
  readonly sinceMs: number;
}

interface Delayed {
  readonly dueMs: number;
  readonly priority: Priority;
  readonly cancel: () => void;
}

/**
 * A queue of keys: deduplicated, in order of priority and then of arrival, one worker per key.
 *
 * Guarantees
 * - A key that is added while a worker has it is handed out once more after `done`, so no change is missed.
 * - A key is never with two workers.
 * - A key that is neither ready, delayed, with a worker nor failing takes no memory.
 *
 * Caveat: a steady stream of urgent keys starves the less urgent; `resync` is meant to wait for ever in that case.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  readonly #observer: QueueObserver;
  readonly #ready: Record<Priority, Map<string, Ready>> = { failover: new Map(), change: new Map(), resync: new Map() };
  readonly #delayed = new Map<string, Delayed>();
  readonly #active = new Map<string, Priority | undefined>(); // with a worker; the value: added again meanwhile
  readonly #failures = new Map<string, number>();
  readonly #takers = new Map<(item: QueueItem | undefined) => void, Priority>(); // with the least urgent that each takes
  #idleWaiters: (() => void)[] = [];
  #closed = false;

  constructor(options: QueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#baseDelayMs = options.baseDelayMs ?? 50;
    this.#maxDelayMs = options.maxDelayMs ?? 60_000;
    this.#observer = options.observer ?? {};
  }

  /** Keys that a worker could take now. */
  get depth(): number {
    return PRIORITIES.reduce((sum, priority) => sum + this.#ready[priority].size, 0);
  }

  /** Makes `key` ready now, also when it waits out a backoff. Does nothing once the queue is closed. */
  add(key: string, priority: Priority = "change"): void {
    if (this.#closed) return;
    const delayed = this.#delayed.get(key);
    if (delayed !== undefined) {
      delayed.cancel();
      this.#delayed.delete(key);
    }
    const wanted = delayed === undefined ? priority : moreUrgent(priority, delayed.priority);
    if (this.#active.has(key)) {
      this.#active.set(key, moreUrgent(wanted, this.#active.get(key)));
      return;
    }
    const queuedAs = PRIORITIES.find((p) => this.#ready[p].has(key));
    const best = moreUrgent(wanted, queuedAs);
    if (queuedAs === best) return;
    const sinceMs = queuedAs === undefined ? this.#clock.monotonicMs() : this.#unqueue(key, queuedAs);
    this.#ready[best].set(key, { priority: best, sinceMs });
    this.#observer.depth?.(best, this.#ready[best].size);
    this.#dispatch();
  }

  /**
   * Makes `key` ready in `delayMs`. Of several delays of one key the earliest counts; a key that is ready already stays so,
   * in the more urgent of its two lanes.
   */
  addAfter(key: string, delayMs: number, priority: Priority = "resync"): void {
    if (this.#closed) return;
    if (delayMs <= 0 || PRIORITIES.some((p) => this.#ready[p].has(key))) {
      this.add(key, priority);
      return;
    }
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const earlier = this.#delayed.get(key);
    const best = moreUrgent(priority, earlier?.priority);
    if (earlier !== undefined && earlier.dueMs <= dueMs) {
      if (best !== earlier.priority) this.#delayed.set(key, { ...earlier, priority: best });
      return;
    }
    earlier?.cancel();
    const cancel = this.#clock.schedule(delayMs, () => {
      const due = this.#delayed.get(key);
      this.#delayed.delete(key);
      this.add(key, due?.priority ?? best);
    });
    this.#delayed.set(key, { dueMs, priority: best, cancel });
  }

  /**
   * Queues `key` again after a failure, with exponential backoff (half fixed, half random).
   * @param retryAfterMs - What the other side asked for; the delay is never shorter.
   * @returns the delay in milliseconds.
   */
  retry(key: string, retryAfterMs = 0, priority: Priority = "change"): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    this.#observer.retried?.();
    const ceilingMs = Math.min(this.#maxDelayMs, this.#baseDelayMs * 2 ** Math.min(failures - 1, 40));
    const delayMs = Math.max(retryAfterMs, ceilingMs / 2 + (this.#random() * ceilingMs) / 2);
    this.addAfter(key, delayMs, priority);
    return delayMs;
  }

  /** Ends the row of failures of `key`; its next failure starts at the shortest backoff. Call after every success. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /**
   * Waits for a key that no worker has. Every item must be given back with `done`.
   * @param least - Take nothing less urgent; for a worker that is kept free for what must not wait.
   * @returns undefined when the queue is closed or `signal` aborts.
   */
  take(signal?: AbortSignal, least: Priority = "resync"): Promise<QueueItem | undefined> {
    const item = signal?.aborted === true ? undefined : this.#next(least);
    if (item !== undefined || this.#closed || signal?.aborted === true) return Promise.resolve(item);
    return new Promise((resolve) => {
      const taker = (taken: QueueItem | undefined) => {
        signal?.removeEventListener("abort", onAbort);
        resolve(taken);
      };
      const onAbort = () => {
        this.#takers.delete(taker);
        resolve(undefined);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#takers.set(taker, least);
    });
  }

  /** Gives a key back. If it was added meanwhile it is ready again at once. */
  done(key: string): void {
    if (!this.#active.has(key)) throw new TypeError(`done() for a key that no worker has: ${key}`);
    const again = this.#active.get(key);
    this.#active.delete(key);
    if (again !== undefined) this.add(key, again);
    if (this.#active.size === 0) this.#releaseIdleWaiters();
  }

  /**
   * Stops handing out keys and drops what is ready or delayed: the next start finds it again by listing.
   * @returns when no worker has a key any more.
   */
  close(): Promise<void> {
    this.#closed = true;
    for (const delayed of this.#delayed.values()) delayed.cancel();
    this.#delayed.clear();
    for (const priority of PRIORITIES) {
      this.#ready[priority].clear();
      this.#observer.depth?.(priority, 0);
    }
    for (const taker of this.#takers.keys()) taker(undefined);
    this.#takers.clear();
    if (this.#active.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  #dispatch(): void {
    for (const [taker, least] of this.#takers) {
      const item = this.#next(least);
      if (item === undefined) continue;
      this.#takers.delete(taker);
      taker(item);
    }
  }

  #next(least: Priority): QueueItem | undefined {
    for (const priority of PRIORITIES.slice(0, PRIORITIES.indexOf(least) + 1)) {
      const [key] = this.#ready[priority].keys(); // a Map keeps the order of arrival
      if (key === undefined) continue;
      const sinceMs = this.#unqueue(key, priority);
      this.#active.set(key, undefined);
      this.#observer.waited?.(priority, (this.#clock.monotonicMs() - sinceMs) / 1000);
      return { key, priority, failures: this.#failures.get(key) ?? 0 };
    }
    return undefined;
  }

  #unqueue(key: string, priority: Priority): number {
    const sinceMs = this.#ready[priority].get(key)?.sinceMs ?? this.#clock.monotonicMs();
    this.#ready[priority].delete(key);
    this.#observer.depth?.(priority, this.#ready[priority].size);
    return sinceMs;
  }

  #releaseIdleWaiters(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const release of waiters) release();
  }
}

function moreUrgent(a: Priority, b: Priority | undefined): Priority {
  return b === undefined || PRIORITIES.indexOf(a) <= PRIORITIES.indexOf(b) ? a : b;
}
