/** How long a move that failed waits before it is tried again. */
import type { Move } from "./types.ts";

/** A period first, then twice as long, up to this many. */
const MAX_PAUSE_PERIODS = 16;

/** Remembers which move failed last, and how often in a row. */
export class Pacing {
  #failed: Move["kind"] | undefined;
  #failures = 0;
  #notBeforeMs = 0;

  /** Whether a move of that kind still waits. */
  isHeldBack(kind: Move["kind"], nowMs: number): boolean {
    return kind === this.#failed && nowMs < this.#notBeforeMs;
  }

  /** A move like this waits, the longer the more failed in a row. */
  failed(kind: Move["kind"], nowMs: number, periodMs: number): void {
    if (kind !== this.#failed) this.#failures = 0;
    this.#failed = kind;
    const periods = Math.min(MAX_PAUSE_PERIODS, 2 ** this.#failures);
    this.#failures++;
    this.#notBeforeMs = nowMs + periods * periodMs;
  }

  /** The engine is up: what fails next is the first in its row. */
  succeeded(): void {
    this.#failures = 0;
  }
}
