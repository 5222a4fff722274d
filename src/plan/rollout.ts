// Brings members to the revision that the user's change asks for: what is broken first, then followers in the order in
// which they would be the last to succeed, the leader at the end and only after it has handed over. The StatefulSet
// changes together with its pod, never ahead of it. A revision that fails is left again, in the same order.
import type { RolloutStatus } from "../api/update.ts";
import { contentHash } from "../build/hash.ts";
import { pinnedTemplate } from "../build/revision.ts";
import { buildStatefulSet, isSameInput } from "../build/stateful-set.ts";
import { type Decision, IDLE, takesStep } from "./decision.ts";
import { applyIfDifferent } from "./difference.ts";
import { isInSync, isOnLostNode, listedMembers, openRequest, requestId, successors, type World } from "./facts.ts";
import { noLeader, noSuccessor, notInSync } from "./membership.ts";
import type { MemberView } from "./observation.ts";
import { patchCommand } from "./override.ts";
import { isAccepted, pendingBlock, pendingChange } from "./pending.ts";
import type { Block, Step } from "./plan.ts";
import { noteFailed, noteGood, noteTrying, recordsOf, type Target, targetOf, wantedRecord } from "./revisions.ts";
import { failureDueMs, failureOf } from "./rollout-failure.ts";
import { rolloutStatus, shortHash, standingBlock } from "./rollout-report.ts";
import { type Reach, reachOf } from "./stages.ts";
import { replicasOf } from "./stop.ts";
import { timestamp } from "./timestamp.ts";
import { upgradeBlock } from "./upgrade-path.ts";
import { afterUpdate, beforeRollback, beforeUpdate } from "./update-hooks.ts";

const LOOK_AGAIN_MS = 10_000;
const NEW_LEADER_MS = 3_000;
const BROKEN_AFTER_MS = 60_000; // a container restarts and a volume is attached in less

/** One pass over a roll: where members are to go, and which are there. */
interface Roll {
  readonly target: Target;
  readonly outdated: readonly MemberView[];
  readonly updated: readonly MemberView[];
}

/** Takes the next step of a rollout, if one is needed. */
export function planRollout(world: World): Decision {
  const roll = rollOf(world);
  if (roll.target.direction === "Held") return standing(world, roll, "Held");
  if (roll.outdated.length === 0) return concluded(world, roll);
  return roll.target.isProven ? returning(world, roll) : trying(world, roll);
}

/**
 * The way out of a revision that failed, ahead of everything else while there is a step to take. While there is none it
 * waits in the place of a rollout, so that what would mend the cluster is not held up by it.
 */
export function planRollback(world: World): Decision {
  if (openRequest(world) !== undefined || world.cluster.intent.stopped) return IDLE;
  const roll = rollOf(world);
  const reason = reasonToLeave(world, roll);
  if (reason !== undefined) return givingUp(world, roll, reason);
  if (roll.target.direction !== "Back" || roll.outdated.length === 0) return IDLE;
  const decision = returning(world, roll);
  return takesStep(decision) || decision.hook !== undefined || decision.reports !== undefined ? decision : IDLE;
}

const rolls = new WeakMap<World, Roll>(); // asked for on the way back and on the way forward

function rollOf(world: World): Roll {
  const roll = rolls.get(world) ?? findRoll(world);
  rolls.set(world, roll);
  return roll;
}

function findRoll(world: World): Roll {
  const target = targetOf(world);
  const listed = listedMembers(world);
  const outdated = listed.filter((m) => isOutdated(world, target, m));
  return { target, outdated, updated: listed.filter((m) => !outdated.includes(m)) };
}

/** Why the revision that is tried has failed; undefined while it has not, or nothing is tried. */
function reasonToLeave(world: World, { target, updated }: Roll): string | undefined {
  const isTried = target.direction === "Forward" && wantedRecord(world)?.note.state === "Trying";
  return isTried ? failureOf(world, updated) : undefined;
}

/** An untried revision: in steps, through the gates, and out of it again when it fails. */
function trying(world: World, roll: Roll): Decision {
  const jump = upgradeBlock(world, roll.outdated);
  if (jump !== undefined) return { busy: false, blocked: [jump], rollout: statusOf(world, roll, "Blocked") };
  const reach = reachOf(world, roll.updated);
  const repairs = roll.outdated.filter((m) => isBroken(world, m) && !ranWell(world, m));
  // A member that serves nobody waits for nobody: otherwise a bad revision could never be rolled forward.
  const step: Partial<Decision> =
    repairs.length > 0
      ? { steps: repairs.flatMap((m) => replace(world, roll.target, m)) }
      : (holdOf(world, roll, reach) ?? advance(world, roll, reach.limit - roll.updated.length));
  const next = takesStep(step) ? (beforeUpdate(world) ?? step) : step;
  const baking = reach.bakingUntilMs === undefined ? "" : `, baking until ${timestamp(reach.bakingUntilMs)}`;
  const phase = (next.blocked ?? []).length > 0 ? "Blocked" : baking === "" ? "Progressing" : "Baking";
  return {
    busy: true,
    rollout: statusOf(world, roll, phase, reach.step),
    ...next,
    change: changing(`Rolling out ${progressOf(world, roll)}${baking}`, next),
    reports: [...noteTrying(world, takesStep(next)), ...(next.reports ?? [])],
    ...lookAgain(world, roll, next),
  };
}

