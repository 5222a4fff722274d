/**
 * The failover protocol: one event in, the next state and the wanted effects out. Pure and total; the agent, the model
 * checker and the replay of a log run this very function.
 *
 * Flow: the event is taken in by the module it concerns, then every module moves on what can move (`drive…`), so that an
 * event that was lost or came early delays a step but never loses it.
 * Guarantees (Quorum and All): docs/failover.md. Assumptions: the order of effects, see `Effect`.
 */
import { driveCandidate, enterOffice, takeSeal } from "./candidacy.ts";
import { considerElection, isRegressed, judgeFreshLease, takePreVote } from "./election.ts";
import { concludeAction, observeEngine, observeExit, observeGone } from "./engine-actions.ts";
import { driveEngine } from "./following.ts";
import { beginReassertion, driveHold, driveLeader, finishReassertion, takePromise } from "./leadership.ts";
import {
  concludeWrite,
  confirmHold,
  driveLease,
  failLeaseRead,
  judgeHold,
  observeLease,
  observeLeaseGone,
  type WriteOutcome,
} from "./lease.ts";
import { loseOffice, standDown } from "./office.ts";
import { considerSwitchover, driveResignation, finishRelease, resignForTerm, tellStopped } from "./resignation.ts";
import type { Sent, State } from "./state.ts";
import { driveSyncSet } from "./sync-change.ts";
import { Turn } from "./turn.ts";
import type { Effect, Event, ReplyMessage } from "./exchange.ts";
import { answerMessage, drivePromise, noticeEpoch, probe } from "./voting.ts";

/** The next state, and what is to be done, in order. */
export interface Transition {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Takes in one event. Never throws for any event in any state; an event that is out of place changes nothing. */
export function transition(state: State, event: Event): Transition {
  const turn = new Turn({ ...state, nowAtMs: Math.max(state.nowAtMs, event.nowMs) });
  takeIn(turn, event);
  settle(turn);
  return { state: turn.state, effects: turn.effects };
}

function takeIn(turn: Turn, event: Event): void {
  switch (event.type) {
    case "Tick":
      return;
    case "LeaseObserved":
      return takeLease(turn, event.readId, observeLease(turn, event.readId, event.lease));
    case "LeaseGone":
      return settleWrite(turn, observeLeaseGone(turn, event.readId));
    case "LeaseReadFailed":
      return failLeaseRead(turn, event.readId);
    case "LeaseWriteResult":
      settleWrite(turn, concludeWrite(turn, event));
      return event.result === "ok" ? undefined : tellStopped(turn);
    case "MessageReceived":
      return answerMessage(turn, event.from, event.requestId, event.message);
    case "MessageReply":
      return takeReply(turn, event.sendId, event.from, event.reply);
    case "MessageFailed":
      return takeSilence(turn, event.sendId, event.to, event.cause);
    case "PeerProbed":
      return takeProbe(turn, event.member, event.result);
    case "IntentChanged":
      return turn.set({ intent: event.intent });
    case "ClockSuspect":
      return turn.set({ trustedAtMs: turn.now });
    case "TermRequested":
      return takeTerm(turn, event.graceMs);
    default:
      return takeEngineEvent(turn, event);
  }
}

/** More steps than any event can open at once; a bound, so that a bug cannot spin. */
const MAX_ROUNDS = 8;

type EngineEvent = Extract<
  Event,
  { type: "EngineExited" | "EngineGone" | "EngineState" | "ActionDone" | "ActionFailed" | "FenceFired" }
>;

function takeEngineEvent(turn: Turn, event: EngineEvent): void {
  switch (event.type) {
    case "EngineExited":
      return observeExit(turn);
    case "EngineGone":
      return observeGone(turn);
    case "EngineState":
      return observeEngine(turn, event);
    case "ActionDone":
    case "ActionFailed":
      return concludeAction(turn, event);
    case "FenceFired":
      if (turn.state.hold !== null) loseOffice(turn, "Fenced", "The fence deadline passed; the engine was killed");
      return observeGone(turn);
    default:
      return event satisfies never;
  }
}

/** Moves on whatever can move, again while that opens the next step: an election must not wait for a Tick. */
function settle(turn: Turn): void {
  forgetOldSends(turn);
  drivePromise(turn);
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const before = turn.state;
    driveHold(turn);
    driveLeader(turn);
    driveCandidate(turn);
    considerSwitchover(turn);
    driveSyncSet(turn);
    driveResignation(turn);
    driveEngine(turn);
    considerElection(turn);
    if (turn.state.role === before.role && turn.state.engine === before.engine) break;
  }
  driveLease(turn);
}

