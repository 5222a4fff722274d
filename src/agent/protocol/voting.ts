/** What this member answers to others. Every promise is durable before the answer leaves. */
import { isBound } from "./election.ts";
import { readLease } from "./lease.ts";
import { loseOffice, standDown } from "./office.ts";
import { expiryWaitMs } from "./profile.ts";
import { compareVersions } from "./quorum.ts";
import { concludeSwitchover } from "./resignation.ts";
import type { Turn } from "./turn.ts";
import type { Message } from "./exchange.ts";

type Asked<T extends Message["type"]> = Extract<Message, { readonly type: T }>;

/** Answers a message; the answer to a Seal may come later, once the engine has stopped receiving. */
export function answerMessage(turn: Turn, from: string, requestId: string, message: Message): void {
  turn.setPeer(from, { heardAtMs: turn.now, dead: false });
  turn.set({ seenEpoch: Math.max(turn.state.seenEpoch, seenEpochOf(message)) });
  switch (message.type) {
    case "PreVote":
      return answerPreVote(turn, requestId, message);
    case "Seal":
      return answerSeal(turn, requestId, message);
    case "Promise":
      return answerPromise(turn, from, requestId, message);
    case "Activated":
      return answerActivated(turn, from, requestId, message);
    case "Heartbeat":
      return answerHeartbeat(turn, from, requestId, message);
    case "Nominate":
      turn.set({ nominated: true, contendAtMs: turn.now });
      return turn.reply(requestId, { type: "NominateReply", epoch: turn.state.record.epoch });
    case "Stopped":
      turn.setPeer(from, { stoppedEpoch: Math.max(turn.peer(from).stoppedEpoch, message.epoch) });
      return turn.reply(requestId, { type: "StoppedReply", epoch: turn.state.record.epoch });
    default:
      return message satisfies never;
  }
}

/** A candidate's epoch is only wished for; the others are in the register. */
function seenEpochOf(message: Message): number {
  return message.type === "PreVote" || message.type === "Nominate" ? message.epoch - 1 : message.epoch;
}

function answerPreVote(turn: Turn, requestId: string, message: Asked<"PreVote">): void {
  const { record, engine } = turn.state;
  const reason = preVoteRefusal(turn, message);
  const position = reason === null ? engine.position : null;
  turn.reply(requestId, { type: "PreVoteReply", granted: reason === null, reason, epoch: record.epoch, position });
}

function preVoteRefusal(turn: Turn, message: Asked<"PreVote">): string | null {
  const { state } = turn;
  if (state.role.kind === "leader" || (state.role.kind === "resigning" && state.engine.armed)) return "leading";
  if (state.hold !== null && state.role.kind !== "resigning") return "elected";
  if (state.write?.kind === "acquire") return "unresolved";
  if (isBound(state)) return "promised";
  if (message.epoch <= state.record.epoch) return "older";
  if (!message.base.recover && compareVersions(message.base.sync, state.record.sync) < 0) return "register went back";
  return message.early && !isLeaderMissing(turn) ? "leader not known to be dead" : null;
}

/** Whether this member, too, has reason to think that there is no leader; if not, it looks for itself. */
function isLeaderMissing(turn: Turn): boolean {
  const { lease, heard, profile, identity } = turn.state;
  const content = lease?.view.content;
  if (content === undefined || content.holder === "" || content.leader === identity.member) return true;
  const peer = turn.peer(content.leader);
  if (peer.dead || peer.stoppedEpoch === content.epoch) return true;
  if (heard !== null && turn.now - heard.atMs >= 2 * profile.periodMs) return true;
  probe(turn, content.leader);
  return false;
}

/** Looks whether the member's container lives; one look at a time. */
export function probe(turn: Turn, member: string): void {
  if (turn.peer(member).probing) return;
  turn.setPeer(member, { probing: true });
  turn.emit({ type: "ProbePeer", member });
}

function answerSeal(turn: Turn, requestId: string, message: Asked<"Seal">): void {
  const { state } = turn;
  const { epoch, base } = message;
  const reason = sealRefusal(turn, message);
  if (reason !== null) {
    return turn.reply(requestId, {
      type: "SealReply",
      sealed: false,
      reason,
      epoch: state.record.epoch,
      position: null,
    });
  }
  // The one who asks holds the register at a higher epoch: whatever office there was here is over.
  if (state.role.kind !== "follower") loseOffice(turn, "Superseded", `Sealed for epoch ${epoch}`);
  turn.persist({ epoch, sync: base.recover ? state.record.sync : laterOf(turn, base.sync) });
  turn.set({ sealRequests: [...turn.state.sealRequests, { requestId, epoch }] });
}

