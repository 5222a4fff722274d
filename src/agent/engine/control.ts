/**
 * Carries out the engine effects of the protocol, one at a time, by running declared actions and asking init.
 * It decides nothing; a stop ends whatever is running.
 */
import type { EngineObservation } from "../../api/engine-observation.ts";
import { emptyData, type MakeFirstData } from "../backup/first-data.ts";
import type { Position } from "../protocol/position.ts";
import type { ActionContext } from "./context.ts";
import { ActionError, type EngineDriver, IMPOSSIBLE } from "./driver.ts";
import type { Volume } from "./volume.ts";

/** What init does for the agent. Implemented by the client of init's socket. */
export interface EngineHost {
  /** Starts the engine's main process; rejects when one lives. */
  start(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<void>;
  /** Signals the main process; SIGKILLs every engine process after `graceMs`. Resolves when none lives. */
  stop(signal: string, graceMs: number): Promise<void>;
  /** SIGKILLs every engine process. Resolves when none lives. */
  kill(): Promise<void>;
}

/** Where a leader is reached by its followers' engines. */
export interface LeaderAddress {
  readonly member: string;
  readonly host: string;
  readonly port: number;
}

/** Pause between two looks at an engine that is starting or waits for a leader. */
const POLL_MS = 50;

/** The same while a new leader's first writes wait for its followers: a look costs about a millisecond. */
const VERIFY_POLL_MS = 10;

/** What the engine of one member is worked with. */
export interface EngineControlParts {
  readonly driver: EngineDriver;
  readonly host: EngineHost;
  readonly volume: Volume;
  /** The leader in office that this member may follow, or null. */
  readonly leader: () => LeaderAddress | null;
  /** An empty data set when absent. */
  readonly makeFirstData?: MakeFirstData;
}

/** The engine of one member. */
export class EngineControl {
  readonly #driver: EngineDriver;
  readonly #host: EngineHost;
  readonly #volume: Volume;
  readonly #leader: () => LeaderAddress | null;
  readonly #makeFirstData: MakeFirstData;
  #running = new AbortController();
  #stops = 0;

  constructor({ driver, host, volume, leader, makeFirstData = emptyData }: EngineControlParts) {
    this.#makeFirstData = makeFirstData;
    this.#leader = leader;
    this.#driver = driver;
    this.#host = host;
    this.#volume = volume;
  }

  /** Whether a stop is under way: it ends whatever is left of the engine, and says when that is done. */
  get isStopping(): boolean {
    return this.#stops > 0;
  }

  /**
   * Starts the engine as a follower of nobody, once `permitted` resolves; resolves with its first observation. Data that was rewound needs a leader's
   * log to become readable at all: it is started as a follower of the leader in office, or ended when that one changes.
   * (Until it is readable it has no position, so no candidate counts on what it promised.)
   */
  async start(permitted: () => Promise<void>): Promise<EngineObservation> {
    const signal = this.#begin();
    await permitted();
    throwIfEnded(signal);
    const upstream = this.#volume.isUnsettled ? await this.#awaitLeader(signal) : null;
    const context = leaderContext(upstream);
    await this.#configure(context, signal);
    throwIfEnded(signal);
    const { argv, env } = this.#driver.startCommand(context);
    await this.#host.start(argv, env);
    for (;;) {
      throwIfEnded(signal);
      try {
        const observation = await this.#driver.observe(context);
        await this.#volume.settle();
        return observation;
      } catch (error) {
        if (!(error instanceof ActionError)) throw error;
        if (upstream !== null && this.#leader()?.member !== upstream.member) {
          await this.#host.kill();
          throw new ActionEnded(`${upstream.member} does not lead any more`);
        }
        await pause(POLL_MS);
      }
    }
  }

  async #configure(context: Partial<ActionContext>, signal: AbortSignal): Promise<void> {
    try {
      await this.#driver.run("configure", context, signal);
    } catch (error) {
      if (!(error instanceof ActionError) || error.code !== IMPOSSIBLE) throw error;
      // The next agent finds the mark and copies anew; this one has believed the data whole.
      await this.#volume.markIncomplete();
      throw new Error(`the data cannot be used any more: ${error.message}`, { cause: error });
    }
  }

