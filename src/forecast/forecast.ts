// What a cluster would go through: the real planner, pass after pass, in a world in which everything works. Pure.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { Intent } from "../api/agent-wire.ts";
import { ANNOTATION_TEMPLATE_HASH, nameOf } from "../api/names.ts";
import { formatBytes } from "../build/quantity.ts";
import { leaderOf } from "../plan/facts.ts";
import { trackOf } from "../plan/fleet.ts";
import type { Measured, MemberView, Observation } from "../plan/observation.ts";
import type { Plan, Step } from "../plan/plan.ts";
import { planCluster } from "../plan/plan-cluster.ts";
import { computeStatus } from "../status/status.ts";
import { afterMoves, afterSteps, intentIn } from "./calm-world.ts";

/** What happens to clients' writes in an event. */
export type WriteGap = "None" | "HandOver" | "UntilBack";

/** Something that people would notice, in the order in which it would happen. */
export interface ForecastEvent {
  readonly kind:
    | "AddMember"
    | "RemoveMember"
    | "ReplacePod"
    | "StopMember"
    | "StartMember"
    | "HandOver"
    | "RestartEngine"
    | "RebuildMember"
    | "RunHook"
    | "GrowVolume"
    | "DeleteVolume"
    | "TellAgents"
    | "Apply"
    | "Delete";
  /** What it happens to: a member, or `Kind/name`. */
  readonly object: string;
  readonly detail: string;
  readonly gap: WriteGap;
  /** Seconds from now, as far as the spec's own pauses tell; pods and clones take longer. */
  readonly afterSeconds: number;
}

/** What would come of a change. */
export interface Forecast {
  readonly events: readonly ForecastEvent[];
  /** What would hold the change back, and how to let it pass; empty when it comes to its end. */
  readonly blocked: Plan["blocked"];
  /** The change that is still going on at the end, when something holds it back. */
  readonly change: string;
}

/** Passes that do something. */
const MAX_PASSES = 500;
/** What waits for time shall get it, a few times over; pauses that the spec names come on top. */
const QUIET_PASSES = 4;
const QUIET_MS = 240_000;
const TICK_MS = 1_000;
const QUIET_TICK_MS = 60_000;
const LONG_WAIT_MS = 86_400_000;

/**
 * Plays `intent` in place of the cluster's spec from what was seen. The cluster must exist.
 * Error budgets are taken as they are in `seen`: one that is spent stays spent. Analyses of a canary pass.
 */
export function forecast(seen: Observation, intent: ClusterIntent): Forecast {
  const { cluster } = seen;
  if (cluster === undefined) throw new TypeError("there is no cluster to forecast for");
  const startMs = seen.nowMs;
  const events: ForecastEvent[] = [];
  let now: Observation = { ...seen, cluster: { ...cluster, intent, generation: cluster.generation + 1 } };
  const quietMs = QUIET_MS + pausesMs(intent);
  let quiet = { passes: 0, ms: 0 };
  for (let moves = 0; moves < MAX_PASSES; ) {
    const plan = planCluster(now);
    events.push(...eventsOf(now, plan, now.nowMs - startMs));
    const moved = afterMoves(afterSteps(now, plan));
    const isStill = moved.members === now.members && moved.instances === now.instances;
    const isQuiet = plan.steps.length === 0 && isStill;
    const tickMs = isQuiet ? quietTick(plan) : TICK_MS;
    if (!isQuiet) moves += 1;
    quiet = isQuiet ? { passes: quiet.passes + 1, ms: quiet.ms + tickMs } : { passes: 0, ms: 0 };
    const waitsTooLong = now.nowMs - startMs > LONG_WAIT_MS;
    if ((quiet.passes >= QUIET_PASSES && quiet.ms >= quietMs) || waitsTooLong)
      return { events, blocked: plan.blocked, change: plan.change };
    now = { ...proven(withStatus(moved, plan)), nowMs: now.nowMs + tickMs };
  }
  const { blocked, change } = planCluster(now);
  return { events, blocked, change };
}

/** How long a change may stand still because its spec says so. */
function pausesMs({ update }: ClusterIntent): number {
  return 1000 * (update.canary.bakeSeconds + update.minReadySeconds + update.jitterSeconds);
}

