// Time that moves only when a test says so.
import type { Clock } from "../../src/clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock at 0 whose timers fire, in order, while `advance` runs. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #timers: Timer[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  now(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.#nowMs);
  }

  schedule(delayMs: number, callback: () => void): () => void {
    if (delayMs <= 0) {
      const next = setImmediate(callback); // as the machine's clock does: no time has to pass
      return () => clearImmediate(next);
    }
    const timer: Timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves on by `ms`, firing what falls due, without letting promises run. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#timers.filter((timer) => timer.dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = untilMs;
  }

  /** As `advance`, in steps of `stepMs`, letting promises run in between. */
  async run(ms: number, stepMs = 100): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      this.advance(Math.min(stepMs, ms - passed));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
