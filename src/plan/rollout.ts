// Brings members to the template that the user's change asks for: what is broken first, then followers, the leader last
// and only after it has handed over. The StatefulSet changes together with its pod, never ahead of it.
import { ANNOTATION_ACCEPT_TEMPLATE } from "../build/labels.ts";
import { buildStatefulSet, revisionOf } from "../build/stateful-set.ts";
import { type Decision, IDLE } from "./decision.ts";
import { applyIfDifferent } from "./difference.ts";
import { isInSync, isServing, listedMembers, requestId, successors, type World } from "./facts.ts";
import { noLeader, noSuccessor, notInSync } from "./membership.ts";
import type { MemberView } from "./observation.ts";
import { annotateCommand } from "./override.ts";
import type { Block, Step } from "./plan.ts";

/** Takes the next step of a rollout, if one is needed. */
export function planRollout(world: World): Decision {
  const pending = pendingTemplate(world);
  const outdated = listedMembers(world)
    .filter((m) => isOutdated(world, m))
    .toSorted((a, b) => rank(world, a) - rank(world, b) || b.ordinal - a.ordinal);
  const [next] = outdated;
  if (next === undefined) return pending === undefined ? IDLE : { busy: false, blocked: [pending] };
  const total = world.listed.length;
  const change = `Rolling out ${revisionOf(world.context).templateHash.slice(0, 8)}: ${total - outdated.length}/${total} members done`;
  return { busy: true, change, requeueAfterMs: 10_000, ...advance(world, next) };
}

function advance(world: World, next: MemberView): Partial<Decision> {
  if (next.pod !== undefined && next.pod.deletingSinceMs !== undefined) return {}; // on its way out; comes back as new
  // A member that serves nobody waits for nobody: otherwise a bad revision could never be rolled forward.
  if (isBroken(world, next)) return { steps: replace(world, next) };
  if (world.leader === undefined) return { blocked: [noLeader(world)] };
  const others = listedMembers(world).filter((m) => m.name !== next.name);
  const behind = others.find((m) => !isInSync(world, m));
  if (behind !== undefined) return { blocked: [notInSync(behind, `before ${next.name} is replaced`)] };
  if (next.name !== world.leader.name || others.length === 0) return { steps: replace(world, next) };
  const [to] = successors(world, others);
  if (to === undefined) return { blocked: [noSuccessor(world)] };
  return { switchover: { id: requestId("rollout", world.seen.nowMs), from: next.name, to: to.name } };
}

/** Broken ones first, then followers, the leader last. */
function rank(world: World, member: MemberView): number {
  if (member.name === world.leader?.name) return 2;
  return isBroken(world, member) ? 0 : 1;
}

/** Serves nothing, so nothing is lost with it. While nobody leads, an agent that still speaks may be electing: left alone. */
function isBroken(world: World, member: MemberView): boolean {
  if (isServing(member) || member.name === world.leader?.name) return false;
  if (world.leader !== undefined || !world.initialized) return true;
  return member.pod === undefined || member.pod.report === undefined || member.pod.trouble !== undefined;
}

/** Whether the member's StatefulSet differs by the user's will, or its pod is behind its StatefulSet. */
function isOutdated(world: World, member: MemberView): boolean {
  const revision = member.statefulSet?.revision;
  if (member.statefulSet === undefined || revision === undefined || member.statefulSet.deleting) return false;
  const wanted = revisionOf(world.context);
  if (revision.templateHash !== wanted.templateHash) {
    return revision.inputHash !== wanted.inputHash || isAccepted(world, wanted.templateHash);
  }
  return member.pod?.templateHash !== undefined && member.pod.templateHash !== revision.templateHash;
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
  if (isBehind && !world.seen.stateMayHaveGoneBack) {
    const object = { apiVersion: "v1", kind: "Pod", namespace, name: pod.name, uid: pod.uid };
    steps.push({ kind: "Delete", object, reason: "it has an older template" });
  }
  return steps;
}
