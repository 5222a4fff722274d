// Brings members to the template that the user's change asks for: what is broken first, then followers in the order in
// which they would be the last to succeed, the leader at the end and only after it has handed over. The StatefulSet
// changes together with its pod, never ahead of it.
import { ANNOTATION_ACCEPT_TEMPLATE } from "../build/labels.ts";
import { contentHash } from "../build/hash.ts";
import { buildStatefulSet, revisionOf } from "../build/stateful-set.ts";
import { type Decision, IDLE } from "./decision.ts";
import { applyIfDifferent } from "./difference.ts";
import { isInSync, isServing, listedMembers, requestId, successors, type World } from "./facts.ts";
import { noLeader, noSuccessor, notInSync } from "./membership.ts";
import type { MemberView } from "./observation.ts";
import { annotateCommand, patchCommand } from "./override.ts";
import type { Block, Step } from "./plan.ts";

const LOOK_AGAIN_MS = 10_000;

/** Takes the next step of a rollout, if one is needed. */
export function planRollout(world: World): Decision {
  const pending = pendingTemplate(world);
  const listed = listedMembers(world);
  const outdated = listed.filter((m) => isOutdated(world, m));
  if (outdated.length === 0) return pending === undefined ? IDLE : { busy: false, blocked: [pending] };
  const done = listed.filter((m) => !outdated.includes(m));
  const change = `Rolling out ${revisionOf(world.context).templateHash.slice(0, 8)}: ${done.length}/${listed.length} members done`;
  const room = listed.length - world.cluster.intent.update.partition - done.length;
  if (room <= 0) return { busy: false, change, blocked: [heldBack(world, outdated)] };
  return { busy: true, change, requeueAfterMs: LOOK_AGAIN_MS, ...advance(world, outdated, room) };
}

/** @param room - How many members may still be brought to the new revision at present. */
function advance(world: World, outdated: readonly MemberView[], room: number): Partial<Decision> {
  const broken = outdated.filter((m) => isBroken(world, m)).slice(0, room);
  // A member that serves nobody waits for nobody: otherwise a bad revision could never be rolled forward.
  if (broken.length > 0) return { steps: broken.flatMap((m) => replace(world, m)) };
  if (world.leader === undefined) return { blocked: [noLeader(world)] };
  const followers = outdated.filter((m) => m.name !== world.leader?.name).toSorted(byLastToSucceed(world));
  if (followers.length > 0) return replaceFollowers(world, followers.slice(0, room));
  return replaceLeader(world, world.leader);
}

/** Those who could not succeed the leader at all come first, its best successor last. */
function byLastToSucceed(world: World): (a: MemberView, b: MemberView) => number {
  const order = successors(world, world.members).map((m) => m.name);
  const place = (m: MemberView) => (order.includes(m.name) ? order.indexOf(m.name) : Number.MAX_SAFE_INTEGER);
  return (a, b) => place(b) - place(a) || b.ordinal - a.ordinal;
}

/** Replaces as many followers at once as may be away, the first of them first. */
function replaceFollowers(world: World, followers: readonly MemberView[]): Partial<Decision> {
  const gone = new Set(unsettled(world).map((m) => m.name));
  const allowed = mayBeAway(world);
  const chosen: MemberView[] = [];
  for (const follower of followers) {
    const without = new Set([...gone, follower.name]); // one that lags is away already, and may be the next
    if (without.size > allowed) break;
    if (!keepsCommits(world, without)) {
      return chosen.length > 0 ? { steps: chosen.flatMap((m) => replace(world, m)) } : { blocked: [needed(follower)] };
    }
    gone.add(follower.name);
    chosen.push(follower);
  }
  if (chosen.length > 0) return { steps: chosen.flatMap((m) => replace(world, m)) };
  return waitFor(world, followers[0]?.name ?? world.cluster.name);
}

/** The leader is alone in its step: everybody else must be there and in sync. */
function replaceLeader(world: World, leader: MemberView): Partial<Decision> {
  const others = listedMembers(world).filter((m) => m.name !== leader.name);
  if (others.length === 0) return { steps: replace(world, leader) };
  if (unsettled(world).some((m) => m.name !== leader.name)) return waitFor(world, leader.name);
  const [to] = successors(world, others);
  if (to === undefined) return { blocked: [noSuccessor(world)] };
  if (hasRefused(world, leader) && world.cluster.intent.update.onSwitchoverFailure === "Proceed") {
    return { steps: replace(world, leader) };
  }
  return { switchover: { id: requestId("rollout", world.seen.nowMs), from: leader.name, to: to.name } };
}

/** Whether `leader` did not carry out the last switchover that a rollout asked it for. */
function hasRefused(world: World, leader: MemberView): boolean {
  const { switchover } = world;
  if (switchover.state !== "Refused" && switchover.state !== "Failed") return false;
  return switchover.id.startsWith("rollout.") && world.seen.intent?.intent?.switchover?.from === leader.name;
}

/** How many members may be away at once: what the user allows, and never so many that a majority is not left. */
function mayBeAway(world: World): number {
  const count = world.listed.length;
  const spare = count - (Math.floor(count / 2) + 1);
  return Math.max(1, Math.min(world.cluster.intent.update.maxUnavailable, spare));
}

