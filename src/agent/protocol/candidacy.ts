/**
 * From the acquired Lease to a writable engine: seal, activate (the new synchronous set in engine and Lease), promote.
 * Nothing an earlier leader acknowledged can be missing, because only sealed answers are counted: a sealed member has
 * persisted the epoch and stopped receiving before it said where it ended.
 */
import { absentMembers } from "./forced.ts";
import { becomeLeader, enterAdoptedOffice } from "./leadership.ts";
import { writeHeld } from "./lease.ts";
import { clearEngine, standDown } from "./office.ts";
import type { Position } from "./position.ts";
import { mayLead, mostAdvanced, unprovenAfter, wantedAck } from "./quorum.ts";
import type { Candidate } from "./state.ts";
import type { Turn } from "./turn.ts";
import type { ReplyMessage } from "./exchange.ts";
import { MAX_LINEAGE, type Intent, type SyncBase, type SyncSet } from "./types.ts";

/** The Lease is ours: go on by what there is to go on with. */
export function enterOffice(turn: Turn, candidate: Candidate): void {
  if (candidate.cause === "adopt") return enterAdoptedOffice(turn, candidate);
  turn.persist({ epoch: candidate.epoch });
  const isNew = candidate.cause === "bootstrap" && turn.state.engine.volume !== "data";
  turn.set({
    role: {
      ...candidate,
      stage: isNew ? "initializing" : "sealing",
      answers: {},
      waiting: turn.others,
      stageAtMs: turn.now,
    },
  });
  if (!isNew) askSeals(turn, turn.others);
}

function askSeals(turn: Turn, members: readonly string[]): void {
  const { role } = turn.state;
  if (role.kind !== "candidate") return;
  const sync = { epoch: role.base?.epoch ?? 0, version: role.base?.version ?? 0 };
  turn.set({ role: { ...role, waiting: members, stageAtMs: turn.now } });
  turn.send(
    members,
    { type: "Seal", epoch: role.epoch, base: { sync, recover: role.cause === "recover" } },
    role.round,
  );
}

/** Takes in a sealed answer (null: none came). */
export function takeSeal(turn: Turn, from: string, reply: Extract<ReplyMessage, { type: "SealReply" }> | null): void {
  const { role } = turn.state;
  if (role.kind !== "candidate" || role.stage !== "sealing") return;
  const answers = reply?.sealed === true ? { ...role.answers, [from]: reply.position } : role.answers;
  turn.set({ role: { ...role, answers, waiting: role.waiting.filter((member) => member !== from) } });
}

/** The own engine has stopped receiving, at this position. */
export function takeOwnSeal(turn: Turn, epoch: number, position: Position | null): void {
  const { role } = turn.state;
  if (role.kind !== "candidate" || role.stage !== "sealing" || role.epoch !== epoch) return;
  turn.set({ role: { ...role, answers: { ...role.answers, [turn.self]: position } } });
}

/** Moves a candidacy on, or gives it up when it has taken too long. Called at the end of every turn. */
export function driveCandidate(turn: Turn): void {
  const { role, profile, read, hold } = turn.state;
  if (role.kind !== "candidate") return;
  const stageMs = turn.now - role.stageAtMs;
  if (role.stage === "reading" && read === null) return standDown(turn);
  if (role.stage === "prevoting" && stageMs >= 4 * profile.messageTimeoutMs) return standDown(turn);
  if (hold === null) return;
  if (turn.state.terminating) return standDown(turn);
  // As long as there is data to restore. Nobody else may make the first data set, so nobody waits for this one to give up.
  if (role.stage === "initializing") return driveInitialization(turn, role);
  if (turn.now - role.startedAtMs >= profile.electionTimeoutMs) {
    turn.report("warning", "ElectionTimedOut", `Epoch ${role.epoch} did not come to a writable engine in time`);
    return standDown(turn);
  }
  if (role.stage === "sealing") return driveSeal(turn, role);
  if (role.stage === "activating") return driveActivation(turn, role);
}

function driveInitialization(turn: Turn, candidate: Candidate): void {
  const { engine } = turn.state;
  if (engine.action !== null || turn.now < engine.retryAtMs) return;
  if (engine.volume === "data") {
    turn.set({ role: { ...candidate, stage: "sealing", startedAtMs: turn.now, stageAtMs: turn.now } });
    return askSeals(turn, turn.others);
  }
  if (engine.status !== "stopped") return clearEngine(turn);
  turn.emit({ type: "Initialize", actionId: turn.beginAction("Initialize", candidate.epoch), epoch: candidate.epoch });
}

