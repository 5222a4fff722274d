/**
 * Contending for the Lease: why, and when. A candidate reads the Lease, asks for pre-votes, and touches the Lease only with
 * enough of them. What follows the acquisition is in candidacy.ts.
 */
import { absentMembers, isOrdered, obstacleToForce } from "./forced.ts";
import { readLease, writeLease } from "./lease.ts";
import { standDown } from "./office.ts";
import { compareVersions, isNamedIn, mayLead, mostAdvanced, obstacleToLead } from "./quorum.ts";
import { expiryWaitMs } from "./profile.ts";
import type { Candidate, ElectionCause, State } from "./state.ts";
import type { Turn } from "./turn.ts";
import type { ReplyMessage } from "./exchange.ts";
import { FAILOVER_BUDGET, type LeaseContent, type SyncSet } from "./types.ts";

/** Whether the register shows less than some member has persisted: it went back, or was lost and created anew. */
export function isRegressed(state: State): boolean {
  const content = state.lease?.view.content;
  if (content === undefined) return false;
  const newest = Math.max(state.record.epoch, state.seenEpoch);
  if (content.epoch < newest || (content.sync === null && state.record.lineage.length > 0)) return true;
  return content.sync !== null && compareVersions(content.sync, state.record.sync) < 0;
}

/** Whether a failsafe promise, or one that may have been forgotten, keeps this member from voting and contending. */
export function isBound(state: State): boolean {
  return state.nowAtMs < state.quarantineAtMs || (state.promisedAtMs !== null && state.nowAtMs < state.promisedAtMs);
}

/** Starts a candidacy when there is a reason for one. The reason is judged again on a fresh read of the Lease. */
export function considerElection(turn: Turn): void {
  const { state } = turn;
  if (state.role.kind !== "follower" || state.hold !== null || state.write !== null || state.terminating) return;
  if (state.read !== null || turn.now < state.contendAtMs || state.leaseGone) return;
  if (electionCause(state) === null && !(state.nominated && isAbleToLead(state))) return;
  const candidate: Candidate = {
    kind: "candidate",
    stage: "reading",
    cause: "released",
    epoch: 0,
    base: null,
    round: turn.takeId(),
    stageAtMs: turn.now,
    startedAtMs: turn.now,
    answers: {},
    waiting: [],
    next: null,
    engineSet: false,
  };
  turn.set({ role: candidate, nominated: false });
  readLease(turn);
}

/** Why this member may contend now, judged by the Lease as last seen; null: it may not. */
export function electionCause(state: State): ElectionCause | null {
  const { lease, intent, engine } = state;
  if (lease === null || intent === null || isBound(state) || !intent.members.includes(state.identity.member))
    return null;
  const { content } = lease.view;
  if (engine.status === "writable") return isAdoptable(state, content) ? "adopt" : null;
  if (isBootstrapping(state, content)) return isVacant(state, content) ? "bootstrap" : null;
  if (!isAbleToLead(state)) return null;
  if (isRegressed(state)) return isVacant(state, content) && isLeaderSilent(state) && !intent.paused ? "recover" : null;
  const { sync } = content;
  if (sync === null) return null;
  const self = state.identity.member;
  if (content.holder !== "" && content.leader === self && isSamePod(content.holder, state.identity.holder))
    return "own";
  if (intent.paused || !mayFollowOn(state, sync)) return null;
  return isOrdered(state, sync) && isVacant(state, content) ? "forced" : vacancyCause(state, content);
}

/** Whether this copy may be led from after the one that `sync` is of: its confirmations counted, or a person orders it. */
function mayFollowOn(state: State, sync: SyncSet): boolean {
  const isCounted = sync.mode === "Async" || isNamedIn(sync, state.identity.member);
  // Data of an epoch that the last leader's does not descend from is rejoined, never promoted.
  const origin = state.record.lineage.at(-1);
  return (isCounted || isOrdered(state, sync)) && (origin === undefined || sync.lineage.includes(origin));
}

function vacancyCause(state: State, content: LeaseContent): ElectionCause | null {
  const sinceMs = state.nowAtMs - (state.lease?.unchangedAtMs ?? state.nowAtMs);
  if (content.holder === "") {
    const isOurTurn = content.handover === "" || content.handover === state.identity.member;
    return isOurTurn || sinceMs >= state.profile.handoverMs ? "released" : null;
  }
  if (sinceMs >= expiryWaitMs(state.profile)) return "expired";
  const peer = state.peers[content.leader];
  const isDead = peer !== undefined && (peer.dead || peer.stoppedEpoch === content.epoch);
  // Without a quorum of confirmations only time proves that the old leader is fenced.
  const mayBeEarly = content.sync?.mode !== "Async" && content.failovers < FAILOVER_BUDGET;
  return isDead && mayBeEarly ? "dead" : null;
}

function isAbleToLead(state: State): boolean {
  const { engine } = state;
  return engine.status === "follower" && engine.position !== null && !engine.diverged && engine.volume === "data";
}

/** The first start of a cluster whose volumes are all new, or the rest of one that did not finish. */
function isBootstrapping(state: State, content: LeaseContent): boolean {
  return (
    content.sync === null &&
    state.intent?.bootstrapMember === state.identity.member &&
    state.record.lineage.length === 0 &&
    !["starting", "stopping"].includes(state.engine.status)
  );
}