/** Until what the plan waits for: what is foretold for later than it can begin would be wrong. */
function quietTick({ requeueAfterMs }: Plan): number {
  return requeueAfterMs === undefined ? QUIET_TICK_MS : Math.max(TICK_MS, requeueAfterMs);
}

function withStatus(seen: Observation, plan: Plan): Observation {
  const { cluster } = seen;
  return cluster === undefined
    ? seen
    : { ...seen, cluster: { ...cluster, status: computeStatus(seen, cluster, plan, undefined) } };
}

/** Whatever is to be judged of the revision that is being rolled out passes. */
function proven(seen: Observation): Observation {
  const { cluster, measured = UNMEASURED } = seen;
  const revision = cluster?.status.rollout?.revision;
  const analysis = cluster?.intent.update.canary.analysis ?? [];
  if (revision === undefined || analysis.length === 0) return seen;
  const verdicts = analysis.map(({ name }) => ({ name, verdict: "Pass", message: "all is well" }) as const);
  return { ...seen, measured: { ...measured, trial: { revision, verdicts } } };
}

const UNMEASURED: Measured = { budgets: undefined, missing: "", record: undefined, trial: undefined };

function eventsOf(seen: Observation, plan: Plan, afterMs: number): ForecastEvent[] {
  const afterSeconds = Math.round(afterMs / 1000);
  return plan.steps
    .flatMap((step) => ("manifest" in step ? ofManifest(seen, step) : ofDelete(seen, step)))
    .map((event) => ({ ...event, afterSeconds }));
}

type Happening = Omit<ForecastEvent, "afterSeconds">;

/** The planner's own memory, which changes nothing for anybody. */
const BOOKKEEPING = ["ControllerRevision", "EndpointSlice", "Lease"];

function ofManifest(seen: Observation, step: Extract<Step, { readonly manifest: unknown }>): Happening[] {
  const { kind, metadata } = step.manifest;
  const { name } = metadata;
  if (BOOKKEEPING.includes(kind)) return [];
  if (kind === "ConfigMap" && name === nameOf.intent(seen.name)) {
    return ofIntent(seen, seen.intent?.intent, intentIn(step.manifest));
  }
  if (kind === "PersistentVolumeClaim") return ofVolume(seen, step);
  if (kind === "StatefulSet") return ofSet(seen, step);
  if (kind === "Deployment") return ofDeployment(seen, step);
  return [{ kind: "Apply", object: `${kind}/${name}`, detail: step.reason, gap: "None" }];
}

/** What its members go through; none of it holds up a client, because new ones come first. */
function ofDeployment(
  seen: Observation,
  { manifest, reason }: Extract<Step, { readonly manifest: unknown }>,
): Happening[] {
  const { name } = manifest.metadata;
  const object = `Deployment/${name}`;
  const live = (["stable", "canary"] as const)
    .flatMap((track) => trackOf(seen, track) ?? [])
    .find((one) => one.name === name);
  const { replicas } = manifest["spec"] as { readonly replicas: number };
  if (live === undefined) return [{ kind: "Apply", object, detail: `${replicas} members`, gap: "None" }];
  const isOther = manifest.metadata.annotations?.[ANNOTATION_TEMPLATE_HASH] !== live.revision?.templateHash;
  const detail = isOther
    ? `its ${replicas} members are replaced, new ones first`
    : replicas === live.replicas
      ? reason
      : `${live.replicas} → ${replicas} members`;
  return [{ kind: "Apply", object, detail, gap: replicas === 0 ? "UntilBack" : "None" }];
}

function ofDelete(seen: Observation, step: Step): Happening[] {
  if (step.kind !== "Delete") return [];
  const { kind, name } = step.object;
  if (BOOKKEEPING.includes(kind)) return [];
  if (kind === "Pod") {
    const member = seen.members.find(({ pod }) => pod?.name === name);
    return [{ kind: "ReplacePod", object: member?.name ?? name, detail: step.reason, gap: gapWithout(seen, member) }];
  }
  if (kind === "StatefulSet") return [{ kind: "RemoveMember", object: name, detail: step.reason, gap: "None" }];
  if (kind === "PersistentVolumeClaim")
    return [{ kind: "DeleteVolume", object: name, detail: step.reason, gap: "None" }];
  return [{ kind: "Delete", object: `${kind}/${name}`, detail: step.reason, gap: "None" }];
}