function driveSeal(turn: Turn, candidate: Candidate): void {
  const { engine, intent, heard, profile } = turn.state;
  const own = candidate.answers[turn.self] ?? null;
  if (own === null) {
    const isReady = engine.status === "follower" && engine.action === null && turn.now >= engine.retryAtMs;
    if (isReady)
      turn.emit({ type: "Seal", actionId: turn.beginAction("Seal", candidate.epoch), epoch: candidate.epoch });
    return;
  }
  if (intent === null) return;
  const terms = {
    base: candidate.base,
    recover: candidate.cause === "recover",
    // The sender's timeout ends a wait; this one is for an answer that was lost on the way back.
    pending: candidate.waiting.length > 0 && turn.now - candidate.stageAtMs < 2 * profile.sealTimeoutMs,
    intent,
    leaderPosition: heard?.position ?? null,
    absent: absentMembers(turn.state, candidate),
  };
  if (mayLead(own, candidate.answers, terms)) return beginActivation(turn, candidate, intent);
  if (terms.pending) return;
  const ahead = mostAdvanced(own, candidate.answers, terms.recover ? null : candidate.base);
  if (ahead !== null) {
    turn.report("info", "Yielded", `${ahead} is ahead and leads instead`);
    return standDown(turn, ahead);
  }
  const missing = turn.others.filter((member) => (candidate.answers[member] ?? null) === null);
  if (turn.now - candidate.stageAtMs >= profile.messageTimeoutMs) askSeals(turn, missing);
}

/** The set for the new epoch: who was sealed follows at once; with too few of them, whoever comes first may confirm. */
function firstSet(turn: Turn, candidate: Candidate, intent: Intent): SyncSet {
  const { mode, whenDegraded } = intent.durability;
  const others = turn.others.filter((member) => !intent.learners.includes(member));
  const wanted = wantedAck(mode, others.length + 1);
  const sealed = others.filter((member) => (candidate.answers[member] ?? null) !== null);
  const isEnough = sealed.length >= wanted;
  const isDegraded = !isEnough && whenDegraded === "Async";
  const names = mode === "Async" ? [] : (isEnough && mode !== "All") || isDegraded ? sealed : others;
  const { epoch } = candidate;
  const lineage = [...turn.state.record.lineage, epoch].slice(-MAX_LINEAGE);
  const ack = isDegraded ? sealed.length : wanted;
  const unproven = unprovenBefore(turn, candidate);
  return { epoch, version: 1, leader: turn.self, mode, names: names.toSorted(), ack, lineage, unproven };
}

/**
 * What this leader's standbys may not have yet. After a recovery, when the Lease cannot tell, and after a forced promotion, which gave
 * up what earlier sets acknowledged, only its own copy is sure.
 */
function unprovenBefore(turn: Turn, candidate: Candidate): readonly SyncBase[] {
  const { base, cause } = candidate;
  if (cause === "recover" || cause === "forced") return [{ leader: turn.self, mode: "Quorum", names: [], ack: 0 }];
  return base === null ? [] : unprovenAfter(base);
}

function beginActivation(turn: Turn, candidate: Candidate, intent: Intent): void {
  const next = firstSet(turn, candidate, intent);
  turn.set({ role: { ...candidate, stage: "activating", next, engineSet: false, stageAtMs: turn.now } });
}

function driveActivation(turn: Turn, candidate: Candidate): void {
  const { engine, hold, write, profile } = turn.state;
  const { next, epoch } = candidate;
  if (next === null || hold === null) return;
  const isActivated = hold.sync !== null && hold.sync.epoch === epoch;
  if (!isActivated && write === null) writeHeld(turn, next);
  if (engine.status !== "follower") return standDown(turn);
  if (!candidate.engineSet && engine.action === null && turn.now >= engine.retryAtMs) {
    const actionId = turn.beginAction("SetSyncSet", epoch);
    turn.emit({ type: "SetSyncSet", actionId, names: next.names, ack: next.ack, verify: false });
  }
  const deadlineMs = hold.confirmedAtMs + profile.renewDeadlineMs;
  if (!isActivated || !candidate.engineSet || deadlineMs - turn.now < profile.periodMs) return;
  const sync = { epoch, version: next.version };
  // Before our own record, which everything after it waits for: the Lease says so already.
  const position = candidate.answers[turn.self] ?? null;
  turn.send(turn.others, { type: "Activated", epoch, sync, position, lineage: next.lineage }, candidate.round);
  turn.persist({ epoch, lineage: next.lineage, sync });
  turn.set({ role: { ...candidate, stage: "promoting", stageAtMs: turn.now } });
  turn.setEngine({ armed: true });
  turn.emit({ type: "ExtendFence", deadlineMs });
  turn.emit({ type: "Promote", actionId: turn.beginAction("Promote", epoch), epoch });
}

/** The engine is configured for the new set from its first write on. */
export function takeEngineSet(turn: Turn): void {
  const { role } = turn.state;
  if (role.kind === "candidate" && role.stage === "activating") turn.set({ role: { ...role, engineSet: true } });
}

/** The engine accepts writes: this member leads. */
export function takePromotion(turn: Turn, epoch: number): void {
  const { role } = turn.state;
  if (role.kind === "candidate" && role.stage === "promoting" && role.epoch === epoch) becomeLeader(turn, role);
}
