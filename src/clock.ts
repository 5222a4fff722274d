// Time as a value that is passed in: production hands over `systemClock`, tests and the simulator their own.

/** The time source of everything that waits. Milliseconds throughout. */
export interface Clock {
  /** Monotonic milliseconds with no meaning but their differences; never goes back, never jumps with the wall clock. */
  monotonicMs(): number;
  /** Wall clock, for timestamps that people or the API server read; never for measuring how long something took. */
  now(): Date;
  /** Calls `callback` once, `delayMs` from now; the returned function cancels it and may be called any number of times. */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** A number in [0, 1). Injected wherever jitter is drawn, so that tests can repeat a schedule. */
export type Random = () => number;

const LONGEST_TIMER_MS = 2 ** 31 - 1; // Node fires longer timers at once

/** The machine's own clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  now: () => new Date(),
  schedule: (delayMs, callback) => {
    if (delayMs <= 0) {
      const next = setImmediate(callback); // a timer of 0 ms takes one
      return () => clearImmediate(next);
    }
    const timer = setTimeout(callback, Math.min(delayMs, LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};

/**
 * Waits `delayMs`, or less when `signal` aborts.
 *
 * @returns true when the whole time passed, false when it was cut short. Never rejects: callers in a loop look at their
 *   signal anyway, and an exception for an expected end would only be caught and thrown away.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = () => {
      cancel();
      resolve(false);
    };
    const cancel = clock.schedule(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(true);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
