/**
 * A promotion that a person forces: the members that could tell what was acknowledged are gone for good, and one that may lack some of
 * it shall lead. What is given up is data, never the single writer: as in every election the Lease must be vacant and is taken
 * with a higher epoch, and every member is sealed or absent. Absent is who was ordered to be taken for lost and is silent; whoever
 * speaks is not lost, and has to be sealed like the others.
 */
import { isAtLeast } from "./position.ts";
import type { Obstacle } from "./quorum.ts";
import type { Candidate, State } from "./state.ts";
import type { SyncSet } from "./types.ts";

/** Whether the order in force is for this member and for the vacancy that the Lease shows. */
export function isOrdered({ intent, identity }: State, sync: SyncSet): boolean {
  const forced = intent?.forced ?? null;
  return forced !== null && forced.member === identity.member && forced.epoch === sync.epoch;
}

/** The members that a forced candidacy does without; null when it is not forced. */
export function absentMembers(state: State, candidate: Candidate): readonly string[] | null {
  if (candidate.cause !== "forced") return null;
  return (state.intent?.forced?.lost ?? []).filter((member) => !hasSpoken(state, candidate, member));
}

function hasSpoken(state: State, { startedAtMs }: Candidate, member: string): boolean {
  const heardAtMs = state.peers[member]?.heardAtMs ?? null;
  return heardAtMs !== null && heardAtMs >= startedAtMs;
}

function outdatedOrder({ intent, identity }: State, { base }: Candidate): Obstacle | null {
  const forced = intent?.forced ?? null;
  if (forced === null || forced.member !== identity.member || base === null) return null;
  const message = `The order is for the vacancy of epoch ${forced.epoch}; the last leader's epoch was ${base.epoch}`;
  return { reason: "OrderOutdated", message };
}

/** What stands in the way of the order that this member leads, most telling first; null when there is no such order. */
export function obstacleToForce(state: State, candidate: Candidate): Obstacle | null {
  const { intent, identity } = state;
  const absent = absentMembers(state, candidate);
  if (intent === null) return null;
  if (absent === null) return outdatedOrder(state, candidate);
  const own = candidate.answers[identity.member] ?? null;
  const others = intent.members.filter((member) => member !== identity.member && !absent.includes(member));
  const better = others.find((member) => {
    const answer = candidate.answers[member] ?? null;
    return answer !== null && own !== null && !isAtLeast(own, answer);
  });
  if (better !== undefined)
    return {
      reason: "BetterCopyExists",
      message: `${better} has writes that ${identity.member} lacks: order ${better} to lead`,
    };
  const silent = others.filter((member) => (candidate.answers[member] ?? null) === null);
  const lost = silent.filter((member) => intent.forced?.lost.includes(member));
  if (lost.length > 0)
    return { reason: "LostMemberSpeaks", message: `${lost.join(", ")} was ordered to be taken for lost, and answers` };
  return {
    reason: "MemberUnconfirmed",
    message: `${silent.join(", ")} gave no word that it follows no older leader, and is not named as lost`,
  };
}
