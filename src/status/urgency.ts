// Which news of a cluster is written at once, and which waits a moment for more of it.
import type { ClusterStatus, MemberStatus } from "../api/cluster-status.ts";
import { canonicalJson } from "../build/hash.ts";

/** States that a member passes through until it serves; a person waits for the end of it, which is a condition's. */
const ON_THE_WAY = ["Pending", "Starting", "Cloning", "Rewinding", "Electing", "Running"];

/** How long news that is not urgent waits for more of it; a member's start or a clone brings several pieces within seconds. */
const SETTLE_MS = 5_000;

/**
 * The same for a new cluster. Each status of it costs the API server a write, and a thousand clusters that come up together are slow for
 * want of just that; of what it says meanwhile nothing can be acted on.
 */
const COMING_TO_LIFE_MS = 15_000;

/**
 * How long `now` may wait to replace the status that is stored: 0 where somebody waits for the difference or must act on it. That is
 * who leads, conditions, what is blocked or changes, a member that was lost or is in trouble.
 *
 * What may wait: members that come up, lag, wording, and all of a new cluster until it serves or something is in its way.
 */
export function settleMs(stored: ClusterStatus, now: ClusterStatus): number {
  const isNew = stored.conditions === undefined || (stored.initialized !== true && isComingToLife(stored));
  if (isNew) return isComingToLife(now) ? COMING_TO_LIFE_MS : 0;
  return isUrgent(stored, now) ? 0 : SETTLE_MS;
}

function isUrgent(stored: ClusterStatus, now: ClusterStatus): boolean {
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
