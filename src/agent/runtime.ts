/**
 * The agent's loop: takes in events one at a time, lets the protocol decide, starts the effects.
 * Everything that waits (timers, calls, processes) lives around it and comes back as an event.
 */
import type { EngineObservation } from "../api/engine-observation.ts";
import type { Clock } from "../clock.ts";
import type { EffectRunner } from "./effects.ts";
import type { State } from "./protocol/state.ts";
import { transition } from "./protocol/transition.ts";
import type { EventBody } from "./protocol/exchange.ts";

/** What the loop tells whoever looks on; all calls are synchronous and must not throw. */
export interface RuntimeObserver {
  /** After every transition. */
  readonly changed: (state: State, body: EventBody) => void;
  /** A transition threw: a bug. The agent must end; init restarts it, the engine is not touched. */
  readonly fatal: (error: unknown) => void;
}

/** The protocol's time, and what wakes it. */
export interface RuntimeClock extends Pick<Clock, "schedule"> {
  readonly nowMs: () => number;
}

/** One member's protocol, running. */
export class MemberRuntime {
  #state: State;
  readonly #runner: EffectRunner;
  readonly #observer: RuntimeObserver;
  readonly #clock: RuntimeClock;
  readonly #inbox: EventBody[] = [];
  #turning = false;
  #cancelWake: () => void = () => undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;

  constructor(state: State, clock: RuntimeClock, runner: EffectRunner, observer: RuntimeObserver) {
    this.#state = state;
    this.#clock = clock;
    this.#runner = runner;
    this.#observer = observer;
  }

  /** The protocol's state after the last event; frozen by convention. */
  get state(): State {
    return this.#state;
  }

  /** Takes in an event; its effects have been asked for when this returns, unless it is called from within an effect. */
  dispatch(body: EventBody): void {
    this.#inbox.push(body);
    if (this.#turning) return;
    this.#turning = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) this.#turn(next);
    } catch (error) {
      this.#observer.fatal(error);
    } finally {
      this.#turning = false;
    }
  }

  /** Asks for a Tick no later than `atMs`. */
  wakeAt(atMs: number): void {
    if (atMs >= this.#wakeAtMs) return;
    this.#cancelWake();
    this.#wakeAtMs = atMs;
    this.#cancelWake = this.#clock.schedule(Math.max(0, atMs - this.#clock.nowMs()), () => {
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.dispatch({ type: "Tick" });
    });
  }

  #turn(body: EventBody): void {
    const { state, effects } = transition(this.#state, { ...body, nowMs: this.#clock.nowMs() });
    this.#state = state;
    this.#runner.enqueue(effects);
    this.#observer.changed(state, body);
  }
}

/** What an engine's observation means to the protocol. */
export function engineStateOf(observation: EngineObservation | undefined): EventBody {
  if (observation === undefined) return { type: "EngineState", writable: false, position: null, standbys: [] };
  return {
    type: "EngineState",
    writable: observation.writable,
    position: observation.position,
    standbys: observation.followers.map((one) => ({ member: one.name, streaming: one.streaming, flushed: one.value })),
  };
}

/** Whether the engine should answer statements now. */
export function isEngineUp(state: State | undefined): boolean {
  return state?.engine.status === "follower" || state?.engine.status === "writable";
}
