// What quorate reports of a cluster: computed anew from one observation and its plan, in every pass.
import type { ClusterStatus, MemberStatus } from "../api/cluster-status.ts";
import { resolveVersion } from "../build/context.ts";
import { podSelector } from "../build/labels.ts";
import { objectivesVerdict, overriddenGates } from "../plan/gates.ts";
import { lastForcedPromotion } from "../plan/force-promotion.ts";
import { desiredNames, isInitialized, isInSync, leaderOf, stateOf } from "../plan/facts.ts";
import { isFleet } from "../plan/fleet.ts";
import type { ClusterView, MemberView, Observation } from "../plan/observation.ts";
import { pendingMessage } from "../plan/pending.ts";
import type { Plan } from "../plan/plan.ts";
import { isWhole } from "../plan/shards.ts";
import { isStopped } from "../plan/stop.ts";
import { timestamp } from "../plan/timestamp.ts";
import { smallestRemaining } from "../slo/verdict.ts";
import { VERSION } from "../version.ts";
import { agentVerdict } from "./agents.ts";
import { type Verdict, withTimes } from "./conditions.ts";
import { countFleet, fleetVerdicts } from "./fleet-status.ts";
import { countShards, shardsVerdicts } from "./shards-status.ts";

/** Why the plan could not be carried out to its end. */
export interface Failure {
  /** One CamelCase word. */
  readonly reason: string;
  readonly message: string;
  /** It will not pass by itself. */
  readonly terminal: boolean;
}

/** The status of `cluster`. `failure` is what ended this pass early, if anything did. */
export function computeStatus(
  seen: Observation,
  cluster: ClusterView,
  plan: Plan,
  failure: Failure | undefined,
): ClusterStatus {
  const { status: before, intent, generation } = cluster;
  const members = seen.members.toSorted((a, b) => a.ordinal - b.ordinal);
  const present = members.filter((m) => m.pod !== undefined || m.statefulSet !== undefined);
  const leader = leaderOf(members);
  const { ready, desired, revision, ...counted } = countOf(seen, cluster, members);
  const image = seen.engine === undefined ? undefined : resolveVersion(intent, seen.engine)?.image;
  const epochs = members.flatMap((m) => m.pod?.report?.epoch ?? []);
  const change = failure === undefined ? plan.change : before.change;
  // A pass that failed has not dealt with this generation yet.
  const observed = failure === undefined || failure.terminal ? generation : before.observedGeneration;
  const overridden = overriddenGates({ seen, cluster }).map(({ guard, untilMs }) => ({
    guard,
    until: timestamp(untilMs),
  }));
  const facts: Facts = { seen, cluster, plan, failure, members, leader };
  return {
    conditions: withTimes(verdictsOf(facts), before.conditions ?? [], generation, seen.nowMs),
    members: present.map((member) => toMemberStatus(member, intent.stopped)),
    ...counted,
    readyMembers: ready,
    readyRatio: `${ready}/${desired}`,
    desiredMembers: desired,
    selector: Object.entries(podSelector(cluster.name))
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    ...known({
      observedGeneration: observed,
      leader: leader?.name,
      epoch: epochs.length === 0 ? undefined : Math.max(...epochs),
      change: change === "" ? undefined : change,
      shard: shardOf(cluster, leader),
      certificate: certificateOf(cluster, members),
      resharding: failure === undefined ? (plan.resharding ?? before.resharding) : before.resharding,
      rollout: failure === undefined ? (plan.rollout ?? before.rollout) : before.rollout,
      blocked: plan.blocked.length === 0 ? undefined : plan.blocked.slice(0, 16),
      engineImage: image,
      templateHash: revision,
      budgetLeft: smallestRemaining(seen.measured?.budgets ?? []),
      overridden: overridden.length === 0 ? undefined : overridden,
      initialized: (!hasOwnMembers(cluster) && ready > 0) || isInitialized(seen, cluster) || undefined,
    }),
  };
}

/** How many there are: members, those of tracks, or shards. */
function countOf(seen: Observation, cluster: ClusterView, members: readonly MemberView[]) {
  if (isWhole(cluster)) return countShards(seen, cluster);
  if (isFleet(cluster)) return countFleet(seen, cluster.intent);
  const ready = members.filter((m) => m.pod?.ready === true).length;
  return { ready, desired: cluster.intent.members, revision: revisionInForce(members) };
}

