// The planner: one observation in, one plan out. Pure and total; order within the observation changes nothing.
// At most one change is made at a time; see interlock.ts for the order.
import type { Blocked } from "../api/cluster-status.ts";
import { planAgents } from "./agents.ts";
import { certificateDueMs } from "./certificates.ts";
import { planChildren, planStatefulSets, planVolumes } from "./children.ts";
import { type Decision, IDLE } from "./decision.ts";
import { planDeletion } from "./deletion.ts";
import { planDrain } from "./drain.ts";
import { deriveWorld, listedMembers, openRequest, type World } from "./facts.ts";
import { isFleet } from "./fleet.ts";
import { planIntent, retryMs } from "./intent.ts";
import { type ExclusiveChange, ORDER } from "./interlock.ts";
import { planRemoval, planScaleIn, planScaleOut } from "./membership.ts";
import type { ClusterView, MemberView, Observation } from "./observation.ts";
import { reportWaiting } from "./operation-reports.ts";
import { planOperations } from "./operations.ts";
import { patchCommand } from "./override.ts";
import { planFleet } from "./plan-fleet.ts";
import { planShards } from "./plan-shards.ts";
import { isWhole } from "./shards.ts";
import { pendingChange } from "./pending.ts";
import type { Block, Plan, Step } from "./plan.ts";
import { preflight } from "./preflight.ts";
import { planRollback, planRollout } from "./rollout.ts";
import { timestamp } from "./timestamp.ts";
import { planStop } from "./stop.ts";
import { planTasks } from "./tasks.ts";
import { planTrouble } from "./trouble.ts";

const PLANNERS: Readonly<Record<ExclusiveChange, (world: World) => Decision>> = {
  Rollback: planRollback,
  Operation: planOperations,
  Request: planOpenRequest,
  Stop: planStop,
  Drain: planDrain,
  Removal: planRemoval,
  ScaleIn: planScaleIn,
  Rollout: planRollout,
  ScaleOut: planScaleOut,
  Agents: planAgents,
};
const MAX_OVERRIDE = 512; // as the schema of status has it
const BLOCKED_RECHECK_MS = 15_000; // every guard's condition also arrives as an event; this is the safety net

/** Decides what to do for one cluster now. */
export function planCluster(seen: Observation): Plan {
  const { cluster } = seen;
  if (cluster === undefined) return plan(seen, { steps: planDeletion(seen) });
  if (cluster.deleting) return plan(seen, {});
  const checked = preflight(seen, cluster);
  if (!checked.ok) return plan(seen, { blocked: checked.blocked, stalled: true });
  if (isWhole(cluster)) return plan(seen, planShards(seen, cluster, checked.context));
  const world = deriveWorld(seen, cluster, checked.context);
  const earlier = seen.members.filter((member) => member.isOfEarlierCluster);
  if (!world.initialized && earlier.length > 0) return planWait(seen, cluster, earlier);
  if (isFleet(cluster)) return plan(seen, { ...planFleet(world), pending: pendingChange(world) });
  if (cluster.intent.paused) return planPaused(world);
  return planWorld(world);
}

/**
 * A new cluster begins when nothing of an earlier one of its name runs: members that are on their way out would lead it, by a
 * Lease that is new and with volumes that are to go, and then none of its own may initialise.
 */
function planWait(seen: Observation, cluster: ClusterView, earlier: readonly MemberView[]): Plan {
  const names = earlier.map(({ name }) => name).toSorted();
  const message = `${names.join(", ")} of an earlier ClusterSpec ${cluster.name} must end first; that takes at most a minute, unless their nodes do not answer.`;
  const blocked: Block[] = [{ guard: "EarlierClusterGone", object: names[0] ?? cluster.name, message }];
  return plan(seen, { blocked, change: `Waiting for an earlier cluster ${cluster.name} to end` });
}

/** Paused: agents are told, nothing else moves. Before the first intent there is nobody to tell. */
function planPaused(world: World): Plan {
  const { seen, cluster } = world;
  const message =
    "spec.paused is true: quorate changes nothing, and members do not fail over. Set it to false to go on.";
  const override = patchCommand(cluster, { paused: false });
  const told = seen.intent === undefined ? [] : planIntent(world, IDLE, world.listed);
  const steps = [...reportWaiting(world, "spec.paused is true"), ...told];
  return plan(seen, { steps, blocked: [{ guard: "NotPaused", object: cluster.name, message, override }] });
}

function planWorld(world: World): Plan {
  const tasks = planTasks(world);
  const decision: Decision = { ...interlock(world), ...(tasks.task === undefined ? {} : { task: tasks.task }) };
  const requeueAfterMs = [memoryLeftMs(world), certificateDueMs(world), tasks.requeueAfterMs].reduce(
    soonest,
    decision.requeueAfterMs,
  );
  const listed = decision.listed ?? world.listed;
  const members = listedMembers(world);
  const told = planIntent(world, decision, listed);
  const steps: readonly Step[] = [
    ...(decision.reports ?? []),
    ...(tasks.reports ?? []),
    ...planChildren(world, listed),
    // The first intent says who may initialise its volume, so it comes after the volumes are seen to be there.
    ...planVolumes(world, members),
    ...told,
    // A member exists only after the intent that lists it: its agent must find itself in it.
    ...(world.seen.intent === undefined && told.length === 0 ? [] : planStatefulSets(world, members)),
    ...(decision.steps ?? []),
  ];
  return plan(world.seen, {
    ...decision,
    ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
    steps: withoutOverridden(steps),
    pending: pendingChange(world),
  });
}

