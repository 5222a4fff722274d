// When a revision that is being tried has failed. Only what its own members do counts: a node that is away, a volume
// that went with it, a copy that takes long, a majority that is gone or a member at another revision says nothing about it.
import { isGoneWithNode } from "./dead-node.ts";
import { isInSync, type World } from "./facts.ts";
import { analyses, burningBudgets, urgentUntilMs } from "./gates.ts";
import type { MemberView, PodView } from "./observation.ts";
import { isAborted, wantedRecord } from "./revisions.ts";
import { unjudged } from "./stages.ts";

const BUSY = ["Cloning", "Rewinding"];
/** What a member says that waits for others: one at a time is rolled, so it is not the roll that took the majority. */
const WAITS_FOR_OTHERS = ["QuorumLost", "MajorityPresent"];

/** Why the revision failed; undefined while it has not. @param updated - The members that are at it. */
export function failureOf(world: World, updated: readonly MemberView[]): string | undefined {
  if (isAborted(world)) return "it was given up by hand";
  if (updated.length === 0) return undefined;
  const failed = failedAnalysis(world);
  if (failed !== undefined) return failed;
  const ofMember = updated.map((m) => failureOfMember(world, m)).find((reason) => reason !== undefined);
  return ofMember ?? burnSinceStep(world) ?? unjudged(world, updated);
}

/** Why the revision failed by what was measured; undefined while nothing says so. */
export function failureOfTrial(world: World): string | undefined {
  return failedAnalysis(world) ?? burnSinceStep(world);
}

/**
 * The clients' budgets that burn since the last step. With Freeze no step passes the gate while one burns, so that what burns began
 * later. What passed it all the same, an urgent step or one for a member that was down, is noted down until the burn is over.
 */
function burnSinceStep(world: World): string | undefined {
  const isGated = world.cluster.intent.slo?.whenExhausted === "Freeze" && urgentUntilMs(world) === undefined;
  const burning = burningBudgets(world);
  if (!isGated || burning.length === 0 || wantedRecord(world)?.note.burnsSinceBefore === true) return undefined;
  return `the error budget of ${burning.join(", ")} burns since the last step`;
}

function failedAnalysis(world: World): string | undefined {
  const failed = analyses(world).find(({ verdict }) => verdict === "Fail");
  return failed === undefined ? undefined : `analysis ${failed.name} failed: ${failed.message}`;
}

/** When the next look at `updated` could find a failure that only the passing of time shows. */
export function failureDueMs(world: World, updated: readonly MemberView[]): number | undefined {
  const due = updated.flatMap((m) => dueMs(world, m) ?? []);
  return due.length === 0 ? undefined : Math.min(...due);
}

function failureOfMember(world: World, member: MemberView): string | undefined {
  const pod = judgedPod(world, member);
  return pod === undefined ? undefined : failureOfPod(world, member.name, pod);
}

/** Why the revision failed on this pod, as far as pods show it. @param name - Whose pod it is, for people. */
export function failureOfPod(world: World, name: string, pod: PodView): string | undefined {
  const due = dueMsOf(world, pod);
  if (due === undefined) return undefined;
  const { trouble, report } = pod;
  if (trouble?.startsWith("CrashLoopBackOff") === true) return `${name} crashes again and again: ${trouble}`;
  if (world.seen.nowMs < due) return undefined;
  const { progressDeadlineSeconds } = world.cluster.intent.update;
  const state = trouble ?? report?.reason ?? report?.state ?? "it has not reported";
  return `${name} was not ready within ${progressDeadlineSeconds} s: ${state}`;
}

function dueMs(world: World, member: MemberView): number | undefined {
  const pod = judgedPod(world, member);
  return pod === undefined ? undefined : dueMsOf(world, pod);
}

/** The member's pod when the revision has to answer for it: not in sync, not copying, and with a volume that a node can take. */
function judgedPod(world: World, member: MemberView): PodView | undefined {
  const { pod, volume } = member;
  if (pod === undefined || isInSync(world, member) || BUSY.includes(pod.report?.state ?? "")) return undefined;
  return isGoneWithNode(volume) ? undefined : pod;
}

/** By when the pod must be ready; undefined for one that is, or that cannot be blamed on the revision. */
export function dueMsOf(world: World, pod: PodView): number | undefined {
  if (pod.deletingSinceMs !== undefined || pod.ready) return undefined;
  const node = pod.node === undefined ? undefined : world.seen.nodes.get(pod.node);
  if (node?.ready === false || WAITS_FOR_OTHERS.includes(pod.report?.reason ?? "")) return undefined;
  // A node that came back is given the whole time anew, and so is whoever must find a new leader.
  const ledSinceMs = Date.parse(world.leader?.pod?.report?.leaderSince ?? "");
  const sinceMs = Math.max(pod.createdMs, pod.readySinceMs ?? 0, node?.readySinceMs ?? 0, ledSinceMs || 0);
  return sinceMs + world.cluster.intent.update.progressDeadlineSeconds * 1000;
}
