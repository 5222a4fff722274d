// Faults as Prometheus sees them: a cluster that is well for half an hour, and what each kind of trouble makes of it.
import { ALERTS } from "../../src/slo/alerts.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { alertsAt, alertsOver, type Question } from "./promtool.ts";

const OF = 'namespace="shop",cluster="orders"';
/** The members of the cluster `shop/orders`. */
export const MEMBERS = ["orders-0", "orders-1", "orders-2"];
/** The fault begins after half an hour; a value every half minute. */
export const BEFORE = 60;
/** So many values after that. */
export const REST = 60;

/** Values by series, in promtool's short form. */
export type Series = Readonly<Record<string, string>>;

/** The name of a member's series. */
export const member = (name: string, at: number, labels = "") =>
  `quorate_member_${name}{${OF},member="${MEMBERS[at]}"${labels === "" ? "" : `,${labels}`}}`;
const operator = (name: string, labels = "") => `quorate_${name}{${labels}}`;
/** The name of a series about the cluster, as the operator tells it. */
export const cluster = (name: string, labels = "") => `quorate_${name}{${OF}${labels === "" ? "" : `,${labels}`}}`;

/** The values that promtool makes of its own short form. */
export function expanded(values: string): string[] {
  return values.split(" ").flatMap((run) => {
    const [, first = "", step = "0", times = "0"] = /^([^+x]+)(?:[+]([^x]+))?(?:x([0-9]+))?$/.exec(run) ?? [];
    const next = (at: number) => (step === "0" ? first : String(Number(first) + at * Number(step)));
    return Array.from({ length: Number(times) + 1 }, (_, at) => next(at));
  });
}

/** The same value all the time. */
export const steady = (value: string | number) => `${value}x${BEFORE + REST}`;
/** One value for half an hour, then another. */
export const turned = (before: string | number, after: string | number) => `${before}x${BEFORE} ${after}x${REST}`;
/** A counter that grows by so much every half minute. */
export const growing = (by: number) => `0+${by}x${BEFORE + REST}`;

/** Histograms of a member's statements: so many every half minute, all within 5 ms or all after 200 ms. */
export function statements(at: number, every: number, isSlow = false): Series {
  const labels = (le: string) => `action="observe",result="ok",le="${le}"`;
  return {
    [member("action_seconds_bucket", at, labels("0.005"))]: growing(isSlow ? 0 : every),
    [member("action_seconds_bucket", at, labels("0.2"))]: growing(isSlow ? 0 : every),
    [member("action_seconds_bucket", at, labels("0.8"))]: growing(every),
    [member("action_seconds_bucket", at, labels("+Inf"))]: growing(every),
    [member("action_seconds_count", at, 'action="observe",result="ok"')]: growing(every),
  };
}

/** The same series of every member. */
export const ofEach = (series: (at: number) => Series): Series =>
  Object.assign({}, ...MEMBERS.map((_, at) => series(at)));

const MEMBERS_WELL = ofEach((at) => ({
  [member("leader", at)]: steady(at === 0 ? 1 : 0),
  [member("epoch", at)]: steady(3),
  [member("engine_up", at)]: steady(1),
  [member("expected_members", at)]: steady(3),
  [member("replication_lag_seconds", at)]: steady(0),
  [member("cpu_seconds_total", at)]: growing(3),
  [member("cpu_capacity_cores", at)]: steady(1),
  [member("volume_size_bytes", at)]: steady(100),
  [member("volume_free_bytes", at)]: steady(60),
  ...statements(at, 30),
}));

/** A cluster and an operator that nothing is the matter with. */
export const WELL: Series = {
  ...MEMBERS_WELL,
  [cluster("cluster_members", 'state="desired"')]: steady(3),
  [cluster("cluster_members", 'state="ready"')]: steady(3),
  [cluster("cluster_initialized")]: steady(1),
  [cluster("membership_changes_total", 'change="join"')]: steady(3),
  [cluster("membership_changes_total", 'change="leave"')]: steady(0),
  [cluster("rollouts_total", 'result="failed"')]: steady(0),
  [cluster("pod_ends_total", 'reason="OOMKilled"')]: steady(0),
  [operator("operator_leading")]: steady(1),
  [operator("reconcile_total", 'controller="cluster",result="bug"')]: steady(0),
  [operator("queue_depth", 'priority="change"')]: steady(0),
};
/** A planned step that is under way all the time. */
export const PLANNED: Series = { [cluster("planned_step", 'change="Rollout"')]: steady(1) };
/** A maintenance window that is open all the time, or one that is there and closed. */
export const windowOpen = (isOpen: boolean): Series => ({
  [cluster("maintenance_window_open", 'window="saturday"')]: steady(isOpen ? 1 : 0),
});

/** So many calls to the API server every half minute, all quick or all slow. */
export function apiCalls(every: number, isSlow: boolean): Series {
  return {
    [operator("api_request_duration_seconds_bucket", 'verb="get",le="0.5"')]: growing(isSlow ? 0 : every),
    [operator("api_request_duration_seconds_bucket", 'verb="get",le="1"')]: growing(every),
    [operator("api_request_duration_seconds_bucket", 'verb="get",le="+Inf"')]: growing(every),
    [operator("api_request_duration_seconds_count", 'verb="get"')]: growing(every),
  };
}