/** How long a switchover that did not succeed is still remembered in the intent. A leader that came back later would obey it. */
function memoryLeftMs(world: World): number | undefined {
  const untilMs = retryMs(world);
  return untilMs === undefined ? undefined : untilMs - world.seen.nowMs;
}

/** Asks the planners in order; the first busy one has its way, and what the others report is kept. */
function interlock(world: World): Decision {
  const trouble = planTrouble(world);
  const { seen } = world;
  const unconfirmed: readonly Block[] = seen.stateMayHaveGoneBack ? [stateUnconfirmed(world)] : [];
  const blocked: Block[] = [...unconfirmed, ...(trouble.blocked ?? [])];
  const reports: Step[] = [];
  let change = trouble.change ?? "";
  let requeueAfterMs: number | undefined;
  let rollout: Decision["rollout"];
  for (const kind of ORDER) {
    const decision = PLANNERS[kind](world);
    blocked.push(...(decision.blocked ?? []));
    reports.push(...(decision.reports ?? []));
    requeueAfterMs = soonest(requeueAfterMs, decision.requeueAfterMs);
    if (change === "") change = decision.change ?? "";
    rollout ??= decision.rollout;
    if (!decision.busy) continue;
    const isHeld = (decision.blocked ?? []).length > 0 || decision.change === undefined;
    const planned = isHeld ? {} : { planned: kind };
    return afterPause(world, {
      ...decision,
      ...planned,
      change,
      blocked,
      reports,
      ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
      ...(rollout === undefined ? {} : { rollout }),
    });
  }
  return {
    busy: false,
    change,
    blocked,
    reports,
    ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
    ...(rollout === undefined ? {} : { rollout }),
  };
}

/** A switchover of the planner's that did not succeed is not tried again at once, and is never passed over. */
function afterPause(world: World, decision: Decision): Decision {
  const { switchover } = decision;
  const isOwn = switchover !== undefined && switchover.id.includes(".");
  const nextTryMs = retryMs(world);
  if (!isOwn || nextTryMs === undefined || world.switchover.state === "None") return decision;
  const { switchover: _, ...rest } = decision;
  const message = `The last switchover was ${world.switchover.state}: ${world.switchover.message}. It is tried again by itself.`;
  const block: Block = {
    guard: "SwitchoverDone",
    object: world.leader?.name ?? world.cluster.name,
    message,
    nextTryMs,
  };
  return { ...rest, blocked: [...(decision.blocked ?? []), block] };
}

/** Agents are at a request: nothing else may disturb them. */
function planOpenRequest(world: World): Decision {
  const open = openRequest(world);
  if (open === undefined) return IDLE;
  const purpose = open.id.split(".")[0] ?? "";
  const what = open === world.switchover ? "Switchover" : "Request";
  return { busy: true, change: `${what} (${purpose}): ${open.message}`, requeueAfterMs: 5_000 };
}

function stateUnconfirmed(world: World): Block {
  const message =
    "The API server's state went back (restored from a backup?). Nothing is deleted until the present state has been confirmed.";
  return { guard: "StateConfirmed", object: world.cluster.name, message };
}

/**
 * A planner's own step for an object wins over the standing one for the same object in the same pass. What several want gone is
 * deleted once.
 */
function withoutOverridden(steps: readonly Step[]): readonly Step[] {
  const target = (step: Step) => {
    if (step.kind === "Delete") return `Delete ${step.object.kind}/${step.object.name}`;
    const isWritten = step.kind === "Apply" || step.kind === "Create";
    return isWritten ? `${step.manifest.kind}/${step.manifest.metadata.name}` : undefined;
  };
  const last = new Map(steps.flatMap((step, at) => (target(step) === undefined ? [] : [[target(step), at] as const])));
  return steps.filter((step, at) => target(step) === undefined || last.get(target(step)) === at);
}

function soonest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

interface Outcome {
  readonly steps?: readonly Step[];
  readonly blocked?: readonly Block[];
  readonly change?: string;
  readonly rollout?: Plan["rollout"];
  readonly planned?: Plan["planned"];
  readonly pending?: Plan["pending"];
  readonly resharding?: Plan["resharding"];
  readonly requeueAfterMs?: number;
  readonly stalled?: boolean;
}

function plan(seen: Observation, outcome: Outcome): Plan {
  const { steps = [], blocked = [], change = "", stalled = false } = outcome;
  const recheck = blocked.length > 0 && !stalled ? BLOCKED_RECHECK_MS : undefined;
  return {
    steps,
    blocked: blocked.map((block) => withSince(seen, seen.cluster, block)),
    change: change.slice(0, 128),
    rollout: outcome.rollout,
    planned: outcome.planned,
    pending: outcome.pending,
    ...(outcome.resharding === undefined ? {} : { resharding: outcome.resharding }),
    requeueAfterMs: soonest(outcome.requeueAfterMs, recheck),
    stalled,
  };
}

/** Says since when: as long as guard and object stay the same, the time does. */
function withSince(seen: Observation, cluster: ClusterView | undefined, block: Block): Blocked {
  const { nextTryMs, override, ...told } = block;
  const before = cluster?.status.blocked?.find((old) => old.guard === block.guard && old.object === block.object);
  const since = before?.since ?? timestamp(seen.nowMs);
  return {
    ...told,
    since,
    ...(nextTryMs === undefined ? {} : { nextTry: timestamp(nextTryMs) }),
    // A command that is cut off does something else.
    ...(override === undefined || override.length > MAX_OVERRIDE ? {} : { override }),
  };
}