/** What the leader of a shard says of its slots; nobody else can. */
function shardOf({ intent }: ClusterView, leader: MemberView | undefined): ClusterStatus["shard"] {
  const report = leader?.pod?.report;
  if (intent.shard === undefined || report?.shard === undefined) return undefined;
  return { ...report.shard, ...known({ heldUp: report.slotsHeldUp }) };
}

/** What all members of a shard that run go by, for the one who issues it to all shards. */
function certificateOf({ intent }: ClusterView, members: readonly MemberView[]): ClusterStatus["certificate"] {
  if (intent.shard?.tls !== true) return undefined;
  const [first, ...others] = members.flatMap(({ pod }) => (pod === undefined ? [] : [pod.report?.certificate]));
  const isSame = others.every((one) => one?.trusts === first?.trusts && one?.shows === first?.shows);
  return first !== undefined && isSame ? { trusts: first.trusts, shows: first.shows } : undefined;
}

/** The fields that have a value. */
function known<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** Whether members with names of their own belong to the cluster itself. */
function hasOwnMembers(cluster: ClusterView): boolean {
  return !isFleet(cluster) && !isWhole(cluster);
}

/** The template hash that most StatefulSets are pinned to; of equals the smallest, so that order changes nothing. */
function revisionInForce(members: readonly MemberView[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { statefulSet } of members) {
    const hash = statefulSet?.revision?.templateHash;
    if (hash !== undefined) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  }
  return [...counts].toSorted(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))[0]?.[0];
}

const ROLES = { leader: "Leader", follower: "Follower", none: "None" } as const;

function toMemberStatus({ name, pod }: MemberView, isToStop: boolean): MemberStatus {
  if (pod === undefined) return { name, role: "None", state: isToStop ? "Stopped" : "Absent", ready: false };
  const { report, ready, node } = pod;
  const state = report?.state ?? "Pending";
  const place = known({ node, revision: pod.templateHash });
  if (report === undefined) return { name, role: "None", state, ready, ...place };
  const lag = report.role === "leader" ? undefined : report.lagBucket;
  const epoch = report.epoch < 0 ? undefined : report.epoch;
  return { name, role: ROLES[report.role], state, ready, ...place, ...known({ lag, epoch }) };
}

interface Facts {
  readonly seen: Observation;
  readonly cluster: ClusterView;
  readonly plan: Plan;
  readonly failure: Failure | undefined;
  readonly members: readonly MemberView[];
  readonly leader: MemberView | undefined;
}

function verdictsOf(facts: Facts): Verdict[] {
  if (isStopped(facts)) return stoppedVerdicts(facts);
  const [available, degraded] = healthVerdicts(facts);
  const stalled = stalledVerdict(facts);
  const blocked = blockedVerdict(facts);
  const progressing = progressingVerdict(facts);
  const outdated = agentVerdict(facts.members, VERSION);
  const reconciling = stalled === undefined && progressing.status === "True";
  const isReady = available.status === "True" && degraded.status === "False" && !reconciling && stalled === undefined;
  const why = [stalled, available, degraded, progressing].find((v) => v !== undefined && isBad(v));
  const ready: Verdict = isReady
    ? { type: "Ready", status: "True", reason: degraded.reason, message: `${available.message} ${degraded.message}` }
    : { type: "Ready", status: "False", reason: why?.reason ?? "NotReady", message: why?.message ?? "Not ready yet." };
  return [
    ready,
    available,
    progressing,
    degraded,
    ...objectivesVerdicts(facts),
    // kstatus: abnormal when true, absent when all is well
    ...(reconciling ? [{ ...progressing, type: "Reconciling" }] : []),
    ...(stalled === undefined ? [] : [stalled]),
    ...(blocked === undefined ? [] : [blocked]),
    ...pendingVerdicts(facts),
    ...(outdated === undefined ? [] : [outdated]),
    ...forcedVerdicts(facts),
  ];
}

function healthVerdicts(facts: Facts): readonly [available: Verdict, degraded: Verdict] {
  const { seen, cluster } = facts;
  if (isWhole(cluster)) return shardsVerdicts(seen, cluster, seen.engine);
  return isFleet(cluster) ? fleetVerdicts(seen, cluster) : [availableVerdict(facts), degradedVerdict(facts)];
}

/** Reason of the Ready condition of a cluster that is stopped as asked. */
export const STOPPED = "Stopped";

