// Events for people: what changed about a cluster since the last pass, in sentences. Compares with the last status,
// so a restarted operator does not tell old news again.
import type { Blocked } from "../api/cluster-status.ts";
import { API_VERSION } from "../api/names.ts";
import type { EventNote, EventSubject } from "../kube/events.ts";
import { ANNOTATION_URGENT_UNTIL } from "../build/labels.ts";
import { leaderOf } from "../plan/facts.ts";
import { objectivesVerdict, type Overridden, overriddenGates } from "../plan/gates.ts";
import type { ClusterView, Observation } from "../plan/observation.ts";
import { pendingMessage } from "../plan/pending.ts";
import type { Plan, Step } from "../plan/plan.ts";
import { isStopped } from "../plan/stop.ts";
import { STOPPED } from "../status/status.ts";
import { rolloutNews } from "./rollout-news.ts";
import { timestamp } from "../plan/timestamp.ts";

/** One thing to tell, and about which object. */
export interface News {
  readonly about: EventSubject;
  readonly event: EventNote;
}

/** What is new since the status that `cluster` carries: leader, fenced members, rolls, authorities, blocked steps, ended operations. */
export function newsOf(seen: Observation, cluster: ClusterView, plan: Plan): readonly News[] {
  const about: EventSubject = {
    apiVersion: API_VERSION,
    kind: "ClusterSpec",
    namespace: cluster.namespace,
    name: cluster.name,
    uid: cluster.uid,
  };
  const notes = [
    ...leaderNews(seen, cluster),
    ...stopNews(seen, cluster),
    ...memberNews(seen, cluster),
    ...rolloutNews(cluster.status.rollout, plan.rollout).map(({ event }) => event),
    ...plan.steps.flatMap((step) => authorityNews(step, seen.nowMs)),
    ...pendingNews(cluster, plan),
    ...blockedNews(cluster, plan),
    ...objectivesNews(seen, cluster),
    ...overriddenNews(seen, cluster),
    ...forcedPromotions(seen, plan).map(
      (note): EventNote => ({ type: "Warning", reason: "PromotedByForce", action: "ForcePromote", note }),
    ),
  ];
  return [...notes.map((event) => ({ about, event })), ...plan.steps.flatMap((step) => operationNews(step))];
}

/** A budget that is spent or burns, and one that is kept again. That nothing is known for a while is no news. */
function objectivesNews(seen: Observation, cluster: ClusterView): EventNote[] {
  const verdict = objectivesVerdict({ seen, cluster });
  const before = cluster.status.conditions?.find(({ type }) => type === "SLOHealthy");
  if (verdict === undefined || verdict.status === "Unknown" || before?.reason === verdict.reason) return [];
  if (verdict.status === "True" && before?.status !== "False") return [];
  const type = verdict.status === "True" ? "Normal" : "Warning";
  return [{ type, reason: verdict.reason, action: "Measure", note: verdict.message }];
}

/** The gates that an annotation overrides since this pass. */
export function newlyOverridden(seen: Observation, cluster: ClusterView): readonly Overridden[] {
  const before = cluster.status.overridden ?? [];
  return overriddenGates({ seen, cluster }).filter(({ guard }) => !before.some((one) => one.guard === guard));
}

/** What is to be said of each forced promotion that came to its end in this pass. */
export function forcedPromotions(seen: Observation, { steps }: Plan): readonly string[] {
  return steps.flatMap((step) => {
    if (step.kind !== "ReportOperation" || step.status.phase !== "Done") return [];
    const operation = seen.operations.find(({ uid }) => uid === step.uid);
    return operation?.intent.type === "ForcePromote" ? [step.status.message ?? ""] : [];
  });
}

function overriddenNews(seen: Observation, cluster: ClusterView): EventNote[] {
  return newlyOverridden(seen, cluster).map(({ guard, untilMs }) => {
    const note = `Changes pass ${guard} until ${timestamp(untilMs)}, because ${ANNOTATION_URGENT_UNTIL} says that they are urgent.`;
    return { type: "Warning", reason: "GateOverridden", action: guard, note };
  });
}

function leaderNews(seen: Observation, cluster: ClusterView): EventNote[] {
  const leader = leaderOf(seen.members);
  const { leader: before, epoch: epochBefore } = cluster.status;
  const epoch = leader?.pod?.report?.epoch;
  if (leader === undefined) {
    if (before === undefined || cluster.intent.stopped) return [];
    const note = `${before} leads no more and no other member does yet; the members elect a leader by themselves.`;
    return [{ type: "Warning", reason: "LeaderLost", action: "Failover", note }];
  }
  if (leader.name === before && epoch === epochBefore) return [];
  const verb = leader.name === before ? "leads again" : "leads now";
  const instead = before === undefined || before === leader.name ? "" : ` instead of ${before}`;
  return [
    {
      type: "Normal",
      reason: "LeaderChanged",
      action: "Failover",
      note: `${leader.name} ${verb}${instead}, epoch ${epoch ?? 0}.`,
    },
  ];
}