  async #awaitLeader(signal: AbortSignal): Promise<LeaderAddress> {
    for (;;) {
      throwIfEnded(signal);
      const leader = this.#leader();
      if (leader !== null) return leader;
      await pause(POLL_MS);
    }
  }

  /** The engine ended by itself: what waits for it must not wait on. */
  ended(): void {
    this.#running.abort();
    this.#driver.closeSessions();
  }

  /** Stops every engine process; cleanly when `fast`, within the Engine's grace. */
  async stop(mode: "fast" | "kill"): Promise<void> {
    const { signal, graceSeconds } = this.#driver.spec.stop;
    this.#running.abort();
    this.#driver.closeSessions();
    this.#stops++;
    try {
      await (mode === "fast" ? this.#host.stop(signal, graceSeconds * 1000) : this.#host.kill());
    } finally {
      this.#stops--;
    }
  }

  /** Receives from `leader`, whose log is on the history of `position`, from now on. */
  async follow(leader: LeaderAddress, position: Position, epoch: number): Promise<void> {
    const context = { ...leaderContext(leader), ...positionContext(position), QUORATE_EPOCH: String(epoch) };
    await this.#driver.run("follow", context, this.#begin());
  }

  /** Receives from nobody; resolves with the final position. */
  async seal(epoch: number): Promise<Position> {
    await this.#driver.run("seal", { ...leaderContext(null), QUORATE_EPOCH: String(epoch) }, this.#begin());
    return (await this.#driver.observe()).position;
  }

  /** Makes the engine writable; resolves with the position it starts from. */
  async promote(epoch: number): Promise<Position> {
    await this.#driver.run("promote", { QUORATE_EPOCH: String(epoch) }, this.#begin());
    return (await this.#driver.observe()).position;
  }

  /**
   * Puts a synchronous set in force.
   *
   * @param verify - Also wait until `ack` of `names` have flushed a position read after the set was effective, so that
   *   every write acknowledged under the old set is covered by the new one.
   */
  async setSyncSet(names: readonly string[], ack: number, verify: boolean): Promise<void> {
    const signal = this.#begin();
    await this.#driver.run(
      "setSyncSet",
      { QUORATE_SYNC_NAMES: names.join(","), QUORATE_SYNC_ACK: String(ack) },
      signal,
    );
    if (!verify) return;
    const goal = (await this.#driver.observe()).position.value;
    for (;;) {
      throwIfEnded(signal);
      const { followers } = await this.#driver.observe();
      const confirmed = followers.filter(
        (one) => one.streaming && names.includes(one.name) && BigInt(one.value) >= BigInt(goal),
      );
      if (confirmed.length >= ack) return;
      await pause(VERIFY_POLL_MS);
    }
  }

  /** Copies the leader's data into the volume. */
  async clone(from: LeaderAddress, epoch: number): Promise<void> {
    const signal = this.#begin();
    const context = { ...leaderContext(from), QUORATE_EPOCH: String(epoch) };
    await this.#volume.whileIncomplete(async () => {
      await this.#driver.run("clone", context, signal);
    });
  }

  /** Brings a diverged copy onto the leader's history; copies anew when the engine says that nothing else helps. */
  async rejoin(from: LeaderAddress, epoch: number, cloneOnly: boolean): Promise<"rejoined" | "cloned"> {
    const context = { ...leaderContext(from), QUORATE_EPOCH: String(epoch) };
    if (!cloneOnly) {
      const signal = this.#begin();
      try {
        await this.#volume.markUnsettled();
        await this.#driver.run("rejoin", context, signal);
        return "rejoined";
      } catch (error) {
        if (!(error instanceof ActionError) || error.code !== IMPOSSIBLE) throw error;
      }
    }
    await this.clone(from, epoch);
    return "cloned";
  }

  /** Makes the first data set of the cluster. */
  async initialize(epoch: number): Promise<void> {
    const signal = this.#begin();
    await this.#volume.whileIncomplete(async () => {
      await this.#makeFirstData(this.#driver, { QUORATE_EPOCH: String(epoch) }, signal);
    });
  }

  /** Does ahead of time what would make a stop slow. */
  async prepareHandover(): Promise<void> {
    await this.#driver.run("checkpoint", {}, this.#begin());
  }

  /** What the running engine is. Runs beside an action. */
  observe(): Promise<EngineObservation> {
    return this.#driver.observe();
  }

  #begin(): AbortSignal {
    // The protocol starts one action at a time; a new one replaces a verification that may never end.
    this.#running.abort();
    this.#running = new AbortController();
    return this.#running.signal;
  }
}

/** An action that was ended by a stop or by a newer action. */
export class ActionEnded extends Error {
  override readonly name = "ActionEnded";
}

function throwIfEnded(signal: AbortSignal): void {
  if (signal.aborted) throw new ActionEnded("ended by a stop or a newer action");
}

/** What an action is told of the leader; empty for none. */
export function leaderContext(leader: LeaderAddress | null): Partial<ActionContext> {
  return {
    QUORATE_LEADER: leader?.member ?? "",
    QUORATE_LEADER_HOST: leader?.host ?? "",
    QUORATE_LEADER_PORT: leader === null ? "" : String(leader.port),
  };
}

/** What an engine is told of a leader's position. @see EngineActions.follow */
export function positionContext({ history, ancestors }: Position): Partial<ActionContext> {
  return {
    QUORATE_LEADER_HISTORY: history,
    QUORATE_LEADER_ANCESTORS: ancestors.map((ancestor) => `${ancestor.history}:${ancestor.value}`).join(","),
  };
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