/** Whether writes wait while the member is away: a leader that did not hand over takes them along. */
function gapWithout({ members }: Observation, member: MemberView | undefined): WriteGap {
  return member !== undefined && leaderOf(members)?.name === member.name ? "UntilBack" : "None";
}

function ofSet(seen: Observation, step: Extract<Step, { readonly manifest: unknown }>): Happening[] {
  const { name } = step.manifest.metadata;
  const member = seen.members.find((one) => one.name === name);
  const { replicas = 1 } = step.manifest["spec"] as { readonly replicas?: number };
  if (member?.statefulSet === undefined) return [{ kind: "AddMember", object: name, detail: "", gap: "None" }];
  if (member.statefulSet.replicas === replicas) return []; // its pod is replaced with it, which is an event of its own
  return replicas === 0
    ? [{ kind: "StopMember", object: name, detail: "its volume is kept", gap: gapWithout(seen, member) }]
    : [{ kind: "StartMember", object: name, detail: "", gap: "None" }];
}

function ofVolume(seen: Observation, step: Extract<Step, { readonly manifest: unknown }>): Happening[] {
  const { name } = step.manifest.metadata;
  const old = seen.members.find(({ volume }) => volume?.name === name)?.volume;
  const { resources } = step.manifest["spec"] as {
    readonly resources: { readonly requests: { readonly storage: string } };
  };
  const { storage } = resources.requests;
  if (old === undefined || formatBytes(old.requestedBytes) === storage) return [];
  const detail = `${formatBytes(old.requestedBytes)} → ${storage}`;
  return [{ kind: "GrowVolume", object: name, detail, gap: "None" }];
}

function ofIntent({ cluster, members }: Observation, old: Intent | undefined, intent: Intent | undefined): Happening[] {
  if (intent === undefined || cluster === undefined) return [];
  const { switchover, restart, rebuild, hook } = intent;
  const happenings: Happening[] = [];
  if (switchover !== null && switchover.id !== old?.switchover?.id) {
    const detail = `${switchover.from ?? ""} → ${switchover.to ?? "the best follower"}`;
    happenings.push({ kind: "HandOver", object: cluster.name, detail, gap: "HandOver" });
  }
  if (restart !== null && restart.id !== old?.restart?.id) {
    const leads = leaderOf(members)?.name === restart.member;
    happenings.push({ kind: "RestartEngine", object: restart.member, detail: "", gap: leads ? "UntilBack" : "None" });
  }
  if (rebuild !== null && rebuild.id !== old?.rebuild?.id) {
    happenings.push({ kind: "RebuildMember", object: rebuild.member, detail: "clones the leader", gap: "None" });
  }
  if (hook !== null && hook.id !== old?.hook?.id) {
    happenings.push({ kind: "RunHook", object: hook.member, detail: hook.action, gap: "None" });
  }
  const told = old === undefined ? [] : changesTold(old, intent);
  if (told.length > 0)
    happenings.push({ kind: "TellAgents", object: cluster.name, detail: told.join(", "), gap: "None" });
  return happenings;
}

/** What agents are told that takes effect without a restart. */
function changesTold(old: Intent, intent: Intent): string[] {
  const names = [...new Set([...Object.keys(old.parameters), ...Object.keys(intent.parameters)])].toSorted();
  const parameters = names
    .filter((name) => old.parameters[name] !== intent.parameters[name])
    .map((name) => `${name} = ${intent.parameters[name] ?? "(default)"}`);
  return [
    ...parameters,
    ...changed("durability", describeDurability(old), describeDurability(intent)),
    ...changed("profile", old.profile, intent.profile),
    ...changed("paused", String(old.paused), String(intent.paused)),
    ...changed("maxLag", old.maxLagBytes, intent.maxLagBytes),
  ];
}

function describeDurability({ durability }: Intent): string {
  return `${durability.mode}/${durability.whenDegraded}`;
}

function changed(what: string, before: string, after: string): string[] {
  return before === after ? [] : [`${what} ${before} → ${after}`];
}