function takeLease(turn: Turn, readId: number | null, outcome: WriteOutcome): void {
  settleWrite(turn, outcome);
  const verdict = judgeHold(turn);
  const content = turn.state.lease?.view.content;
  if (verdict === "lost")
    loseOffice(turn, "LeaseLost", `The Lease is at epoch ${content?.epoch ?? 0} of ${content?.leader ?? ""}`);
  if (verdict === "regressed") beginReassertion(turn);
  const isLeading = turn.state.role.kind === "leader" || turn.state.hold !== null;
  if (!isLeading && readId !== null) turn.set({ blocked: isRegressed(turn.state) ? "RegisterRegressed" : null });
  if (readId !== null && outcome === null) judgeFreshLease(turn);
}

/** What becomes of the office that the write was for. */
function settleWrite(turn: Turn, outcome: WriteOutcome): void {
  if (outcome === null) return;
  const { write, applied } = outcome;
  const { role } = turn.state;
  const { epoch, sync, failovers } = write.content;
  if (!applied) {
    if (write.kind === "acquire" && role.kind === "candidate" && role.stage === "acquiring") standDown(turn);
    return;
  }
  if (write.kind === "release") return finishRelease(turn);
  if (write.kind === "renew") return confirmHold(turn, write.firstSentAtMs, sync);
  turn.set({ hold: { epoch, sync, failovers, confirmedAtMs: write.firstSentAtMs, renewedAtMs: write.firstSentAtMs } });
  if (role.kind === "candidate" && role.stage === "acquiring") return enterOffice(turn, role);
  if (role.kind === "leader" && role.reasserting) return finishReassertion(turn);
}

function takeReply(turn: Turn, sendId: number, from: string, reply: ReplyMessage): void {
  turn.setPeer(from, { heardAtMs: turn.now, dead: false });
  noticeEpoch(turn, reply.epoch);
  const sent = takeSent(turn, sendId);
  if (sent === null) return;
  switch (reply.type) {
    case "PreVoteReply":
      return isCurrent(turn, sent) ? takePreVote(turn, from, reply) : undefined;
    case "SealReply":
      return isCurrent(turn, sent) ? takeSeal(turn, from, reply) : undefined;
    case "PromiseReply":
      return takePromise(turn, from, sent.round, reply);
    case "ActivatedReply":
      return turn.setPeer(from, { sync: reply.sync });
    case "HeartbeatReply":
      return turn.setPeer(from, { position: reply.position, healthy: reply.healthy, sync: reply.sync });
    case "NominateReply":
    case "StoppedReply":
      return undefined;
    default:
      return reply satisfies never;
  }
}

function takeSilence(turn: Turn, sendId: number, to: string, cause: "timeout" | "refused" | "error"): void {
  // A refused agent port proves only that no agent listens; whether the container lives, init's port tells.
  if (cause === "refused") probe(turn, to);
  const sent = takeSent(turn, sendId);
  if (sent === null || !isCurrent(turn, sent)) return;
  if (sent.type === "PreVote") takePreVote(turn, to, null);
  if (sent.type === "Seal") takeSeal(turn, to, null);
}

function takeSent(turn: Turn, sendId: number): Sent | null {
  const sent = turn.state.sent.find((one) => one.sendId === sendId) ?? null;
  if (sent !== null) turn.set({ sent: turn.state.sent.filter((one) => one !== sent) });
  return sent;
}

/** Whether an answer belongs to the candidacy that is under way. */
function isCurrent(turn: Turn, sent: Sent): boolean {
  const { role } = turn.state;
  return role.kind === "candidate" && role.round === sent.round;
}

function forgetOldSends(turn: Turn): void {
  const { sent, profile } = turn.state;
  const limitMs = 4 * profile.sealTimeoutMs;
  if (sent.some((one) => turn.now - one.sentAtMs > limitMs)) {
    turn.set({ sent: sent.filter((one) => turn.now - one.sentAtMs <= limitMs) });
  }
}

function takeProbe(turn: Turn, member: string, result: "accepted" | "refused" | "timeout"): void {
  turn.setPeer(member, { probing: false, ...(result === "refused" ? { dead: true, healthy: false } : {}) });
  if (result === "accepted") turn.setPeer(member, { dead: false });
}

function takeTerm(turn: Turn, graceMs: number | null): void {
  turn.set({ terminating: true });
  const { role } = turn.state;
  if (role.kind === "leader") return resignForTerm(turn, graceMs);
  if (role.kind === "candidate" && turn.state.hold === null && turn.state.write === null) standDown(turn);
}
