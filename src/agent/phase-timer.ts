/** Measures the phases of becoming leader from the states that the protocol passes through. */
import type { AgentMetrics, FailoverPhase } from "./metrics.ts";
import type { Candidate, State } from "./protocol/state.ts";

/** Which phase a stage of the candidacy belongs to. */
const PHASE_OF_STAGE: Readonly<Record<Candidate["stage"], FailoverPhase>> = {
  reading: "elect",
  prevoting: "elect",
  acquiring: "elect",
  initializing: "promote",
  sealing: "fence",
  activating: "promote",
  promoting: "promote",
};

/** Called after every transition; observes one histogram value per phase when a route is written. */
export class PhaseTimer {
  readonly #metrics: AgentMetrics;
  #trigger = "";
  #phase: FailoverPhase | undefined;
  #sinceMs = 0;
  #spentMs = new Map<FailoverPhase, number>();

  constructor(metrics: AgentMetrics) {
    this.#metrics = metrics;
  }

  /** Takes in the state after a transition. */
  changed(state: State): void {
    const { role } = state;
    if (role.kind === "candidate") {
      if (this.#phase === undefined) this.#begin(state, role);
      this.#enter(PHASE_OF_STAGE[role.stage], state.nowAtMs);
    } else if (role.kind === "leader" && this.#phase !== undefined) this.#enter("route", state.nowAtMs);
    else if (role.kind !== "leader") this.#phase = undefined;
  }

  /** The route of writes was written: this member serves. @returns ms of each phase, for the log line. */
  routed(nowMs: number): Readonly<Record<string, number>> | undefined {
    if (this.#phase === undefined) return undefined;
    this.#enter("route", nowMs);
    this.#spentMs.set("route", (this.#spentMs.get("route") ?? 0) + nowMs - this.#sinceMs);
    this.#phase = undefined;
    for (const [phase, ms] of this.#spentMs)
      this.#metrics.failoverSeconds.observe({ phase, trigger: this.#trigger }, ms / 1000);
    return Object.fromEntries(this.#spentMs);
  }

  #begin(state: State, candidate: Candidate): void {
    this.#spentMs = new Map();
    this.#trigger = candidate.cause;
    // The last sign of life: a heartbeat, or a change of the Lease when it came later.
    const lastSignMs = Math.max(state.heard?.atMs ?? 0, state.lease?.unchangedAtMs ?? 0);
    if (lastSignMs > 0) this.#spentMs.set("detect", candidate.startedAtMs - lastSignMs);
    this.#phase = "elect";
    this.#sinceMs = candidate.startedAtMs;
  }

  #enter(phase: FailoverPhase, nowMs: number): void {
    if (this.#phase === undefined || phase === this.#phase) return;
    this.#spentMs.set(this.#phase, (this.#spentMs.get(this.#phase) ?? 0) + nowMs - this.#sinceMs);
    this.#phase = phase;
    this.#sinceMs = nowMs;
  }
}