function isVacant(state: State, content: LeaseContent): boolean {
  if (content.holder === "" || isSamePod(content.holder, state.identity.holder)) return true;
  return state.nowAtMs - (state.lease?.unchangedAtMs ?? state.nowAtMs) >= expiryWaitMs(state.profile);
}

function isLeaderSilent(state: State): boolean {
  return state.heard === null || state.nowAtMs - state.heard.atMs >= expiryWaitMs(state.profile);
}

/** The engine was left running by an earlier boot of this very container's agent, and the Lease still names that boot. */
function isAdoptable(state: State, content: LeaseContent): boolean {
  const { record, identity } = state;
  return (
    content.leader === identity.member &&
    isSamePod(content.holder, identity.holder) &&
    content.epoch === record.epoch &&
    content.sync?.epoch === record.epoch &&
    content.sync.leader === identity.member
  );
}

/** Same pod name and uid: an earlier boot in it is dead, and with the container its engine. */
function isSamePod(a: string, b: string): boolean {
  return a.slice(0, a.lastIndexOf("/")) === b.slice(0, b.lastIndexOf("/"));
}

/** The fresh read has come: go on to the pre-vote if there still is a reason. */
export function judgeFreshLease(turn: Turn): void {
  const { state } = turn;
  const { role, lease } = state;
  if (role.kind !== "candidate" || role.stage !== "reading" || lease === null) return;
  const cause = electionCause(state);
  if (cause === null) return standDown(turn);
  const { content } = lease.view;
  const epoch = 1 + Math.max(content.epoch, state.record.epoch, state.seenEpoch);
  const answers = { [turn.self]: state.engine.position };
  const next: Candidate = {
    ...role,
    stage: "prevoting",
    cause,
    epoch,
    base: content.sync,
    answers,
    waiting: turn.others,
    stageAtMs: turn.now,
  };
  turn.set({ role: next });
  // A leader that gave its lease back to this very member is dead and said so: nobody is disturbed, and sealing asks the rest.
  if (cause === "bootstrap" || cause === "adopt" || (cause === "released" && isLeftTo(content, turn.self)))
    return acquire(turn, next);
  const base = { sync: versionOf(content), recover: cause === "recover" };
  turn.send(turn.others, { type: "PreVote", epoch, base, early: cause === "dead" }, role.round);
  countPreVotes(turn, next);
}

function isLeftTo({ holder, handover }: LeaseContent, member: string): boolean {
  return holder === "" && handover === member;
}

function versionOf(content: LeaseContent): { epoch: number; version: number } {
  return { epoch: content.sync?.epoch ?? 0, version: content.sync?.version ?? 0 };
}

/** Takes in a pre-vote (null: none came). */
export function takePreVote(
  turn: Turn,
  from: string,
  reply: Extract<ReplyMessage, { type: "PreVoteReply" }> | null,
): void {
  const { role } = turn.state;
  if (role.kind !== "candidate" || role.stage !== "prevoting") return;
  const answers = reply?.granted === true ? { ...role.answers, [from]: reply.position } : role.answers;
  const next = { ...role, answers, waiting: role.waiting.filter((member) => member !== from) };
  turn.set({ role: next });
  countPreVotes(turn, next);
}

function countPreVotes(turn: Turn, candidate: Candidate): void {
  const { intent, heard } = turn.state;
  const own = candidate.answers[turn.self];
  if (intent === null || own === null || own === undefined) return standDown(turn);
  const terms = {
    base: candidate.base,
    recover: candidate.cause === "recover",
    pending: candidate.waiting.length > 0,
    intent,
    leaderPosition: heard?.position ?? null,
    absent: absentMembers(turn.state, candidate),
  };
  if (mayLead(own, candidate.answers, terms)) return acquire(turn, candidate);
  if (terms.pending) return;
  const ahead = mostAdvanced(own, candidate.answers, terms.recover ? null : candidate.base);
  if (ahead !== null) turn.send([ahead], { type: "Nominate", epoch: candidate.epoch }, candidate.round);
  const { reason, message } = obstacleToForce(turn.state, candidate) ?? obstacleToLead(own, candidate.answers, terms);
  turn.set({ blocked: reason });
  turn.report("warning", reason, message);
  standDown(turn);
}

function acquire(turn: Turn, candidate: Candidate): void {
  const { lease, hold, identity, engine } = turn.state;
  if (lease === null || hold !== null) return standDown(turn);
  const { content } = lease.view;
  const { epoch, cause } = candidate;
  const isAdoption = cause === "adopt" && content.sync !== null && engine.status === "writable";
  const lineage = [...(content.sync?.lineage ?? []), epoch];
  const sync = isAdoption && content.sync !== null ? { ...content.sync, epoch, version: 1, lineage } : content.sync;
  turn.set({ role: { ...candidate, stage: "acquiring", stageAtMs: turn.now }, blocked: null });
  writeLease(turn, "acquire", {
    holder: identity.holder,
    epoch,
    leader: identity.member,
    handover: "",
    failovers: content.failovers + (cause === "dead" ? 1 : 0),
    sync,
  });
}
