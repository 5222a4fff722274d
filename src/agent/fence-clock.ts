/**
 * The agent's clock and its relation to init's CLOCK_BOOTTIME.
 *
 * Node reads CLOCK_MONOTONIC, which stands still while a machine is suspended. A fence deadline is therefore computed from
 * a sample of both clocks that is older than the send it counts from: whatever happens later can only make it nearer.
 */

/** One reading of both clocks; `monotonicMs` was read after init answered, so it is never too early. */
interface ClockSample {
  readonly monotonicMs: number;
  readonly boottimeNs: bigint;
  readonly realtimeMs: number;
}

/** The clocks that Node can read. */
export interface NodeClocks {
  readonly monotonicMs: () => number;
  readonly realtimeMs: () => number;
}

const NODE_CLOCKS: NodeClocks = { monotonicMs: () => performance.now(), realtimeMs: () => Date.now() };

/** Clocks that drift apart by more than this between two samples have been stopped or set. */
const DISAGREEMENT_MS = 1000;

const SAMPLES_KEPT = 64;

/** Reads time in integer milliseconds and converts deadlines for init. */
export class FenceClock {
  readonly #samples: ClockSample[] = [];
  readonly #clocks: NodeClocks;

  constructor(clocks = NODE_CLOCKS) {
    this.#clocks = clocks;
  }

  /** Monotonic milliseconds; the protocol's `nowMs`. */
  nowMs(): number {
    return Math.floor(this.#clocks.monotonicMs());
  }

  /**
   * Takes a reading of init's clock.
   *
   * @returns true when the clocks disagree with the previous reading: the machine slept, or a clock was set.
   */
  sample(boottimeNs: bigint): boolean {
    const previous = this.#samples.at(-1);
    const next = { monotonicMs: this.#clocks.monotonicMs(), boottimeNs, realtimeMs: this.#clocks.realtimeMs() };
    this.#samples.push(next);
    if (this.#samples.length > SAMPLES_KEPT) this.#samples.shift();
    if (previous === undefined) return false;
    const monotonic = next.monotonicMs - previous.monotonicMs;
    const boottime = Number(next.boottimeNs - previous.boottimeNs) / 1e6;
    const realtime = next.realtimeMs - previous.realtimeMs;
    return Math.abs(boottime - monotonic) > DISAGREEMENT_MS || Math.abs(realtime - monotonic) > DISAGREEMENT_MS;
  }

  /**
   * Init's time for `deadlineMs`.
   *
   * @param sinceMs - When the confirmed renewal was sent; only samples from strictly before it are used: a machine may sleep within the same millisecond.
   * @returns undefined when there is no such sample: then nothing may be extended.
   */
  deadlineNs(deadlineMs: number, sinceMs: number): bigint | undefined {
    const sample = this.#samples.findLast((one) => one.monotonicMs < sinceMs);
    if (sample === undefined) return undefined;
    return sample.boottimeNs + BigInt(Math.floor((deadlineMs - sample.monotonicMs) * 1e6));
  }
}
