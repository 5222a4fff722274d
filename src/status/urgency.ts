// Which news of a cluster is written at once, and which waits a moment for more of it.
import type { ClusterStatus, MemberStatus } from "../api/cluster-status.ts";
import { canonicalJson } from "../build/hash.ts";

/** States that a member passes through until it serves; a person waits for the end of it, which is a condition's. */
const ON_THE_WAY = ["Pending", "Starting", "Cloning", "Rewinding", "Electing", "Running"];

/**
 * Whether the status that is stored must be replaced by `now` at once, because somebody waits for the difference or must act on
 * it: who leads, conditions, what is blocked or changes, a member that was lost or is in trouble.
 *
 * What may wait: members that come up, lag, wording, and all of a new cluster until it serves or something is in its way.
 */
export function isUrgent(stored: ClusterStatus, now: ClusterStatus): boolean {
  if (stored.conditions === undefined) return !isComingToLife(now);
  return hasLostMember(stored, now) || canonicalJson(essenceOf(stored)) !== canonicalJson(essenceOf(now));
}

function isComingToLife({ conditions = [] }: ClusterStatus): boolean {
  const isBlocked = conditions.some(({ type }) => type === "Blocked");
  return !isBlocked && conditions.some(({ type, reason }) => type === "Reconciling" && reason === "Changing");
}

function hasLostMember(stored: ClusterStatus, now: ClusterStatus): boolean {
  const isFewer = (stored.tracks ?? []).some((before) => {
    const after = now.tracks?.find(({ name }) => name === before.name);
    return after === undefined || (after.ready < before.ready && after.ready < after.desired);
  });
  const isLost = (stored.members ?? []).some((before) => {
    const after = now.members?.find(({ name }) => name === before.name);
    return after === undefined || (before.ready && !after.ready) || (isRunning(before) && !isRunning(after));
  });
  return isFewer || isLost;
}

function isRunning({ state }: MemberStatus): boolean {
  return state === "Running";
}

function essenceOf(status: ClusterStatus): unknown {
  const { observedGeneration, leader, epoch, initialized, change, rollout, overridden, shard } = status;
  const { conditions = [], blocked = [], members = [] } = status;
  return [
    { observedGeneration, leader, epoch, initialized, change, rollout, overridden, shard },
    conditions.map(({ type, status: is, reason }) => [type, is, reason]),
    blocked.map(({ guard, object }) => [guard, object]),
    members.map(({ name, role, state }) => [name, role, ON_THE_WAY.includes(state) ? "" : state]),
  ];
}