const SLOW_LEASE: Series = {
  [member("lease_write_seconds_bucket", 0, 'result="ok",le="0.5"')]: growing(0),
  [member("lease_write_seconds_bucket", 0, 'result="ok",le="1"')]: growing(10),
  [member("lease_write_seconds_bucket", 0, 'result="ok",le="+Inf"')]: growing(10),
};

/** No member is scraped any more from the fault on. */
export const NO_MEMBERS: Series = Object.fromEntries(
  Object.keys(MEMBERS_WELL).map((series) => [series, `1x${BEFORE} stale`]),
);

/** What makes each alert fire, when, and which others are its consequences. */
export const FAULTS: readonly {
  readonly alert: string;
  readonly fault: Series;
  readonly at: string;
  readonly also?: string[];
}[] = [
  { alert: "QuorateNoLeader", fault: { [member("leader", 0)]: turned(1, 0) }, at: "33m" },
  { alert: "QuorateSplitBrain", fault: { [member("leader", 1)]: turned(0, 1) }, at: "33m" },
  { alert: "QuorateLeaderChurn", fault: { [member("epoch", 1)]: `3x${BEFORE - 20} 4x5 5x5 6x70` }, at: "31m" },
  {
    alert: "QuorateClusterDown",
    fault: { ...NO_MEMBERS, [cluster("cluster_members", 'state="ready"')]: turned(3, 0) },
    at: "34m",
  },
  {
    alert: "QuorateQuorumLost",
    fault: { [member("engine_up", 1)]: turned(1, 0), [member("engine_up", 2)]: turned(1, 0) },
    at: "33m",
  },
  {
    alert: "QuorateMembershipChurn",
    fault: { [cluster("membership_changes_total", 'change="leave"')]: `0+0.1x${BEFORE + REST}` },
    at: "31m",
  },
  { alert: "QuorateSlowMember", fault: statements(2, 30, true), at: "31m", also: ["QuorateLatencyHigh"] },
  { alert: "QuorateLatencyHigh", fault: ofEach((at) => statements(at, 30, true)), at: "31m" },
  {
    alert: "QuorateErrorsHigh",
    fault: { [member("action_seconds_count", 0, 'action="observe",result="error"')]: growing(5) },
    at: "31m",
  },
  {
    alert: "QuorateRolloutFailed",
    fault: { [cluster("rollouts_total", 'result="failed"')]: turned(0, 1) },
    at: "31m",
  },
  {
    alert: "QuorateChangeStuck",
    fault: { [cluster("blocked_seconds", 'guard="MembersInSync"')]: `1800+30x${BEFORE + REST}` },
    at: "31m",
  },
  { alert: "QuorateReplicaLag", fault: { [member("replication_lag_seconds", 1)]: steady(2) }, at: "31m" },
  { alert: "QuorateApiSlow", fault: apiCalls(10, true), at: "31m" },
  { alert: "QuorateLeaseSlow", fault: SLOW_LEASE, at: "31m" },
  { alert: "QuorateOperatorBehind", fault: { [operator("queue_depth", 'priority="change"')]: steady(50) }, at: "31m" },
  { alert: "QuorateOperatorDown", fault: { [operator("operator_leading")]: turned(1, "_") }, at: "50m" },
  {
    alert: "QuorateOperatorBug",
    fault: { [operator("reconcile_total", 'controller="cluster",result="bug"')]: turned(0, 1) },
    at: "31m",
  },
  { alert: "QuorateMembersUnseen", fault: NO_MEMBERS, at: "50m" },
  {
    alert: "QuorateMemberKilled",
    fault: { [cluster("pod_ends_total", 'reason="OOMKilled"')]: turned(0, 1) },
    at: "31m",
  },
  { alert: "QuorateMemberStarved", fault: { [member("cpu_seconds_total", 1)]: growing(27) }, at: "31m" },
  { alert: "QuorateVolumeFull", fault: { [member("volume_free_bytes", 2)]: steady(5) }, at: "31m" },
];

/** The fault by which an alert fires. @throws when there is none. */
export function faultOf(alert: string): (typeof FAULTS)[number] {
  const found = FAULTS.find((one) => one.alert === alert);
  if (found === undefined) throw new Error(`nothing makes ${alert} fire`);
  return found;
}

/** Tickets that planned work brings about, and that an open maintenance window mutes; pages are none of them. */
export const MUTED_IN_WINDOWS = [
  "QuorateErrorsHigh",
  "QuorateLatencyHigh",
  "QuorateLeaderChurn",
  "QuorateMemberStarved",
  "QuorateMembershipChurn",
  "QuorateReplicaLag",
  "QuorateSlowMember",
] as const;

/** What is asked of the alerts of all clusters. */
const question = (series: Series): Question => ({
  groups: fleetGroups(),
  names: ALERTS.map(({ name }) => name),
  input: Object.entries(series).map(([name, values]) => ({ series: name, values })),
});

/** Those of all clusters' alerts that fire at a time. */
export function firing(series: Series, at: string): Promise<readonly string[]> {
  return alertsAt(question(series), at);
}

/** The same, judged once a minute: enough, and half the time, where nothing is to fire. */
export function firingAtMost(series: Series, at: string): Promise<readonly string[]> {
  return alertsAt({ ...question(series), judgedEvery: "1m" }, at);
}

/** Those that fire at some times. */
export function firingOver(series: Series, times: readonly string[]): Promise<readonly (readonly string[])[]> {
  return alertsOver(question(series), times);
}
