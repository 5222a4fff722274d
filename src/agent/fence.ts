/** Extends init's fence deadline, never by a guess about clocks. */
import type { FenceClock } from "./fence-clock.ts";
import { type InitClient, InitDisconnected, InitRefusal } from "./init-client.ts";

/** What holds the deadline. */
export type FenceHolder = Pick<InitClient, "fence" | "disarm" | "hello" | "nowNs">;

/** The fence of this container, as the protocol moves it. */
export class Fence {
  readonly #init: FenceHolder;
  readonly #clock: FenceClock;
  readonly #windowMs: number;
  readonly #onRefused: (error: unknown) => void;
  #deadlineMs: number | undefined;

  /** @param windowMs - R of the profile: a deadline is a confirmed send plus this. */
  constructor(init: FenceHolder, clock: FenceClock, windowMs: number, onRefused: (error: unknown) => void) {
    this.#init = init;
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#onRefused = onRefused;
  }

  /** Milliseconds until the deadline; undefined while the fence is not armed. */
  get marginMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - this.#clock.nowMs();
  }

  /**
   * Moves the deadline to `deadlineMs`, in the protocol's time. Without a fit clock sample it stays where it was.
   *
   * @returns whether the fence is armed now; a promotion must not begin otherwise.
   */
  async extend(deadlineMs: number): Promise<boolean> {
    const deadlineNs = this.#clock.deadlineNs(deadlineMs, deadlineMs - this.#windowMs);
    if (deadlineNs === undefined) return this.#deadlineMs !== undefined;
    try {
      await this.#init.fence(deadlineNs);
      this.#deadlineMs = deadlineMs;
      return true;
    } catch (error) {
      // Refused: the armed deadline is later already, or the new one has passed. Init's own deadline stays in force.
      this.#onRefused(error);
      return error instanceof InitRefusal && (await this.#init.hello()).deadlineNs !== null;
    }
  }

  /** Takes the fence away once no engine process lives. */
  disarm(): void {
    this.#deadlineMs = undefined;
    this.#init.disarm().catch(this.#onRefused);
  }

  /** Reads init's clock. @returns true when the clocks disagree. */
  async sampleClock(): Promise<boolean> {
    try {
      return this.#clock.sample(await this.#init.nowNs());
    } catch (error) {
      if (error instanceof InitDisconnected) return true;
      throw error;
    }
  }
}