/** A revision that every member ran before: there is nothing to try, so neither steps nor gates hold it up. */
function returning(world: World, roll: Roll): Decision {
  const isBack = roll.target.direction === "Back";
  const step = advance(world, roll, roll.outdated.length);
  const next = takesStep(step) ? (beforeRollback(world, roll.outdated) ?? step) : step;
  return {
    busy: true,
    rollout: statusOf(world, roll, isBack ? "RollingBack" : "Progressing"),
    ...next,
    change: changing(`${isBack ? "Rolling back to" : "Returning to"} ${progressOf(world, roll)}`, next),
    ...lookAgain(world, roll, next),
  };
}

/** Every member is where it is to be: for good once all have stayed in sync, and until then the revision may still fail. */
function concluded(world: World, roll: Roll): Decision {
  const { target } = roll;
  if (target.direction === "Back") return standing(world, roll, "RolledBack");
  const pending = pendingChange(world);
  if (pending !== undefined) {
    const block = pendingBlock(world, pending);
    return block === undefined ? IDLE : { busy: false, blocked: [block] };
  }
  const isTried = wantedRecord(world)?.note.state === "Trying";
  const isThere = isComplete(world, roll);
  const unfinished = isThere && isTried ? afterUpdate(world) : undefined;
  if (isThere && unfinished === undefined)
    return { ...IDLE, reports: noteGood(world), rollout: statusOf(world, roll, "Complete") };
  if (!isTried) return { ...IDLE, requeueAfterMs: LOOK_AGAIN_MS };
  const waiting = unfinished ?? waitFor(world, target, "");
  const change = changing(`Rolling out ${progressOf(world, roll)}`, waiting);
  const phase = waiting.blocked === undefined ? "Progressing" : "Blocked";
  return { busy: true, rollout: statusOf(world, roll, phase), ...waiting, change, ...lookAgain(world, roll, waiting) };
}

/** The roll in a few words, and what is done for it that is no step of its own. */
function changing(roll: string, { change }: Partial<Decision>): string {
  return change === undefined ? roll : `${roll}, ${change}`;
}

/** The revision has failed: that is noted down before anything is done about it. */
function givingUp(world: World, roll: Roll, why: string): Decision {
  return { busy: true, change: `Giving up ${shortHash(roll.target)}: ${why}`, steps: noteFailed(world, why) };
}

/** The wanted revision failed and members have left it, or are held where they are. */
function standing(world: World, roll: Roll, phase: "RolledBack" | "Held"): Decision {
  const block = standingBlock(world);
  const rollout = statusOf(world, roll, phase);
  return block === undefined ? { ...IDLE, rollout } : { busy: false, blocked: [block], rollout };
}

/** Whether every member runs the revision, and has been in sync for long enough. */
function isComplete(world: World, { target }: Roll): boolean {
  if (unsettled(world, target).length > 0) return false;
  return listedMembers(world).every(
    ({ statefulSet, pod }) =>
      statefulSet?.revision?.templateHash === target.templateHash && pod?.templateHash === target.templateHash,
  );
}

/** What keeps a roll where it is although members are left; undefined when it may go on. */
function holdOf(world: World, { target, outdated, updated }: Roll, reach: Reach): Partial<Decision> | undefined {
  const { partition, jitterSeconds } = world.cluster.intent.update;
  if (updated.length >= world.listed.length - partition) return { busy: false, blocked: [heldBack(world, outdated)] };
  if (reach.bakingUntilMs !== undefined) return { requeueAfterMs: reach.bakingUntilMs - world.seen.nowMs };
  if (reach.blocked !== undefined) return { busy: false, blocked: [reach.blocked] };
  if (updated.length >= reach.limit) return waitFor(world, target, outdated[0]?.name ?? "");
  const startedMs = Date.parse(wantedRecord(world)?.note.startedAt ?? timestamp(world.seen.nowMs));
  const startMs = startedMs + jitterSeconds * 1000 * lot(`${world.cluster.uid} ${target.templateHash}`);
  return updated.length === 0 && world.seen.nowMs < startMs
    ? { requeueAfterMs: startMs - world.seen.nowMs }
    : undefined;
}

