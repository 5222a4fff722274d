/** The beat of a member: ticks for the protocol, and the watch over its own clocks. */
import { type Clock, sleep } from "../clock.ts";
import type { EventBody } from "./protocol/exchange.ts";

/** Ticks per period: how finely the protocol's waits are kept. */
const TICKS_PER_PERIOD = 4;

/** A loop that slept longer than this many periods cannot trust what it thinks is recent. */
const LOOP_GAP_PERIODS = 1;

/** What a beat needs, and whom it tells. */
export interface TickLoopOptions {
  readonly periodMs: number;
  readonly clock: Clock;
  /** The protocol's time. */
  readonly nowMs: () => number;
  /** Compares the machine's clocks. @returns whether they disagree. */
  readonly sampleClock: () => Promise<boolean>;
  readonly dispatch: (body: EventBody) => void;
  /** Called after each tick, which waits for it. */
  readonly ticked: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** Ticks until `signal` aborts. Says first when the clocks disagree or the loop was stopped: what was recent may be old then. */
export async function tickLoop(options: TickLoopOptions): Promise<void> {
  const { periodMs, clock, nowMs, sampleClock, dispatch, ticked, signal } = options;
  const tickMs = periodMs / TICKS_PER_PERIOD;
  let lastMs = nowMs();
  while (await sleep(clock, tickMs, signal)) {
    const atMs = nowMs();
    const slept = atMs - lastMs > tickMs + LOOP_GAP_PERIODS * periodMs;
    lastMs = atMs;
    const disagree = await sampleClock();
    if (slept || disagree) dispatch({ type: "ClockSuspect" });
    dispatch({ type: "Tick" });
    await ticked();
  }
}
