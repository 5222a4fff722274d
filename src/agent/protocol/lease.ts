/**
 * The Lease as this member knows it: reads, the one outstanding compare-and-swap, and what becomes of a write that got no
 * answer. A watch may be behind and is believed only when it is ahead of what is known; a read is believed always.
 */
import type { PendingWrite } from "./state.ts";
import type { Turn } from "./turn.ts";
import type { EventBody } from "./exchange.ts";
import type { LeaseContent, LeaseView, SyncSet } from "./types.ts";

/** What an answer said about the outstanding write: it was applied, or it never will be; null: nothing yet. */
export type WriteOutcome = { readonly applied: boolean; readonly write: PendingWrite } | null;

/** Starts a linearizable read; an earlier one still on its way is forgotten, it may have been overtaken. */
export function readLease(turn: Turn): void {
  const readId = turn.takeId();
  turn.set({ read: { readId, sentAtMs: turn.now } });
  turn.emit({ type: "ReadLease", readId });
}

/** Sends a new write over the Lease as last seen. Only when no other write is outstanding. */
export function writeLease(turn: Turn, kind: PendingWrite["kind"], content: Omit<LeaseContent, "attempt">): void {
  const lease = turn.state.lease;
  if (lease === null || turn.state.write !== null) return;
  const attemptId = turn.takeId();
  const write: PendingWrite = {
    kind,
    attemptId,
    casResourceVersion: lease.view.resourceVersion,
    content: { ...content, attempt: attemptId },
    firstSentAtMs: turn.now,
    status: "sent",
    doubtful: false,
  };
  // A read that began before this write would show the past: its answer is not wanted any more.
  turn.set({ write, read: null });
  sendWrite(turn, write);
}

function sendWrite(turn: Turn, write: PendingWrite): void {
  turn.set({ write: { ...write, status: "sent" } });
  turn.emit({
    type: "WriteLease",
    attemptId: write.attemptId,
    casResourceVersion: write.casResourceVersion,
    content: write.content,
  });
}

/**
 * Whether a holder may send its next write: none is out, no read is (after a conflict only a read gives the version to write
 * over), and the last failure is not just now. Without this a refusal would be answered by the same write, in a circle.
 */
export function mayWriteAgain(turn: Turn): boolean {
  const { write, read, readAgainAtMs } = turn.state;
  return write === null && read === null && turn.now >= readAgainAtMs;
}

/** Renews what is held, with `sync` as the synchronous set. */
export function writeHeld(turn: Turn, sync: SyncSet | null): void {
  const { hold, identity } = turn.state;
  if (hold === null || !mayWriteAgain(turn)) return;
  turn.set({ hold: { ...hold, renewedAtMs: turn.now } });
  writeLease(turn, "renew", {
    holder: identity.holder,
    epoch: hold.epoch,
    leader: identity.member,
    handover: "",
    failovers: hold.failovers,
    sync,
  });
}

/** Whether the Lease, as last seen, is this boot's at the epoch held. */
export function isLeaseOurs(turn: Turn): boolean {
  const { lease, hold, identity, leaseGone } = turn.state;
  if (lease === null || hold === null || leaseGone) return false;
  return lease.view.content.holder === identity.holder && lease.view.content.epoch === hold.epoch;
}

/** Takes in a read or a watch event. */
export function observeLease(turn: Turn, readId: number | null, lease: LeaseView): WriteOutcome {
  const known = turn.state.lease?.view.content ?? null;
  if (readId === null) {
    // A watch that shows less than what is known is behind, or the register went back: only a read can tell.
    const behind = known !== null && isOlder(lease.content, known);
    if (behind && turn.state.read === null && turn.state.write === null) readLease(turn);
    // While a write is out, its own answer (or a read) says more than a watch can.
    if (!behind && turn.state.write === null) remember(turn, lease);
    return null;
  }
  if (turn.state.read?.readId !== readId) return null;
  turn.set({ read: null });
  remember(turn, lease);
  return resolveWrite(turn, lease);
}

/** The Lease does not exist: it is not renewed, and a write against it can never be applied. Only the operator creates it. */
export function observeLeaseGone(turn: Turn, readId: number | null): WriteOutcome {
  const isAwaited = readId !== null && turn.state.read?.readId === readId;
  if (readId !== null && !isAwaited) return null;
  const outcome = isAwaited && turn.state.write !== null ? closeWrite(turn, turn.state.write, false) : null;
  if (isAwaited) turn.set({ read: null });
  if (!turn.state.leaseGone)
    turn.report(
      "warning",
      "LeaseGone",
      "The Lease does not exist; nobody can be elected until the operator creates it",
    );
  turn.set({ leaseGone: true, readAgainAtMs: turn.now + turn.state.profile.periodMs });
  return outcome;
}

