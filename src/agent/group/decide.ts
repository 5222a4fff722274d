/**
 * What a member of a group does next. Pure and total: the same view gives the same move.
 *
 * The engine itself lets nobody write without a majority; what is decided here is who belongs to the group, and the rules
 * are: one change at a time, a newcomer learns before it votes, whoever leaves is taken out before its pod goes, a copy is never
 * started under an identity that another copy had, and no vote is taken away while the others could not go on without it.
 */
import { membershipChange } from "./membership.ts";
import { freshReply, heir, isFresh } from "./others.ts";
import type { GroupView, Move, Verdict } from "./types.ts";
import type { Greeting } from "./wire.ts";

/** A founder waits so long for members that do not answer: those that run step aside within a period. */
export const STEP_ASIDE_MS = 15_000;

/** Leaders say for so long that they do not know a member before it believes them. */
const EXPELLED_MS = 5_000;

/** Without a leader for so long, the majority counts as lost; an election takes a second or two. */
export const QUORUM_LOST_MS = 10_000;

/** The next move of the member that sees `view`. */
export function decide(view: GroupView): Verdict {
  const first = overriding(view, terminate(view));
  if (first !== undefined) return first;
  if (isExpelled(view)) return plain({ kind: "SetAside", why: "the group no longer counts this member", keep: false });
  return view.engine === "stopped" ? stopped(view) : running(view);
}

/** A move that is nothing to worry about. */
export function plain(move: Move): Verdict {
  return { move, reason: null };
}

/** A leader hands over before it goes, if there is anybody; the engine may do so by itself, but need not. */
function terminate(view: GroupView): Move {
  if (view.engine === "stopped") return { kind: "Exit" };
  const to = view.seen?.leads === true ? heir(view) : undefined;
  return to === undefined ? { kind: "Stop" } : { kind: "HandOver", ...to, request: null };
}

/** What the leader says of the group, if it says so now and of the incarnation that is wanted. */
export function standing(view: GroupView): Greeting | undefined {
  const { heard, intent } = view;
  if (heard === undefined || !isFresh(view, heard)) return undefined;
  return heard.greeting.incarnation === intent.incarnation ? heard.greeting : undefined;
}

/** What goes before everything else, in every kind of group: an end, a new beginning of the group, a copy of no use. */
export function overriding(view: GroupView, ending: Move): Verdict | undefined {
  if (view.terminating) return plain(ending);
  if (view.record.incarnation < view.intent.incarnation) return newIncarnation(view);
  if (view.copy === "incomplete") return plain({ kind: "SetAside", why: "it was never complete", keep: false });
  return undefined;
}

/** The group was begun anew: the founder from its copy, everybody else by joining it. */
function newIncarnation(view: GroupView): Verdict {
  const { intent, copy, engine, seen, self } = view;
  if (intent.founder !== self) {
    const why = `the group was begun anew by ${intent.founder ?? "another member"}`;
    if (engine === "running" || copy !== "empty") return plain({ kind: "SetAside", why, keep: true });
    return plain({ kind: "Adopt" });
  }
  if (copy !== "data") return { move: { kind: "Wait" }, reason: "NoCopy" };
  // Whoever asked for this was wrong: with a majority nothing is lost, and nothing to be recovered.
  if (seen !== undefined && seen.group.leaderId !== "") return { move: { kind: "Wait" }, reason: "MajorityPresent" };
  if (engine === "running") return { move: { kind: "Stop" }, reason: "Recovering" };
  const others = intent.members.filter((name) => name !== self);
  const isAside = others.every((name) => (freshReply(view, name)?.incarnation ?? -1) >= intent.incarnation);
  const isWaiting = !isAside && view.nowMs - view.recoverySinceMs < STEP_ASIDE_MS;
  return { move: { kind: isWaiting ? "Wait" : "Recover" }, reason: "Recovering" };
}

/**
 * Whether a leader's list lacks the copy's identity, while the own engine does not know better. Not yet a reason to act: a
 * leader that was just elected may not have read its own log to the end.
 */
export function isMissing(view: GroupView): boolean {
  const said = standing(view);
  const { id } = view.record;
  if (said === undefined || id === null || view.copy !== "data" || !view.intent.members.includes(view.self))
    return false;
  if (view.seen !== undefined && view.seen.group.leaderId !== "") return false;
  return said.term >= (view.seen?.group.term ?? 0) && said.members.every((member) => member.id !== id);
}

/** Whether the group has taken the copy's identity out for good. */
function isExpelled(view: GroupView): boolean {
  const { missingSinceMs, nowMs } = view;
  return missingSinceMs !== undefined && isMissing(view) && nowMs - missingSinceMs >= EXPELLED_MS;
}

/** Whether there is no group yet, as far as this member can know: an intent may be older than the group. */
export function isFirst(view: GroupView): boolean {
  const isAnyoneElse = view.intent.members.some((name) => freshReply(view, name)?.copy === "data");
  return view.record.id === null && standing(view) === undefined && !isAnyoneElse;
}

/** Whether nobody who leads says that the group does without the copy's identity. */
function isCounted(view: GroupView): boolean {
  const { id } = view.record;
  return view.copy === "data" && standing(view)?.members.some((member) => member.id === id) !== false;
}

function stopped(view: GroupView): Verdict {
  const { copy, intent, self, record } = view;
  // Its vote counts until the group has taken it out, which may need that vote.
  const mayCount = intent.members.includes(self) || isCounted(view);
  if (!mayCount) return { move: { kind: "Wait" }, reason: "NotListed" };
  if (copy === "data") return plain({ kind: "Start" });
  if (intent.bootstrapMember === self && isFirst(view)) return plain({ kind: "Initialize" });
  const said = standing(view);
  const invitation = said?.invitation ?? null;
  // The engine compares the list with the group's: it must be one that has the newcomer already.
  const isListed = said?.members.some(({ id }) => id === invitation) === true;
  if (invitation === null || !isListed || invitation === record.id)
    return { move: { kind: "Wait" }, reason: "NotInvited" };
  return plain({ kind: "Join", id: invitation });
}

function running(view: GroupView): Verdict {
  const { seen, leaderlessSinceMs, nowMs } = view;
  if (seen === undefined) return plain({ kind: "Wait" });
  if (leaderlessSinceMs !== undefined && nowMs - leaderlessSinceMs >= QUORUM_LOST_MS)
    return { move: { kind: "Wait" }, reason: "QuorumLost" };
  if (!seen.leads || view.intent.paused) return plain({ kind: "Wait" });
  return handOver(view) ?? membershipChange(view);
}

/** A switchover that was asked of this leader and not answered yet. */
function handOver(view: GroupView): Verdict | undefined {
  const { switchover } = view.intent;
  if (switchover === null || switchover.id === view.answeredSwitchover) return undefined;
  if (switchover.from !== null && switchover.from !== view.self) return undefined;
  const named = view.seen?.group.members.find(({ name, votes }) => votes && name === switchover.to);
  const to = switchover.to === null ? heir(view) : named && { to: named.name, id: named.id };
  // Without anybody to hand over to, the move says so to whoever asked.
  return plain({ kind: "HandOver", to: to?.to ?? "", id: to?.id ?? "", request: switchover.id });
}