/** Stopped as asked: nothing is served, and nothing is wrong. */
function stoppedVerdicts(facts: Facts): Verdict[] {
  const said = {
    reason: STOPPED,
    message: `spec.stopped is true: no member runs${isFleet(facts.cluster) ? "" : ", and all volumes are kept"}.`,
  };
  const blocked = blockedVerdict(facts);
  return [
    ...["Ready", "Available", "Progressing", "Degraded"].map((type) => ({ type, status: "False" as const, ...said })),
    ...(blocked === undefined ? [] : [blocked]),
  ];
}

function isBad({ type, status }: Verdict): boolean {
  return type === "Available" ? status === "False" : status === "True";
}

function availableVerdict({ leader, members }: Facts): Verdict {
  if (leader === undefined) {
    const states = members.map((m) => `${m.name} ${m.pod?.report?.state ?? "has not reported"}`).join(", ");
    const message = `No member leads, so nothing can be written. ${states === "" ? "There are no members yet." : `${states}.`}`;
    return { type: "Available", status: "False", reason: "NoLeader", message };
  }
  const message = `${leader.name} leads and takes writes.`;
  return { type: "Available", status: "True", reason: "LeaderServes", message };
}

function degradedVerdict({ seen, cluster, members }: Facts): Verdict {
  const wanted = desiredNames(seen, cluster);
  const missing = wanted.filter((name) => {
    const member = members.find((m) => m.name === name);
    return member === undefined || !isInSync({ cluster }, member);
  });
  if (missing.length === 0) {
    const message = `All ${wanted.length} members are in sync.`;
    return { type: "Degraded", status: "False", reason: "AllMembersInSync", message };
  }
  const details = missing.map((name) => {
    const member = members.find((m) => m.name === name);
    return `${name} (${member === undefined ? "it does not exist" : stateOf(member)})`;
  });
  const message = `Not in sync: ${details.join(", ")}.`;
  return { type: "Degraded", status: "True", reason: "MembersNotInSync", message };
}

/** Beside Ready, and no part of it: what the cluster promised over weeks, not how it is now. */
function objectivesVerdicts({ seen, cluster }: Facts): Verdict[] {
  const verdict = objectivesVerdict({ seen, cluster });
  if (verdict === undefined) return [];
  const remarks = seen.measured?.remarks;
  const message = remarks === undefined ? verdict.message : `${verdict.message} Of ${remarks}.`;
  return [{ type: "SLOHealthy", ...verdict, message: message.slice(0, 32_768) }];
}

function progressingVerdict({ plan, cluster, failure }: Facts): Verdict {
  if (failure !== undefined) {
    const message = `The last pass ended early and is tried again: ${failure.message}`;
    return { type: "Progressing", status: "True", reason: failure.reason, message: message.slice(0, 32_768) };
  }
  if (plan.change !== "")
    return { type: "Progressing", status: "True", reason: "Changing", message: `${plan.change}.` };
  const message = `Nothing is to be changed for generation ${cluster.generation}.`;
  return { type: "Progressing", status: "False", reason: "UpToDate", message };
}

function stalledVerdict({ plan, failure }: Facts): Verdict | undefined {
  if (failure?.terminal === true) {
    const message = `The API server refuses what the spec asks for: ${failure.message}`;
    return { type: "Stalled", status: "True", reason: failure.reason, message: message.slice(0, 32_768) };
  }
  const [first] = plan.blocked;
  if (!plan.stalled || first === undefined) return undefined;
  return { type: "Stalled", status: "True", reason: first.guard, message: first.message };
}

function pendingVerdicts({ plan }: Facts): Verdict[] {
  const { pending } = plan;
  if (pending === undefined) return [];
  return [{ type: "PendingChange", status: "True", reason: pending.policy, message: pendingMessage(pending) }];
}

/** Stays until the operation is deleted: whoever looks at the cluster shall know that its data has a gap. */
function forcedVerdicts({ seen }: Facts): Verdict[] {
  const message = lastForcedPromotion(seen.operations)?.status.message;
  return message === undefined ? [] : [{ type: "PromotedByForce", status: "True", reason: "LossAccepted", message }];
}

function blockedVerdict({ plan }: Facts): Verdict | undefined {
  const [first, ...others] = plan.blocked;
  if (first === undefined) return undefined;
  const more = others.length === 0 ? "" : ` Also: ${[...new Set(others.map(({ guard }) => guard))].join(", ")}.`;
  return { type: "Blocked", status: "True", reason: first.guard, message: `${first.message}${more}` };
}
