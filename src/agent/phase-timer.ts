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

/** Called once an epoch's leader is writable and its route is written, with the ms of each phase. */
export type ServingListener = (epoch: number, phasesMs: Readonly<Record<string, number>>) => void;

/** Called after every transition; observes one histogram value per phase when the member serves writes. */
export class PhaseTimer {
  readonly #metrics: AgentMetrics;
  readonly #serves: ServingListener;
  #trigger = "";
  #epoch = 0;
  #isWritten = false;
  #phase: FailoverPhase | undefined;
  #sinceMs = 0;
  #spentMs = new Map<FailoverPhase, number>();

  constructor(metrics: AgentMetrics, serves: ServingListener) {
    this.#metrics = metrics;
    this.#serves = serves;
  }

  /** Takes in the state after a transition. */
  changed(state: State): void {
    const { role } = state;
    if (role.kind === "candidate") {
      if (this.#phase === undefined) this.#begin(state, role);
      this.#epoch = role.epoch;
      this.#enter(PHASE_OF_STAGE[role.stage], state.nowAtMs);
    } else if (role.kind === "leader" && this.#phase !== undefined) {
      this.#enter("route", state.nowAtMs);
      if (this.#isWritten) this.#finish(state.nowAtMs);
    } else if (role.kind !== "leader") this.#phase = undefined;
  }

  /** The route of writes was written, perhaps while the engine is still promoted. */
  routed(nowMs: number): void {
    this.#isWritten = true;
    if (this.#phase === "route") this.#finish(nowMs);
  }

  #finish(nowMs: number): void {
    this.#spentMs.set("route", (this.#spentMs.get("route") ?? 0) + nowMs - this.#sinceMs);
    this.#phase = undefined;
    for (const [phase, ms] of this.#spentMs)
      this.#metrics.failoverSeconds.observe({ phase, trigger: this.#trigger }, ms / 1000);
    this.#serves(this.#epoch, Object.fromEntries(this.#spentMs));
  }

  #begin(state: State, candidate: Candidate): void {
    this.#spentMs = new Map();
    this.#isWritten = false;
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