/** @param room - How many members may still be brought to the revision at present. */
function advance(world: World, { target, outdated }: Roll, room: number): Partial<Decision> {
  const broken = outdated.filter((m) => isBroken(world, m)).slice(0, room);
  if (broken.length > 0) return { steps: broken.flatMap((m) => replace(world, target, m)) };
  if (world.leader === undefined) return { blocked: [noLeader(world)] };
  const followers = outdated
    .filter((m) => m.name !== world.leader?.name && !isOnLostNode(world, m))
    .toSorted((a, b) => Number(ranWell(world, a)) - Number(ranWell(world, b)) || byLastToSucceed(world)(a, b));
  if (followers.length > 0) return replaceFollowers(world, target, followers.slice(0, room));
  const lost = outdated.find((m) => isOnLostNode(world, m));
  return lost === undefined
    ? replaceLeader(world, target, world.leader)
    : { blocked: [notInSync(lost, "and its node does not answer")] };
}

/** Those who could not succeed the leader at all come first, its best successor last. */
function byLastToSucceed(world: World): (a: MemberView, b: MemberView) => number {
  const order = successors(world, world.members).map((m) => m.name);
  const place = (m: MemberView) => (order.includes(m.name) ? order.indexOf(m.name) : Number.MAX_SAFE_INTEGER);
  return (a, b) => place(b) - place(a) || b.ordinal - a.ordinal;
}

/** Replaces as many followers at once as may be away, the first of them first. */
function replaceFollowers(world: World, target: Target, followers: readonly MemberView[]): Partial<Decision> {
  const gone = new Set(unsettled(world, target).map((m) => m.name));
  const allowed = mayBeAway(world);
  const chosen: MemberView[] = [];
  for (const follower of followers) {
    const without = new Set([...gone, follower.name]); // one that lags is away already, and may be the next
    if (without.size > allowed) break;
    if (!keepsCommits(world, without)) {
      if (chosen.length === 0) return { blocked: [needed(follower)] };
      break;
    }
    gone.add(follower.name);
    chosen.push(follower);
  }
  if (chosen.length > 0) return { steps: chosen.flatMap((m) => replace(world, target, m)) };
  return waitFor(world, target, followers[0]?.name ?? "");
}

/** The leader is alone in its step: everybody else must be there and in sync. */
function replaceLeader(world: World, target: Target, leader: MemberView): Partial<Decision> {
  const others = listedMembers(world).filter((m) => m.name !== leader.name);
  if (others.length === 0) return { steps: replace(world, target, leader) };
  if (unsettled(world, target).some((m) => m.name !== leader.name)) return waitFor(world, target, leader.name);
  const [to] = successors(world, others);
  if (to === undefined) return { blocked: [noSuccessor(world)] };
  if (hasRefused(world, leader) && world.cluster.intent.update.onSwitchoverFailure === "Proceed") {
    return { steps: replace(world, target, leader) };
  }
  const purpose = target.direction === "Back" ? "rollback" : "rollout";
  return { switchover: { id: requestId(purpose, world.seen.nowMs), from: leader.name, to: to.name } };
}

