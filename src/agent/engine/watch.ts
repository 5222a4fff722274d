/** Keeps looking at the engine: what it is now, and whether it still answers at all. */
import type { Logger } from "pino";
import type { EngineObservation } from "../../api/engine-observation.ts";
import { type Clock, sleep } from "../../clock.ts";
import type { EngineControl } from "./control.ts";
import { EngineWatchdog } from "./watchdog.ts";

/** What is looked at, and who is told. */
export interface EngineWatchOptions {
  readonly control: Pick<EngineControl, "observe" | "stop">;
  readonly clock: Clock;
  /** The clock of leases and fences, in ms. */
  readonly nowMs: () => number;
  /** Whether the engine should answer now. */
  readonly isUp: () => boolean;
  /** Called after every look; undefined: the engine is down or did not answer. */
  readonly observed: (observation: EngineObservation | undefined) => void;
  readonly log: Logger;
}

/** The last observation of one member's engine. */
export class EngineWatch {
  readonly #options: EngineWatchOptions;
  #watchdog: EngineWatchdog | undefined;
  #observation: EngineObservation | undefined;

  constructor(options: EngineWatchOptions) {
    this.#options = options;
  }

  /** What the engine said last; undefined while it is down or does not answer. At most one period old while it is up. */
  get observation(): EngineObservation | undefined {
    return this.#observation;
  }

  /** From now on an engine that is up and silent for two lease durations is ended by `endIfHung`. */
  begin(leaseMs: number): void {
    this.#watchdog = new EngineWatchdog(leaseMs, this.#options.nowMs());
  }

  /** What an engine is that outlived the previous agent; one that does not answer is ended and counts as stopped. */
  async adopt(): Promise<"stopped" | "writable" | "follower"> {
    try {
      this.#observation = await this.#options.control.observe();
      return this.#observation.writable ? "writable" : "follower";
    } catch {
      await this.#options.control.stop("kill");
      return "stopped";
    }
  }

  /** Looks once, now. Never rejects: silence is an answer. */
  async look(): Promise<void> {
    const { isUp, observed } = this.#options;
    this.#observation = isUp() ? await this.#ask() : undefined;
    observed(this.#observation);
  }

  async #ask(): Promise<EngineObservation | undefined> {
    const { control, nowMs, log } = this.#options;
    try {
      const observation = await control.observe();
      this.#watchdog?.answered(nowMs());
      return observation;
    } catch (error) {
      log.debug({ err: error }, "The engine did not answer");
      return undefined;
    }
  }

  /** Looks every `periodMs` until `signal` aborts. */
  async run(periodMs: number, signal: AbortSignal): Promise<void> {
    while (await sleep(this.#options.clock, periodMs, signal)) await this.look();
  }

  /** Kills an engine that is up and has been silent for too long. */
  async endIfHung(): Promise<void> {
    const { control, isUp, nowMs, log } = this.#options;
    if (!isUp()) this.#watchdog?.answered(nowMs());
    const silentMs = this.#watchdog?.hungForMs(nowMs());
    if (silentMs === undefined) return;
    log.warn({ silentMs }, "The engine does not answer; it is killed");
    await control.stop("kill");
  }
}