/** A whole cluster that ended as asked, and one that is to run again. */
function stopNews(seen: Observation, cluster: ClusterView): EventNote[] {
  const was = cluster.status.conditions?.find(({ type }) => type === "Ready")?.reason === STOPPED;
  const is = isStopped({ cluster, seen });
  if (was === is) return [];
  const first = seen.named.lastLeader === undefined ? "" : ` ${seen.named.lastLeader}, which led last, goes first.`;
  return is
    ? [{ type: "Normal", reason: "ClusterStopped", action: "Stop", note: "All members have ended; volumes are kept." }]
    : [{ type: "Normal", reason: "ClusterStarting", action: "Start", note: `The members start again.${first}` }];
}

const WORTH_TELLING: Readonly<Record<string, string>> = {
  Fenced: "was fenced",
  Blocked: "is blocked",
  Stalled: "is stalled",
};

function memberNews(seen: Observation, cluster: ClusterView): EventNote[] {
  return seen.members.flatMap(({ name, pod }) => {
    const state = pod?.report?.state;
    const verb = state === undefined ? undefined : WORTH_TELLING[state];
    const before = cluster.status.members?.find((m) => m.name === name)?.state;
    if (state === undefined || verb === undefined || state === before) return [];
    const why = pod?.report?.reason ?? "its agent gave no reason";
    return [
      { type: "Warning", reason: `Member${state}`, action: "Observe", note: `${name} ${verb}: ${why}.` } as const,
    ];
  });
}

function pendingNews(cluster: ClusterView, { pending }: Plan): EventNote[] {
  const before = cluster.status.conditions?.find(({ type }) => type === "PendingChange")?.message;
  if (pending === undefined || pendingMessage(pending) === before) return [];
  return [{ type: "Normal", reason: "PendingChange", action: pending.policy, note: pendingMessage(pending) }];
}

/** What is blocked since this pass, with the way past it, and what is not blocked any more. */
function blockedNews(cluster: ClusterView, plan: Plan): EventNote[] {
  const before = cluster.status.blocked ?? [];
  const isIn = (list: readonly Blocked[], { guard, object }: Blocked) =>
    list.some((other) => other.guard === guard && other.object === object);
  const begun = plan.blocked.filter((block) => !isIn(before, block));
  const ended = before.filter((block) => !isIn(plan.blocked, block));
  return [
    ...begun.map(({ guard, object, message, override }): EventNote => {
      const way = override === undefined ? "" : ` To let it pass: ${override}`;
      return { type: "Warning", reason: "StepBlocked", action: guard, note: `${guard} (${object}): ${message}${way}` };
    }),
    ...ended.map(({ guard, object }): EventNote => {
      const note = `${guard} (${object}) holds nothing back any more.`;
      return { type: "Normal", reason: "StepUnblocked", action: guard, note };
    }),
  ];
}

/** Each step of the members from one authority to the next. A certificate that is renewed by the same one is no news. */
function authorityNews(step: Step, nowMs: number): EventNote[] {
  if (step.kind !== "IssueCertificates" || step.from === step.to) return [];
  const { to, overlapMs, reason } = step;
  const told = (what: string, note: string): EventNote[] => [
    { type: "Normal", reason: `Authority${what}`, action: "ReplaceAuthority", note: `${note} Why now: ${reason}.` },
  ];
  if (to === "Settled") return told("Settled", "The former authority is trusted no more; the next one took its place.");
  if (to === "Sign") return told("Signs", "The next authority signs the members' certificate; both are still trusted.");
  const untilMs = nowMs + overlapMs;
  const clients =
    overlapMs === 0 ? "" : ` and signs nothing before ${timestamp(untilMs)}, so that clients can read ca.crt`;
  return told("Trusted", `A next authority is trusted beside the former${clients}.`);
}

const ENDED = ["Done", "Refused", "Failed"];

function operationNews(step: Step): News[] {
  if (step.kind !== "ReportOperation" || !ENDED.includes(step.status.phase ?? "")) return [];
  const { namespace, name, uid, status } = step;
  const type = status.phase === "Done" ? "Normal" : "Warning";
  const about = { apiVersion: API_VERSION, kind: "ClusterOperation", namespace, name, uid };
  const reason = `Operation${status.phase ?? ""}`;
  return [{ about, event: { type, reason, action: "Operate", note: status.message ?? "" } }];
}
