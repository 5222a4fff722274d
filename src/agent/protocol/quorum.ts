/** The arithmetic of the synchronous set: how many must confirm, how many must be sealed, and how one set becomes another. */
import { comparePositions, compareValues, isAtLeast, type Position } from "./position.ts";
import type { SyncTarget } from "./state.ts";
import type { DurabilityMode, Intent, SyncBase, SyncSet, SyncVersion } from "./types.ts";

/** W: how many standbys must flush a write before it is acknowledged, in a cluster of `memberCount` members. */
export function wantedAck(mode: DurabilityMode, memberCount: number): number {
  switch (mode) {
    case "Async":
      return 0;
    case "All":
      return memberCount - 1;
    case "Quorum":
      return Math.ceil((memberCount - 1) / 2);
    default:
      return mode satisfies never;
  }
}

/**
 * R = N − W + 1: how many of `names` must be sealed so that one of them has every acknowledged write. With W = 0 it is more
 * than there are: then only the last leader itself will do.
 */
export function requiredSealed(sync: Pick<SyncSet, "names" | "ack">): number {
  return sync.names.length - sync.ack + 1;
}

/** Answers by member; null: answered, but with no readable copy. */
export type Answers = Readonly<Record<string, Position | null>>;

/** What a candidate has to satisfy. `recover`: the Lease cannot be trusted, ask everyone. `pending`: somebody may yet answer. */
export interface ElectionTerms {
  readonly base: SyncSet | null;
  readonly recover: boolean;
  readonly pending: boolean;
  readonly intent: Intent;
  /** The leader's last known position, for the limit of loss in Async mode. */
  readonly leaderPosition: Position | null;
  /** Members that a forced promotion does without; null when nothing is forced. */
  readonly absent: readonly string[] | null;
}

/**
 * Whether the candidate at `own` may lead, given these answers (its own among them). Only copies that are not ahead of it
 * count. Three things are asked: everyone (after a register that went back), or an R-set of the synchronous names or the
 * last leader's own copy; and, where waiting costs no acknowledged write anyway, a majority of the members, because one of
 * them would know of a newer set than the Lease shows.
 */
export function mayLead(own: Position, answers: Answers, terms: ElectionTerms): boolean {
  const { base, recover, pending, intent, absent } = terms;
  const isCovered = coverage(own, answers);
  if (recover) return intent.members.every(isCovered);
  // Every member is sealed or cannot run: nobody is left that could confirm a write of an earlier leader.
  if (absent !== null)
    return !pending && intent.members.every((member) => isCovered(member) || absent.includes(member));
  if (base === null) return true;
  if (base.mode === "Async" && base.ack === 0) {
    if (isCovered(base.leader)) return true;
    // Copies on a history that this one does not share have left the leader's: they are rejoined, not waited for.
    const isBehind = Object.values(answers).some((answer) => answer !== null && isOvertaken(own, answer));
    return !pending && !isBehind && isWithinLag(own, terms);
  }
  if (uncoveredSet(base, isCovered) !== null) return false;
  if (base.ack === 0 || intent.durability.whenDegraded === "Async") return true;
  return 2 * Object.keys(answers).length > intent.members.length;
}

/** Tells whose copy the candidate at `own` is known to hold all of. */
function coverage(own: Position, answers: Answers): (member: string) => boolean {
  return (member) => {
    const answer = answers[member];
    return answer !== undefined && answer !== null && isAtLeast(own, answer);
  };
}

/**
 * From the newest set back: a set's own leader had everything acknowledged up to its epoch; without it an R-set of each
 * set is needed, because standbys of a newer one may not have received yet what an older one acknowledged.
 *
 * @returns The first for which there is neither, null when there is none.
 */
function uncoveredSet(base: SyncSet, isCovered: (member: string) => boolean): SyncBase | null {
  for (const set of [base, ...base.unproven.toReversed()]) {
    if (isCovered(set.leader)) return null;
    if (set.mode !== "Async" && set.names.filter(isCovered).length < requiredSealed(set)) return set;
  }
  return null;
}

/** Why nobody may lead, in one word and in a sentence for people. */
export interface Obstacle {
  readonly reason: string;
  readonly message: string;
}