/** Whether `leader` did not carry out the last switchover that a rollout asked it for. */
function hasRefused(world: World, leader: MemberView): boolean {
  const { switchover } = world;
  if (switchover.state !== "Refused" && switchover.state !== "Failed") return false;
  return /^(rollout|rollback)\./.test(switchover.id) && world.seen.intent?.intent?.switchover?.from === leader.name;
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
function unsettled(world: World, target: Target): readonly MemberView[] {
  return listedMembers(world).filter((m) => !isInSync(world, m) || settlingMs(world, target, m) > 0);
}

/** How long the next step must still wait for a member: one of the target that is not ready for long, or one that leads so. */
function settlingMs(world: World, target: Target, { name, pod }: MemberView): number {
  const arrivingMs = name === world.leader?.name ? clientsArriveMs(world, pod) : 0;
  if (pod?.templateHash !== target.templateHash) return arrivingMs;
  const { minReadySeconds, jitterSeconds } = world.cluster.intent.update;
  const jitter = target.isProven ? 0 : jitterSeconds * lot(`${world.cluster.uid} ${pod.uid}`);
  const readyMs = world.seen.nowMs - (pod.readySinceMs ?? pod.createdMs);
  return Math.max(arrivingMs, (minReadySeconds + jitter) * 1000 - readyMs);
}

/**
 * How long clients may still be coming over to a new leader: what a pod's end and start cost its nodes would make them wait. A time
 * of office that is far ahead of our clock says nothing.
 */
function clientsArriveMs({ seen }: World, pod: MemberView["pod"]): number {
  const ledMs = seen.nowMs - Date.parse(pod?.report?.leaderSince ?? "");
  return ledMs > -NEW_LEADER_MS && ledMs < NEW_LEADER_MS ? NEW_LEADER_MS - ledMs : 0;
}

/** A number from 0 to 1 that is always the same for the same text, and as good as random for others. */
function lot(text: string): number {
  return Number.parseInt(contentHash(text).slice(0, 8), 16) / 2 ** 32;
}

/** Why nothing happens: somebody is not in sync, or has not been for long. @param next - Who waits; empty at the end. */
function waitFor(world: World, target: Target, next: string): Partial<Decision> {
  const others = listedMembers(world).filter((m) => m.name !== next);
  const behind = others.find((m) => !isInSync(world, m));
  const before = next === "" ? "at the end of the roll" : `before ${next} is replaced`;
  if (behind !== undefined) return { blocked: [notInSync(behind, before)] };
  const waitMs = Math.max(0, ...others.map((m) => settlingMs(world, target, m)));
  return { requeueAfterMs: Math.min(LOOK_AGAIN_MS, Math.max(1, waitMs)) };
}

/**
 * Serves nothing and will not by itself, so nothing is lost with it. While nobody leads, an agent that still speaks may be
 * electing: left alone. A member of a revision that worked is given time to come back, for it is likely to.
 */
function isBroken(world: World, member: MemberView): boolean {
  const { pod } = member;
  const isReady = pod?.ready === true && pod.deletingSinceMs === undefined; // also when its report is not understood
  if (isReady || member.name === world.leader?.name || isOnLostNode(world, member)) return false;
  if (ranWell(world, member) && pod?.trouble === undefined && !isDownForLong(world, member)) return false;
  if (world.leader !== undefined || !world.initialized) return true;
  return pod === undefined || pod.report === undefined || pod.trouble !== undefined;
}

function isDownForLong(world: World, { pod }: MemberView): boolean {
  const sinceMs = pod?.ready === false ? (pod.readySinceMs ?? pod.createdMs) : undefined;
  return sinceMs !== undefined && world.seen.nowMs - sinceMs >= BROKEN_AFTER_MS;
}

/** Whether the member's revision is known to have worked for all: then its trouble has another cause. */
function ranWell(world: World, { statefulSet }: MemberView): boolean {
  const hash = statefulSet?.revision?.templateHash;
  return recordsOf(world.seen).some((record) => record.templateHash === hash && record.note.state === "Good");
}

/** Whether the member's StatefulSet differs by the user's will, or its pod is behind its StatefulSet. */
function isOutdated(world: World, target: Target, member: MemberView): boolean {
  const revision = member.statefulSet?.revision;
  if (member.statefulSet === undefined || revision === undefined || member.statefulSet.deleting) return false;
  if (revision.templateHash !== target.templateHash) {
    if (target.direction === "Back") return true;
    return !isSameInput(world.context, { ...revision, template: member.statefulSet.template }) || isAccepted(world);
  }
  const { pod } = member;
  const isLeaving = pod?.deletingSinceMs !== undefined; // it comes back as its StatefulSet says
  return pod?.templateHash !== undefined && !isLeaving && pod.templateHash !== revision.templateHash;
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

function replace(world: World, target: Target, member: MemberView): readonly Step[] {
  const { namespace } = world.cluster;
  const pinned = target.record === undefined ? undefined : pinnedTemplate(target.record, member.name);
  const steps: Step[] = [
    ...applyIfDifferent(
      buildStatefulSet(world.context, member.name, { pinned, replicas: replicasOf(world, member) }),
      world.seen.children,
    ),
  ];
  const { pod } = member;
  const isBehind = pod !== undefined && pod.templateHash !== target.templateHash;
  if (isBehind && pod.deletingSinceMs === undefined && !world.seen.stateMayHaveGoneBack) {
    const object = { apiVersion: "v1", kind: "Pod", namespace, name: pod.name, uid: pod.uid };
    steps.push({ kind: "Delete", object, reason: "it is to come back at another revision" });
  }
  return steps;
}

function progressOf(world: World, { target, updated }: Roll): string {
  return `${shortHash(target)}: ${updated.length}/${world.listed.length} members done`;
}

/** Looks again when time alone may change something: a deadline, or the end of a wait. */
function lookAgain(world: World, { target, updated }: Roll, next: Partial<Decision>): Pick<Decision, "requeueAfterMs"> {
  const due = target.isProven ? undefined : failureDueMs(world, updated);
  const dueAfterMs = due === undefined ? LOOK_AGAIN_MS : Math.max(1, due - world.seen.nowMs);
  return { requeueAfterMs: Math.min(dueAfterMs, Math.max(1, next.requeueAfterMs ?? LOOK_AGAIN_MS)) };
}

function statusOf(world: World, roll: Roll, phase: RolloutStatus["phase"], step?: string): RolloutStatus {
  const updated = roll.updated.map((m) => m.name);
  return rolloutStatus(world, roll.target, { phase, updated, ...(step === undefined ? {} : { step }) });
}