/** A read got no answer: try again later. */
export function failLeaseRead(turn: Turn, readId: number): void {
  if (turn.state.read?.readId !== readId) return;
  turn.set({ read: null, readAgainAtMs: turn.now + turn.state.profile.periodMs / 2 });
}

/** Takes in what the server said to the outstanding write. */
export function concludeWrite(turn: Turn, event: Extract<EventBody, { type: "LeaseWriteResult" }>): WriteOutcome {
  const write = turn.state.write;
  if (write === null || write.attemptId !== event.attemptId || write.status !== "sent") return null;
  if (event.result === "ok" && event.resourceVersion !== null) {
    remember(turn, { resourceVersion: event.resourceVersion, content: write.content });
    return closeWrite(turn, write, true);
  }
  // Nobody may send the next write in the same turn: an API server that refuses connections would be asked in a circle.
  if (event.result === "failed") turn.set({ readAgainAtMs: turn.now + turn.state.profile.retryMs });
  const isCertain = (event.result === "conflict" || event.result === "failed") && !write.doubtful;
  if (event.result !== "failed" || !isCertain) readLease(turn);
  if (isCertain) return closeWrite(turn, write, false);
  turn.set({ write: { ...write, status: "unresolved", doubtful: true } });
  return null;
}

/** Keeps an unresolved write and an unknown Lease moving: called at the end of every turn. */
export function driveLease(turn: Turn): void {
  const { state } = turn;
  if (state.read !== null) {
    // The runtime answers within its own timeout; this only guards against an answer that was lost.
    if (turn.now - state.read.sentAtMs < state.profile.leaseMs) return;
    turn.set({ read: null });
  }
  const wanted = state.write?.status === "unresolved" || state.lease === null || state.leaseGone;
  if (wanted && turn.now >= state.readAgainAtMs) readLease(turn);
}

function remember(turn: Turn, lease: LeaseView): void {
  const known = turn.state.lease;
  const same = known !== null && JSON.stringify(known.view.content) === JSON.stringify(lease.content);
  const unchangedAtMs = same ? known.unchangedAtMs : turn.now;
  turn.set({ lease: { view: lease, unchangedAtMs }, leaseGone: false });
  turn.set({ seenEpoch: Math.max(turn.state.seenEpoch, lease.content.epoch) });
}

/** Decides an unresolved write by a read: it was applied, can never be, or still may be (then it is sent again). */
function resolveWrite(turn: Turn, lease: LeaseView): WriteOutcome {
  const write = turn.state.write;
  if (write === null) return null;
  const { content, resourceVersion } = lease;
  const isApplied =
    content.attempt === write.attemptId && content.epoch === write.content.epoch && isOurMark(turn, write, content);
  if (isApplied) return closeWrite(turn, write, true);
  if (resourceVersion !== write.casResourceVersion) return closeWrite(turn, write, false);
  sendWrite(turn, write);
  return null;
}

function closeWrite(turn: Turn, write: PendingWrite, applied: boolean): WriteOutcome {
  turn.set({ write: null });
  return { applied, write };
}

function isOurMark(turn: Turn, write: PendingWrite, content: LeaseContent): boolean {
  return write.kind === "release"
    ? content.holder === "" && content.leader === turn.self
    : content.holder === turn.state.identity.holder;
}

/**
 * A renewal or a promise round sent at `sentAtMs` was confirmed: validity and fence count from that send, unless the clocks
 * were found to disagree since.
 */
export function confirmHold(turn: Turn, sentAtMs: number, sync: SyncSet | null): void {
  const { hold, engine, profile, trustedAtMs } = turn.state;
  if (hold === null) return;
  const confirmedAtMs = sentAtMs < trustedAtMs ? hold.confirmedAtMs : Math.max(hold.confirmedAtMs, sentAtMs);
  turn.set({ hold: { ...hold, confirmedAtMs, sync } });
  if (engine.armed && confirmedAtMs > hold.confirmedAtMs) {
    turn.emit({ type: "ExtendFence", deadlineMs: confirmedAtMs + profile.renewDeadlineMs });
  }
}

/** What the Lease, as last seen, says about the own office: kept, taken by someone else, or a register that went back. */
export function judgeHold(turn: Turn): "kept" | "lost" | "regressed" {
  const { hold, identity, lease, write } = turn.state;
  if (hold === null || lease === null || write !== null) return "kept";
  const { content } = lease.view;
  if (content.holder === identity.holder && content.epoch === hold.epoch) return "kept";
  return content.epoch >= hold.epoch ? "lost" : "regressed";
}

/** Whether content `a` was written before `b`: attempts grow within an epoch, because an epoch belongs to one boot. */
function isOlder(a: LeaseContent, b: LeaseContent): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.attempt < b.attempt);
}