/** Why `mayLead` says no when nothing is forced and nobody is waited for any more. */
export function obstacleToLead(own: Position, answers: Answers, { base, recover, intent }: ElectionTerms): Obstacle {
  const silent = intent.members.filter((member) => (answers[member] ?? null) === null).join(", ") || "nobody";
  if (recover || base === null)
    return {
      reason: "NotEveryoneAnswered",
      message: `The Lease was lost or went back, so every member has to tell what it knows; silent: ${silent}`,
    };
  if (base.mode === "Async" && base.ack === 0)
    return {
      reason: "MayLackTooMuch",
      message: `${base.leader} may have written more than failover.maxLag that the others lack, and is silent: bring it back, or force a promotion`,
    };
  const isCovered = coverage(own, answers);
  const set = uncoveredSet(base, isCovered);
  if (set === null)
    return { reason: "NotEnoughVoters", message: `A majority of the members has to answer; silent: ${silent}` };
  const missing = set.names.filter((member) => !isCovered(member));
  const needed = requiredSealed(set) - (set.names.length - missing.length);
  return {
    reason: "MayLackAcknowledged",
    message: `${set.leader} may have acknowledged writes that whoever answered lacks: bring it back, or ${needed} of ${missing.join(", ")}`,
  };
}

/** The sets that a new epoch's candidates must satisfy besides its own; an older one that a newer one repeats is dropped. */
export function unprovenAfter(base: SyncSet): readonly SyncBase[] {
  const { leader, mode, names, ack } = base;
  const newest = { leader, mode, names, ack };
  return [...base.unproven.filter((set) => set.leader !== leader || !isSameTarget(set, newest)), newest];
}

/** Whether the member belongs to any of the sets, as leader or standby. */
export function isNamedIn(sync: SyncSet, member: string): boolean {
  return [sync, ...sync.unproven].some((set) => set.leader === member || set.names.includes(member));
}

function isOvertaken(own: Position, answer: Position): boolean {
  return !isAtLeast(own, answer) && comparePositions(own, answer) !== "incomparable";
}

function isWithinLag(own: Position, terms: ElectionTerms): boolean {
  const { leaderPosition, intent } = terms;
  if (leaderPosition === null || isAtLeast(own, leaderPosition)) return true;
  if (leaderPosition.history !== own.history) return false;
  return BigInt(leaderPosition.value) - BigInt(own.value) <= BigInt(intent.maxLag);
}

/** The member whose answer is furthest ahead of `own` among those that `base` lets lead; null when none is ahead. */
export function mostAdvanced(own: Position, answers: Answers, base: SyncSet | null): string | null {
  let best: string | null = null;
  let furthest = own;
  for (const [member, position] of Object.entries(answers)) {
    const isEligible = base === null || base.mode === "Async" || isNamedIn(base, member);
    if (position === null || !isEligible || !isAtLeast(position, furthest) || isAtLeast(furthest, position)) continue;
    best = member;
    furthest = position;
  }
  return best;
}

/** Whether two sets ask for the same confirmations. */
export function isSameTarget(a: SyncTarget, b: SyncTarget): boolean {
  return a.mode === b.mode && a.ack === b.ack && a.names.join() === b.names.join();
}

/**
 * The set that is safe while an engine may use either of two: every set of R of it meets every acknowledgement under both.
 * The mode stays the old one until the engine is known to use the new set.
 */
export function jointSet(from: SyncTarget, to: SyncTarget): SyncTarget {
  const names = [...new Set([...from.names, ...to.names])].toSorted();
  return { mode: from.mode, names, ack: Math.min(from.ack, to.ack) };
}

/** Negative, zero or positive as version `a` is older than, equal to or newer than `b`. */
export function compareVersions(a: SyncVersion, b: SyncVersion): number {
  return a.epoch === b.epoch ? a.version - b.version : a.epoch - b.epoch;
}

/** The one of `standbys` that has flushed most, null when there is none; the first by name among equals. */
export function furthestFlushed(
  standbys: readonly { readonly member: string; readonly flushed: string | null }[],
): string | null {
  let best: { member: string; flushed: string } | null = null;
  for (const { member, flushed } of standbys) {
    if (flushed === null) continue;
    if (best === null || compareValues(flushed, best.flushed) > 0) best = { member, flushed };
  }
  return best?.member ?? null;
}
