// When a revision that is being tried has failed. Only what its own members do counts: a node that is away, a copy that
// takes long or a member at another revision says nothing about it.
import { isInSync, type World } from "./facts.ts";
import { analyses, burnSinceStep } from "./gates.ts";
import type { MemberView } from "./observation.ts";
import { isAborted } from "./revisions.ts";
import { unjudged } from "./stages.ts";

const BUSY = ["Cloning", "Rewinding"];

/** Why the revision failed; undefined while it has not. @param updated - The members that are at it. */
export function failureOf(world: World, updated: readonly MemberView[]): string | undefined {
  if (isAborted(world)) return "it was given up by hand";
  if (updated.length === 0) return undefined;
  const failed = analyses(world).find(({ verdict }) => verdict === "Fail");
  if (failed !== undefined) return `analysis ${failed.name} failed: ${failed.message}`;
  const ofMember = updated.map((m) => failureOfMember(world, m)).find((reason) => reason !== undefined);
  return ofMember ?? burnSinceStep(world) ?? unjudged(world, updated);
}

/** When the next look at `updated` could find a failure that only the passing of time shows. */
export function failureDueMs(world: World, updated: readonly MemberView[]): number | undefined {
  const due = updated.flatMap((m) => dueMs(world, m) ?? []);
  return due.length === 0 ? undefined : Math.min(...due);
}

function failureOfMember(world: World, member: MemberView): string | undefined {
  const due = dueMs(world, member);
  if (due === undefined || member.pod === undefined) return undefined;
  const { trouble, report } = member.pod;
  if (trouble?.startsWith("CrashLoopBackOff") === true) return `${member.name} crashes again and again: ${trouble}`;
  if (world.seen.nowMs < due) return undefined;
  const { progressDeadlineSeconds } = world.cluster.intent.update;
  const state = trouble ?? report?.reason ?? report?.state ?? "it has not reported";
  return `${member.name} was not ready within ${progressDeadlineSeconds} s: ${state}`;
}

/** By when the member must be ready; undefined for one that is, or that cannot be blamed on the revision. */
function dueMs(world: World, member: MemberView): number | undefined {
  const { pod } = member;
  if (pod === undefined || pod.deletingSinceMs !== undefined || pod.ready || isInSync(world, member)) return undefined;
  if (BUSY.includes(pod.report?.state ?? "")) return undefined;
  const node = pod.node === undefined ? undefined : world.seen.nodes.get(pod.node);
  if (node?.ready === false) return undefined;
  // A node that came back is given the whole time anew.
  const sinceMs = Math.max(pod.createdMs, pod.readySinceMs ?? 0, node?.readySinceMs ?? 0);
  return sinceMs + world.cluster.intent.update.progressDeadlineSeconds * 1000;
}
