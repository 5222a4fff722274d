/** Looks at the own engine once a round: whether it runs, what it says, since when it knows of no leader, whether it hangs. */
import type { EngineObservation } from "../../api/engine-observation.ts";
import { ActionError } from "../engine/driver.ts";
import { EngineWatchdog } from "../engine/watchdog.ts";
import type { GroupEngine } from "./engine.ts";
import type { EngineView, GroupView } from "./types.ts";

/** What the watch needs. */
export interface EngineWatchOptions {
  readonly engine: Pick<GroupEngine, "observe" | "stop">;
  readonly nowMs: () => number;
  /** The engine answered nothing for twice this long, after it had answered: it hangs. */
  readonly leaseMs: number;
  readonly hung: (silentMs: number) => void;
}

/** What is known of one engine. */
export class EngineWatch {
  readonly #options: EngineWatchOptions;
  readonly #watchdog: EngineWatchdog;
  #state: GroupView["engine"];
  #seen: EngineView | undefined;
  #observation: EngineObservation | undefined;
  #leaderlessSinceMs: number | undefined;
  /** One that replays a long log answers nothing yet; only one that has answered can hang. */
  #hasAnswered = false;

  /** @param state - Of the engine as init has it: it may have outlived the previous agent. */
  constructor(state: GroupView["engine"], options: EngineWatchOptions) {
    this.#state = state;
    this.#options = options;
    this.#watchdog = new EngineWatchdog(options.leaseMs, options.nowMs());
    this.#leaderlessSinceMs = options.nowMs();
  }

  get state(): GroupView["engine"] {
    return this.#state;
  }

  /** What the engine said last; undefined while it does not answer. */
  get seen(): EngineView | undefined {
    return this.#seen;
  }

  get observation(): EngineObservation | undefined {
    return this.#observation;
  }

  get leaderlessSinceMs(): number | undefined {
    return this.#leaderlessSinceMs;
  }

  /** The main process was started. */
  started(): void {
    this.#state = "running";
    this.#hasAnswered = false;
  }

  /** The engine says nothing any more, because its main process ended; others of its processes may still live. */
  silenced(): void {
    this.#seen = undefined;
    this.#observation = undefined;
  }

  /** No process of the engine lives. */
  stopped(): void {
    this.silenced();
    this.#state = "stopped";
  }

  /** Asks the engine. */
  async look(): Promise<void> {
    if (this.#state === "running") await this.#ask();
    else this.#watchdog.answered(this.#options.nowMs());
    const hasLeader = this.#seen !== undefined && this.#seen.group.leaderId !== "";
    this.#leaderlessSinceMs = hasLeader ? undefined : (this.#leaderlessSinceMs ?? this.#options.nowMs());
  }

  async #ask(): Promise<void> {
    const { engine, nowMs, hung } = this.#options;
    try {
      const { view, observation } = await engine.observe();
      if (this.#state !== "running") return; // it ended meanwhile
      this.#seen = view;
      this.#observation = observation;
      this.#hasAnswered = true;
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      this.silenced();
    }
    if (this.#seen !== undefined || !this.#hasAnswered) return this.#watchdog.answered(nowMs());
    const silentMs = this.#watchdog.hungForMs(nowMs());
    if (silentMs === undefined) return;
    hung(silentMs);
    await engine.stop("kill");
  }
}
