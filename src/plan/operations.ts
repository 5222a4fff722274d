// ClusterOperations: one at a time, oldest first. Each becomes a request in the intent, whose id is the operation's uid;
// the agents answer by that id, so an answer is never taken for another operation's.
import { isTask } from "../api/cluster-operation.ts";
import { isGoneWithNode, withoutVolume } from "./dead-node.ts";
import { type Decision, IDLE } from "./decision.ts";
import {
  hasMajority,
  isInSync,
  isOnCordonedNode,
  listedMembers,
  openRequest,
  type Request,
  successors,
  type World,
} from "./facts.ts";
import { isFleet } from "./fleet.ts";
import { advanceFleetOperation } from "./fleet-operation.ts";
import type { MemberView, OperationView } from "./observation.ts";
import { openOperations, type Outcome, reportTurns, withinDeadline } from "./operation-reports.ts";
import { noteFailed, wantedRecord } from "./revisions.ts";
import { notePromoted } from "./stages.ts";
import { advanceForcePromotion } from "./force-promotion.ts";
import { advanceRecovery } from "./recovery.ts";
import { advanceRestart, restartedMembers } from "./restart.ts";

/** Carries on the oldest operation that is not finished; the others wait. */
export function planOperations(world: World): Decision {
  const mine = openOperations(world).filter(({ intent }) => isFleet(world.cluster) || !isTask(intent.type));
  const [current, ...waiting] = mine;
  if (current === undefined) return IDLE;
  const outcome = withinDeadline(world, current, advance);
  const turns = reportTurns(world, [current, outcome], waiting);
  if (outcome.phase !== "Running") return { busy: false, ...turns };
  const change = `${current.intent.type} by operation ${current.name}: ${outcome.message}`;
  return { busy: true, change, ...turns, ...outcome.decision };
}

function advance(world: World, operation: OperationView): Outcome {
  const { type, member } = operation.intent;
  if (world.cluster.intent.stopped) return { phase: "Refused", message: "spec.stopped is true: no member runs" };
  if (type === "Promote" || type === "Abort") return judgeRevision(world, operation);
  // Members with data carry out tasks beside all this.
  if (isFleet(world.cluster) || isTask(type)) return advanceFleetOperation(world, operation);
  if (type === "Recover") return advanceRecovery(world, operation);
  if (type === "ForcePromote") return advanceForcePromotion(world, operation);
  if (type === "Defragment" && world.context.engine.actions.defragment === undefined) {
    return { phase: "Refused", message: `Engine ${world.context.engineName} declares no action defragment` };
  }
  const mine =
    type === "Restart" || type === "Defragment"
      ? undefined
      : requestOf({ Switchover: world.switchover, Rebuild: world.rebuild }[type], operation.uid);
  if (mine !== undefined && mine.state !== "Open") return { phase: mine.state, message: mine.message };
  if (mine !== undefined) return { phase: "Running", message: mine.message };
  if (openRequest(world) !== undefined) return { phase: "Running", message: waitingMessage(world, operation) };
  if (world.leader === undefined) return { phase: "Running", message: "waits for a leader" };
  const target = member === undefined ? undefined : listedMembers(world).find((m) => m.name === member);
  if (member !== undefined && target === undefined) {
    return { phase: "Refused", message: `${member} is no member: there are ${world.listed.join(", ")}` };
  }
  if (type === "Switchover") return startSwitchover(world, operation, target);
  if (type === "Restart" || type === "Defragment") {
    const members = operation.status.members ?? restartedMembers(world, operation);
    return { ...advanceRestart(world, operation, members), members };
  }
  if (target === undefined) return { phase: "Refused", message: "spec.member is missing" };
  return startRebuild(world, operation, target);
}

/** A person's word about the revision that is being tried. */
function judgeRevision(world: World, { name, intent }: OperationView): Outcome {
  const tried = wantedRecord(world);
  if (tried?.note.state !== "Trying") return { phase: "Refused", message: "no revision is being tried" };
  if (intent.type === "Promote") {
    return { phase: "Done", message: `${tried.templateHash} may go on`, notes: notePromoted(world) };
  }
  const notes = noteFailed(world, `it was given up by operation ${name}`);
  return { phase: "Done", message: `${tried.templateHash} is given up`, notes };
}

/** What an operation waits for while the members are at a request. */
function waitingMessage(world: World, { uid }: OperationView): string {
  const { restart, defragment } = world;
  if (restart.state === "Open" && restart.id.startsWith(`${uid}/`))
    return `${restart.id.slice(uid.length + 1)} restarts its engine`;
  if (defragment.state === "Open" && defragment.id.startsWith(`${uid}/`))
    return `${defragment.id.slice(uid.length + 1)} defragments its data`;
  return "waits for another request to the members";
}

function requestOf(slot: Request, uid: string): Exclude<Request, { state: "None" }> | undefined {
  return slot.state !== "None" && slot.id === uid ? slot : undefined;
}

function startSwitchover(world: World, operation: OperationView, wanted: MemberView | undefined): Outcome {
  const from = world.leader?.name ?? "";
  if (wanted?.name === from) return { phase: "Done", message: `${from} leads already` };
  if (wanted !== undefined && !isInSync(world, wanted)) {
    return { phase: "Refused", message: `${wanted.name} is not in sync within spec.failover.maxLag` };
  }
  if (wanted !== undefined && isOnCordonedNode(world, wanted)) {
    return { phase: "Refused", message: `${wanted.name} is on the cordoned node ${wanted.pod?.node ?? ""}` };
  }
  const [best] = successors(world, listedMembers(world));
  const to = wanted ?? best;
  if (to === undefined) return { phase: "Refused", message: "no other member is in sync within spec.failover.maxLag" };
  const switchover = { id: operation.uid, from, to: to.name };
  return { phase: "Running", message: `${from} hands over to ${to.name}`, decision: { switchover } };
}

function startRebuild(world: World, operation: OperationView, target: MemberView): Outcome {
  if (target.name === world.leader?.name) {
    return { phase: "Refused", message: `${target.name} leads: hand over first, then rebuild it` };
  }
  const { volume } = target;
  if (volume?.phase === "Lost" || isGoneWithNode(volume)) {
    const steps = withoutVolume(world, target, "the claim lost its volume");
    return { phase: "Running", message: `the lost volume of ${target.name} is replaced`, decision: { steps } };
  }
  // The volume is newer than the operation: it was replaced above, and the agent fills an empty one by itself.
  if (volume !== undefined && volume.createdMs > operation.createdMs) {
    return isInSync(world, target)
      ? { phase: "Done", message: `${target.name} is in sync on a new volume` }
      : { phase: "Running", message: `${target.name} is cloned onto a new volume` };
  }
  const others = listedMembers(world).filter((m) => m.name !== target.name);
  if (!hasMajority(world, others)) {
    return { phase: "Refused", message: `without ${target.name} fewer than a majority of the members is in sync` };
  }
  const rebuild = { id: operation.uid, member: target.name };
  return { phase: "Running", message: `${target.name} is cloned anew`, decision: { rebuild } };
}
