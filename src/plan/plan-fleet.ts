// The planner of topology Stateless: what Kubernetes' own controllers shall keep, and when they may change it.
import { nameOf } from "../api/names.ts";
import { buildServiceAccount } from "../build/access.ts";
import { buildAutoscaler } from "../build/autoscaler.ts";
import { buildStatelessBudget } from "../build/budget.ts";
import { buildBudgetRecord } from "../build/budget-record.ts";
import { buildEngineFiles } from "../build/config.ts";
import { buildDeployment, type Track } from "../build/deployment.ts";
import { childKey, type Manifest } from "../build/manifest.ts";
import { buildStatelessNetworkPolicy, buildStatelessService } from "../build/services.ts";
import { type PinnedTemplate, revisionOf } from "../build/stateful-set.ts";
import type { Decision } from "./decision.ts";
import { applyIfDifferent } from "./difference.ts";
import type { World } from "./facts.ts";
import { isFleetStopped, trackOf } from "./fleet.ts";
import { type FleetRollout, planFleetRollout } from "./fleet-rollout.ts";
import { priorityBlock } from "./gates.ts";
import { reportWaiting } from "./operation-reports.ts";
import { planOperations } from "./operations.ts";
import { patchCommand } from "./override.ts";
import type { Block, Doomed, Step } from "./plan.ts";

/** Decides what to do for a cluster of topology Stateless. */
export function planFleet(world: World): Decision {
  const { paused, stopped } = world.cluster.intent;
  if (paused) return planPaused(world);
  const operation = planOperations(world);
  const rollout = stopped ? resting(world) : planFleetRollout(world);
  const restart = operation.fleetRestart ?? trackOf(world.seen, "stable")?.restart;
  const requeues = [operation.requeueAfterMs, rollout.requeueAfterMs].flatMap((ms) => ms ?? []);
  const change = operation.busy ? operation.change : rollout.change;
  return {
    busy: operation.busy || rollout.isMoving === true,
    ...(change === undefined ? {} : { change }),
    ...(rollout.rollout === undefined ? {} : { rollout: rollout.rollout }),
    ...plannedBy(operation, rollout),
    ...(requeues.length === 0 ? {} : { requeueAfterMs: Math.min(...requeues) }),
    blocked: [...unmadePods(world), ...(operation.blocked ?? []), ...(rollout.blocked ?? []), ...unmeasuredLoad(world)],
    steps: [
      ...(operation.reports ?? []),
      ...(rollout.reports ?? []),
      ...planChildren(world),
      ...planStable(world, rollout.stable.template, restart),
      ...planCanary(world, rollout.canary),
    ],
  };
}

function unmadePods(world: World): readonly Block[] {
  const block = priorityBlock(world);
  return block === undefined ? [] : [block];
}

function plannedBy(operation: Decision, { isMoving, blocked = [] }: FleetRollout): Pick<Decision, "planned"> {
  if (operation.busy) return { planned: "Operation" };
  return isMoving === true && blocked.length === 0 ? { planned: "Rollout" } : {};
}

/** Paused: updates stop where they are. The number of members still follows the load, and Kubernetes replaces who is lost. */
function planPaused(world: World): Decision {
  const message =
    "spec.paused is true: quorate changes nothing, and an update stops where it is. Autoscaling goes on. Set it to false to go on.";
  const override = patchCommand(world.cluster, { paused: false });
  const stable = trackOf(world.seen, "stable");
  const canary = trackOf(world.seen, "canary");
  return {
    busy: false,
    blocked: [{ guard: "NotPaused", object: world.cluster.name, message, override }],
    steps: [
      ...reportWaiting(world, "spec.paused is true"),
      ...(stable === undefined ? [] : planStable(world, stable.revision, stable.restart)),
      ...(canary === undefined ? [] : planCanary(world, { members: canary.replicas })),
    ],
  };
}

/** Stopped: nobody runs, and nothing is tried. */
function resting(world: World): FleetRollout {
  const stable = trackOf(world.seen, "stable");
  const left = world.seen.instances.length;
  return {
    stable: { template: stable?.revision },
    canary: undefined,
    ...(isFleetStopped(world.seen) ? {} : { change: `Stopping: ${left} members are left`, requeueAfterMs: 5_000 }),
  };
}