function laterOf(turn: Turn, sync: { epoch: number; version: number }): { epoch: number; version: number } {
  const known = turn.state.record.sync;
  return compareVersions(sync, known) > 0 ? sync : known;
}

function sealRefusal(turn: Turn, message: Asked<"Seal">): string | null {
  const { state } = turn;
  if (message.epoch < state.record.epoch || (state.hold !== null && state.hold.epoch >= message.epoch)) return "older";
  if (state.write?.kind === "acquire") return "unresolved";
  if (isBound(state)) return "promised";
  const isBehind = !message.base.recover && compareVersions(message.base.sync, state.record.sync) < 0;
  return isBehind ? "register went back" : null;
}

/** A promise: neither vote nor contend for a lease duration, also after a restart. */
function answerPromise(turn: Turn, from: string, requestId: string, message: Asked<"Promise">): void {
  const { state } = turn;
  const { epoch } = message;
  const isCandidate = state.role.kind === "candidate" && state.hold === null && state.write === null;
  const isFree = (state.role.kind === "follower" && state.write === null && state.hold === null) || isCandidate;
  const isCurrent = epoch >= state.record.epoch && (state.lease === null || state.lease.view.content.epoch <= epoch);
  if (!isFree || !isCurrent)
    return turn.reply(requestId, { type: "PromiseReply", granted: false, epoch: state.record.epoch });
  if (isCandidate) standDown(turn);
  turn.persist({ epoch, leasePromise: { leader: from, epoch } });
  turn.set({ promisedAtMs: turn.now + expiryWaitMs(turn.state.profile) });
  turn.reply(requestId, { type: "PromiseReply", granted: true, epoch });
}

/** Remembers an activation, which the Lease already holds: true whether or not its leader ever comes to serve. */
function answerActivated(turn: Turn, from: string, requestId: string, message: Asked<"Activated">): void {
  const { epoch, sync, position, lineage } = message;
  const isAccepted = accepts(turn, epoch);
  if (isAccepted) {
    turn.persist({ epoch, sync: laterOf(turn, sync) });
    // It may come after the first heartbeat.
    const isKnown = turn.state.heard !== null && turn.state.heard.epoch >= epoch;
    if (!isKnown) turn.set({ heard: { member: from, epoch, lineage, position, serving: false, atMs: turn.now } });
  }
  const { record } = turn.state;
  const known = isAccepted ? record.sync : { epoch: 0, version: 0 };
  turn.reply(requestId, { type: "ActivatedReply", epoch: record.epoch, sync: known });
}

/** Whether the leader of that epoch may be this member's. */
function accepts({ state }: Turn, epoch: number): boolean {
  return epoch >= state.record.epoch && state.role.kind !== "leader" && state.hold === null;
}

function answerHeartbeat(turn: Turn, from: string, requestId: string, message: Asked<"Heartbeat">): void {
  const { epoch, sync, position, lineage } = message;
  const isAccepted = accepts(turn, epoch);
  if (isAccepted) {
    turn.persist({ epoch, sync: laterOf(turn, sync) });
    turn.set({ heard: { member: from, epoch, lineage, position, serving: true, atMs: turn.now }, blocked: null });
    concludeSwitchover(turn, from, epoch);
    abandonDoubts(turn);
  }
  const { engine, record } = turn.state;
  const healthy = engine.status === "follower" && engine.upstream?.leader === from && engine.upstream.epoch === epoch;
  const known = isAccepted ? record.sync : { epoch: 0, version: 0 };
  turn.reply(requestId, {
    type: "HeartbeatReply",
    epoch: record.epoch,
    sync: known,
    position: engine.position,
    healthy,
  });
}

/** The leader lives after all: a candidacy that rests on its silence ends. */
function abandonDoubts(turn: Turn): void {
  const { role, write } = turn.state;
  if (role.kind !== "candidate" || write !== null) return;
  if (["dead", "recover", "forced"].includes(role.cause)) standDown(turn);
}

/** Clears a promise that has run out, so that a later restart need not wait for it. */
export function drivePromise(turn: Turn): void {
  if (turn.state.record.leasePromise === null || isBound(turn.state)) return;
  turn.set({ promisedAtMs: null });
  turn.persist({ leasePromise: null });
}

/** A member with a higher epoch answered a leader: look at the Lease. */
export function noticeEpoch(turn: Turn, epoch: number): void {
  const { hold, read, write } = turn.state;
  turn.set({ seenEpoch: Math.max(turn.state.seenEpoch, epoch) });
  if (hold !== null && epoch > hold.epoch && read === null && write === null) readLease(turn);
}
