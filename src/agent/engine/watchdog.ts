/** An engine that answers nothing for this many lease durations counts as hung. */
const HUNG_LEASES = 2;

/**
 * Notices an engine that runs and answers nothing: a stopped process, a full disk, a lock on everything. Whatever the
 * cause, nobody can take over from an engine that neither serves nor ends.
 */
export class EngineWatchdog {
  readonly #limitMs: number;
  #answeredAtMs: number;

  constructor(leaseMs: number, nowMs: number) {
    this.#limitMs = HUNG_LEASES * leaseMs;
    this.#answeredAtMs = nowMs;
  }

  /** The engine answered, or is in no state to answer. */
  answered(nowMs: number): void {
    this.#answeredAtMs = nowMs;
  }

  /** How long it has been silent, once that is too long; then the count begins anew. */
  hungForMs(nowMs: number): number | undefined {
    const silentMs = nowMs - this.#answeredAtMs;
    if (silentMs <= this.#limitMs) return undefined;
    this.#answeredAtMs = nowMs;
    return silentMs;
  }
}
