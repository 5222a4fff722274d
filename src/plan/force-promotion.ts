// A member that shall lead although acknowledged writes may be lost. A person says who is lost, and accepts what that costs; here it is
// looked at whether what is known of pods and nodes bears that out. Whether a second writer is impossible the agents decide: see
// agent/protocol/forced.ts.
import type { ForcePromotion } from "../api/cluster-operation.ts";
import type { Decision } from "./decision.ts";
import { keepsOwnList, stateOf, type World } from "./facts.ts";
import type { MemberView, OperationView } from "./observation.ts";
import { operationCommand } from "./override.ts";

type Outcome =
  | { readonly phase: "Done" | "Refused"; readonly message: string }
  | { readonly phase: "Running"; readonly message: string; readonly decision: Partial<Decision> };

function refused(message: string): Outcome {
  return { phase: "Refused", message };
}

/** Takes the next step of a ForcePromote. */
export function advanceForcePromotion(world: World, { uid, intent }: OperationView): Outcome {
  const { member, forcePromotion } = intent;
  if (member === undefined || forcePromotion === undefined) return refused("spec.forcePromotion is missing");
  if (keepsOwnList(world.cluster)) {
    const { topology } = world.cluster.intent;
    return refused(
      `topology ${topology} counts its votes itself: ${operationCommand(world.cluster, { type: "Recover" })}`,
    );
  }
  const { lostMembers: lost, epoch } = forcePromotion;
  const leads = world.leader?.pod?.report;
  if (leads !== undefined && leads.epoch > epoch) {
    const { name = "" } = world.leader ?? {};
    // Whoever was elected leads by no force: nothing was given up for that.
    const isOrdered = world.seen.intent?.intent?.forcedPromotion?.id === uid;
    return name === member && isOrdered
      ? { phase: "Done", message: doneText(member, leads.epoch, forcePromotion) }
      : refused(`${name} leads epoch ${leads.epoch}`);
  }
  const refusal = refusalOf(world, member, lost);
  if (refusal !== undefined) return refused(refusal);
  const target = world.members.find(({ name }) => name === member);
  const state = target === undefined ? "it does not exist" : stateOf(target);
  return {
    phase: "Running",
    message: `${member} shall lead as soon as the Lease is vacant and every member but ${lost.join(", ") || "none"} has answered (${state})`,
    decision: { forcedPromotion: { id: uid, member, epoch, lost } },
  };
}

function refusalOf(world: World, member: string, lost: readonly string[]): string | undefined {
  const { leader, listed } = world;
  const stranger = [member, ...lost].find((name) => !listed.includes(name));
  if (stranger !== undefined) return `${stranger} is no member: there are ${listed.join(", ")}`;
  if (leader !== undefined && !lost.includes(leader.name)) {
    return `${leader.name} leads: a switchover moves the leader and loses nothing; if ${leader.name} is gone for good, name it in lostMembers`;
  }
  const alive = world.members.filter(({ name }) => lost.includes(name)).flatMap((one) => lifeOf(world, one) ?? []);
  return alive[0];
}

/** Why the member may still run; undefined when everything known says that it does not. */
function lifeOf(world: World, { name, pod }: MemberView): string | undefined {
  if (pod === undefined) return undefined;
  const node = pod.node === undefined ? undefined : world.seen.nodes.get(pod.node);
  if (node?.outOfService === true) return undefined;
  if (node?.ready === false) {
    return `${name} may still run: node ${pod.node ?? ""} does not answer, and one that is only cut off goes on writing. Switch it off, then say so: kubectl taint nodes ${pod.node ?? ""} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`;
  }
  return pod.ready ? `${name} is not lost: its pod ${pod.name} is ready` : undefined;
}

function doneText(
  member: string,
  epoch: number,
  { lostMembers, approvedBy, reason, acceptedLoss }: ForcePromotion,
): string {
  const lost = lostMembers.length === 0 ? "no member" : lostMembers.join(", ");
  return `${member} leads epoch ${epoch} by force, without what only ${lost} had. Ordered by ${approvedBy}: ${reason}. Accepted loss: ${acceptedLoss}`;
}

/** The newest forced promotion of the cluster whose operation is still there. */
export function lastForcedPromotion(operations: readonly OperationView[]): OperationView | undefined {
  const forced = operations.filter(({ intent, status }) => intent.type === "ForcePromote" && status.phase === "Done");
  return forced.toSorted((a, b) => b.createdMs - a.createdMs || (a.name < b.name ? -1 : 1))[0];
}