/**
 * Whether the leader's commits get the confirmations they need while `without` are away. Two members cannot be one short,
 * and in mode All every commit waits for a member that is away: both are the user's choice, and no reason to stop for.
 */
function keepsCommits(world: World, without: ReadonlySet<string>): boolean {
  const report = world.leader?.pod?.report;
  if (report === undefined || world.listed.length < 3 || world.cluster.intent.durability.mode !== "Quorum") return true;
  return report.syncNames.filter((name) => !without.has(name)).length >= report.ackCount;
}

/** Members that are not in sync, or have not been for long enough since they were replaced. */
function unsettled(world: World): readonly MemberView[] {
  return listedMembers(world).filter((m) => !isInSync(world, m) || settlingMs(world, m) > 0);
}

/** How long a member of the new revision must still stay ready before the next step; 0 for all others. */
function settlingMs(world: World, member: MemberView): number {
  const { pod } = member;
  if (pod?.templateHash !== revisionOf(world.context).templateHash) return 0;
  const { minReadySeconds, jitterSeconds } = world.cluster.intent.update;
  const readyMs = world.seen.nowMs - (pod.readySinceMs ?? pod.createdMs);
  return (minReadySeconds + jitterSeconds * lot(`${world.cluster.uid} ${pod.uid}`)) * 1000 - readyMs;
}

/** A number from 0 to 1 that is always the same for the same text, and as good as random for others. */
function lot(text: string): number {
  return Number.parseInt(contentHash(text).slice(0, 8), 16) / 2 ** 32;
}

/** Why nothing happens: somebody is not in sync, or has not been for long. */
function waitFor(world: World, next: string): Partial<Decision> {
  const others = listedMembers(world).filter((m) => m.name !== next);
  const behind = others.find((m) => !isInSync(world, m));
  if (behind !== undefined) return { blocked: [notInSync(behind, `before ${next} is replaced`)] };
  const waitMs = Math.max(0, ...others.map((m) => settlingMs(world, m)));
  return { requeueAfterMs: Math.min(LOOK_AGAIN_MS, Math.max(1, waitMs)) };
}

/** Serves nothing, so nothing is lost with it. While nobody leads, an agent that still speaks may be electing: left alone. */
function isBroken(world: World, member: MemberView): boolean {
  if (isServing(member) || member.name === world.leader?.name) return false;
  if (world.leader !== undefined || !world.initialized) return true;
  return member.pod === undefined || member.pod.report === undefined || member.pod.trouble !== undefined;
}

/** Whether the member's StatefulSet differs by the user's will, or its pod is behind its StatefulSet and not on its way out. */
function isOutdated(world: World, member: MemberView): boolean {
  const revision = member.statefulSet?.revision;
  if (member.statefulSet === undefined || revision === undefined || member.statefulSet.deleting) return false;
  const wanted = revisionOf(world.context);
  if (revision.templateHash !== wanted.templateHash) {
    return revision.inputHash !== wanted.inputHash || isAccepted(world, wanted.templateHash);
  }
  return member.pod?.templateHash !== undefined && member.pod.templateHash !== revision.templateHash;
}

/** Members are left at their revision because the user holds them back. */
function heldBack(world: World, outdated: readonly MemberView[]): Block {
  const { name, intent } = world.cluster;
  const names = outdated.map((m) => m.name).join(", ");
  const message = `spec.update.partition is ${intent.update.partition}, so ${names} stay at their revision. Lower it to go on.`;
  const override = patchCommand(world.cluster, { update: { partition: 0 } });
  return { guard: "PartitionReached", object: name, message, override };
}

function needed(member: MemberView): Block {
  const message = `Commits wait for confirmations that would be missing without ${member.name}. Wait until more members confirm them.`;
  return { guard: "QuorumKept", object: member.name, message };
}

function isAccepted(world: World, templateHash: string): boolean {
  return world.cluster.annotations[ANNOTATION_ACCEPT_TEMPLATE] === templateHash;
}

/** A template that only this operator's version renders differently. Reported, never rolled out unasked. */
function pendingTemplate(world: World): Block | undefined {
  const wanted = revisionOf(world.context);
  const isPending = listedMembers(world).some((m) => {
    const revision = m.statefulSet?.revision;
    return revision?.inputHash === wanted.inputHash && revision.templateHash !== wanted.templateHash;
  });
  if (!isPending || isAccepted(world, wanted.templateHash)) return undefined;
  return {
    guard: "TemplateAccepted",
    object: world.cluster.name,
    message:
      "This version of quorate renders the pods differently. Members keep running as they are until you accept it.",
    override: annotateCommand(world.cluster, ANNOTATION_ACCEPT_TEMPLATE, wanted.templateHash),
  };
}

function replace(world: World, member: MemberView): readonly Step[] {
  const { namespace } = world.cluster;
  const steps: Step[] = [...applyIfDifferent(buildStatefulSet(world.context, member.name), world.seen.children)];
  const { pod } = member;
  const isBehind = pod !== undefined && pod.templateHash !== revisionOf(world.context).templateHash;
  if (isBehind && pod.deletingSinceMs === undefined && !world.seen.stateMayHaveGoneBack) {
    const object = { apiVersion: "v1", kind: "Pod", namespace, name: pod.name, uid: pod.uid };
    steps.push({ kind: "Delete", object, reason: "it has an older template" });
  }
  return steps;
}