function planChildren(world: World): readonly Step[] {
  const { context, seen } = world;
  const hasFiles = Object.keys(context.engine.files).length > 0;
  const record = seen.measured?.record;
  const applied = [
    buildServiceAccount(context),
    buildStatelessService(context),
    buildStatelessNetworkPolicy(context),
    buildStatelessBudget(context),
    ...(hasFiles ? [buildEngineFiles(context)] : []),
    ...(record === undefined ? [] : [buildBudgetRecord(context, record)]),
  ];
  return [...applied.flatMap((manifest) => applyIfDifferent(manifest, seen.children)), ...planAutoscaler(world)];
}

function planAutoscaler(world: World): readonly Step[] {
  const { context, seen, cluster } = world;
  const { autoscaling } = cluster.intent;
  if (autoscaling !== undefined) return applyIfDifferent(buildAutoscaler(context, autoscaling), seen.children);
  const name = nameOf.autoscaler(cluster.name);
  const live = seen.children.get(childKey("HorizontalPodAutoscaler", name));
  if (live === undefined || live.deleting || seen.stateMayHaveGoneBack) return [];
  const object = { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", uid: live.uid };
  return [deletion(world, { ...object, name }, "spec.autoscaling is not there any more")];
}

/** @param template - To be kept or gone back to; undefined: what the spec renders. */
function planStable(world: World, template: PinnedTemplate | undefined, restart: string | undefined): readonly Step[] {
  const { context, seen } = world;
  const live = trackOf(seen, "stable");
  const isOther = live?.revision?.templateHash !== (template ?? revisionOf(context)).templateHash;
  const manifest = buildDeployment(context, "stable", {
    replicas: replicasOf(world),
    pinned: template,
    restart: isOther ? undefined : restart, // another revision restarts everybody anyway
    // The autoscaler may be at work: what it decides meanwhile must not be taken back.
    resourceVersion: context.intent.autoscaling === undefined ? undefined : live?.resourceVersion,
  });
  return applyIfDifferent(manifest, seen.children);
}

/** How many members shall serve: as many as the autoscaler last wanted, where there is one, and never fewer than are to be warm. */
function replicasOf({ seen, cluster }: World): number {
  const { members, autoscaling, stopped } = cluster.intent;
  if (stopped) return 0;
  const now = trackOf(seen, "stable")?.replicas ?? 0;
  return autoscaling === undefined ? members : Math.min(autoscaling.maxMembers, Math.max(members, now));
}

function planCanary(world: World, canary: FleetRollout["canary"]): readonly Step[] {
  const { context, seen } = world;
  const live = trackOf(seen, "canary");
  if (canary !== undefined) return applyIfDifferent(canaryOf(world, canary.members), seen.children);
  if (live === undefined || seen.stateMayHaveGoneBack) return [];
  const object = { apiVersion: "apps/v1", kind: "Deployment", name: nameOf.deployment(context.name, "canary") };
  return [deletion(world, { ...object, uid: live.uid }, "no revision is tried any more")];
}

/** A canary that is there keeps its template: what it tries is not changed under it. */
function canaryOf({ context, seen }: World, members: number): Manifest {
  const live = trackOf(seen, "canary")?.revision;
  const track: Track = "canary";
  const isTried = live?.templateHash === revisionOf(context).templateHash || context.intent.paused;
  return buildDeployment(context, track, { replicas: members, pinned: isTried ? live : undefined });
}

function deletion({ cluster }: World, object: Omit<Doomed, "namespace">, reason: string): Step {
  return { kind: "Delete", object: { ...object, namespace: cluster.namespace }, reason };
}

interface LiveAutoscaler {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

/** The autoscaler cannot read what it is to follow: the number of members stays where it is, whatever the load. */
function unmeasuredLoad({ seen, cluster }: World): readonly Block[] {
  if (cluster.intent.autoscaling === undefined || cluster.intent.stopped) return [];
  const child = seen.children.get(childKey("HorizontalPodAutoscaler", nameOf.autoscaler(cluster.name)));
  const { status = {} } = (child?.live ?? {}) as LiveAutoscaler;
  const active = status.conditions?.find(({ type }) => type === "ScalingActive");
  if (active?.status !== "False" || active.reason === "ScalingDisabled") return [];
  const message = `The autoscaler cannot read a metric of spec.autoscaling, so the number of members stays as it is: ${active.message ?? ""}`;
  return [{ guard: "LoadMeasured", object: cluster.name, message: message.slice(0, 2048) }];
}
