// Who belongs to the cluster. Growing: agents hear of a member before it exists, one at a time. Shrinking: the highest
// ordinal first, never the leader, and agents forget a member before it goes.
import {
  hasLeaderHeard,
  isInSync,
  isOnLostNode,
  isStillCounted,
  keepsOwnList,
  keepsQuorum,
  listedMembers,
  requestId,
  stateOf,
  successors,
  type World,
} from "./facts.ts";
import { type Decision, IDLE } from "./decision.ts";
import type { MemberView } from "./observation.ts";
import type { Block, Step } from "./plan.ts";

/** Takes one member out that the user no longer wants. */
export function planScaleIn(world: World): Decision {
  const wanted = new Set(world.desired);
  const surplus = listedMembers(world).filter((m) => !wanted.has(m.name));
  const victim = surplus.toSorted((a, b) => a.ordinal - b.ordinal).at(-1);
  if (victim === undefined) return IDLE;
  const change = `Scaling in to ${wanted.size}: removing ${victim.name}`;
  const rest = listedMembers(world).filter((m) => m.name !== victim.name);
  if (!world.initialized) return { busy: true, change, listed: rest.map((m) => m.name) };
  if (world.leader === undefined) return { busy: true, change, blocked: [noLeader(world)] };
  if (victim.name === world.leader.name) {
    const [to] = successors(
      world,
      rest.filter((m) => wanted.has(m.name)),
    );
    if (to === undefined) return { busy: true, change, blocked: [noSuccessor(world)] };
    const id = requestId("scale", world.seen.nowMs);
    return { busy: true, change, switchover: { id, from: victim.name, to: to.name } };
  }
  if (!keepsQuorum(world, rest)) {
    const message = `Without ${victim.name} fewer than a majority of the ${rest.length} remaining members would be in sync. Wait until they have caught up, or set spec.members back to ${world.listed.length}.`;
    return { busy: true, change, blocked: [{ guard: "QuorumKept", object: victim.name, message }] };
  }
  // Agents take it off the engine's list once it is not listed; its pod goes only after that.
  if (keepsOwnList(world.cluster)) return { busy: true, change, listed: rest.map((m) => m.name) };
  // Agents of a member that they no longer know would never hear that commits stopped waiting for it: it is told while listed.
  const isWaitedFor = world.leader.pod?.report?.syncNames.includes(victim.name) === true;
  if (isWaitedFor || !isLearner(world, victim) || !hasLeaderHeard(world))
    return { busy: true, change, leaving: victim.name, ...unheard(world, victim) };
  return { busy: true, change, listed: rest.map((m) => m.name) };
}

function isLearner({ seen }: World, { name }: MemberView): boolean {
  return seen.intent?.intent?.learners.includes(name) === true;
}

/** Of two members each could lead alone. One that does not answer may not know yet that it is not to. */
function unheard(world: World, victim: MemberView): Partial<Decision> {
  if (world.listed.length !== 2 || !isLearner(world, victim) || victim.pod?.report?.role === "follower") return {};
  const message = `${victim.name} must learn that commits no longer wait for it, before it can leave a cluster of two. Bring it back, or set spec.members back to 2.`;
  return { blocked: [{ guard: "QuorumKept", object: victim.name, message }] };
}

/** Removes what is left of members that agents no longer know: the StatefulSet with its pod, then by policy the volume. */
export function planRemoval(world: World): Decision {
  const gone = world.members.filter((m) => !world.listed.includes(m.name) && !world.desired.includes(m.name));
  const steps = gone.flatMap((m) => removalOf(world, m));
  // A pod whose node does not answer may stay for ever: it has been told to go, and nobody counts on it any more.
  const leaving = gone.filter((m) => m.statefulSet !== undefined || (m.pod !== undefined && !isOnLostNode(world, m)));
  const [first] = leaving;
  if (first === undefined) return steps.length === 0 ? IDLE : { busy: true, change: "Removing volumes", steps };
  return { busy: true, change: `Removing ${first.name}`, steps, requeueAfterMs: 5_000 };
}

function removalOf(world: World, member: MemberView): readonly Step[] {
  if (world.seen.stateMayHaveGoneBack) return [];
  const { namespace } = world.cluster;
  const { statefulSet, pod, volume } = member;
  if (statefulSet !== undefined) {
    if (isStillCounted(world, member) || member.name === world.leader?.name || statefulSet.deleting) return [];
    const object = { apiVersion: "apps/v1", kind: "StatefulSet", namespace, name: member.name, uid: statefulSet.uid };
    return [{ kind: "Delete", object, reason: "the member was scaled in" }];
  }
  const { volumeRetention, deletionProtection } = world.cluster.intent;
  const goes = volumeRetention.whenScaled === "Delete" && !deletionProtection;
  if (pod !== undefined || volume === undefined || volume.deleting || !goes) return [];
  const object = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name: volume.name, uid: volume.uid };
  return [{ kind: "Delete", object, reason: "the member was scaled in and volumeRetention.whenScaled is Delete" }];
}

/** Adds the next member that the user wants, once all that are there are in sync. */
export function planScaleOut(world: World): Decision {
  const missing = world.desired.filter((name) => !world.listed.includes(name));
  const [next] = missing;
  if (next === undefined) return planJoining(world);
  const change = `Scaling out to ${world.desired.length}: adding ${next}`;
  if (!world.initialized) return { busy: true, change, listed: world.desired };
  if (world.leader === undefined) return { busy: true, change, blocked: [noLeader(world)] };
  const behind = listedMembers(world).find((m) => !isInSync(world, m));
  if (behind !== undefined) return { busy: true, change, blocked: [notInSync(behind, `before ${next} is added`)] };
  return { busy: true, change, listed: [...world.listed, next] };
}

/** What is going on while all wanted members are listed and some still start. */
function planJoining(world: World): Decision {
  const joining = listedMembers(world).filter((m) => !isInSync(world, m));
  const [first] = joining;
  if (first === undefined) return IDLE;
  if (!world.initialized) return { busy: false, change: "Creating the cluster" };
  return {
    busy: false,
    change: `Waiting for ${first.name} (${first.pod === undefined ? "Starting" : stateOf(first)})`,
  };
}

/** Nobody leads: whatever needs a leader waits for the agents to elect one. */
export function noLeader(world: World): Block {
  const message = "No member leads at present. The members elect a leader by themselves; changes wait until then.";
  return { guard: "LeaderKnown", object: world.cluster.name, message };
}

/** Nobody can take over from the leader. */
export function noSuccessor(world: World): Block {
  const message =
    "No other member is in sync within spec.failover.maxLag on a node that is not cordoned, so leadership cannot be handed over. Wait until a follower has caught up, or uncordon its node.";
  return { guard: "SwitchoverTarget", object: world.leader?.name ?? world.cluster.name, message };
}

/** A member must catch up first. */
export function notInSync(member: MemberView, before: string): Block {
  const state = stateOf(member);
  return { guard: "MembersInSync", object: member.name, message: `${member.name} is not in sync ${before}: ${state}.` };
}
