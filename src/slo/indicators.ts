// The indicators M1 to M10 of all clusters as recording rules, under names that alerts, dashboards and people share. A cluster's own
// objectives are in rules.ts; these need none.
import { ENOUGH_REQUESTS } from "./objectives.ts";
import type { Rule } from "./rule.ts";

/** One indicator: what is recorded, and where its mark is when nobody stated an objective. */
export interface Indicator {
  readonly code: `M${number}`;
  readonly name: string;
  readonly target: string;
  /** The series that shows it. */
  readonly record: string;
  readonly expr: string;
}

const OF_CLUSTER = "by (namespace, cluster)";
const STATEMENTS = 'action=~"probeWrite|observe"';

/** The share of counts of a kind that were bad within five minutes. Without counts there is no share. */
function badShare(metric: string, enough = "> 0"): string {
  const increase = (matcher: string) => `sum ${OF_CLUSTER} (increase(${metric}${matcher}[5m]))`;
  return `${increase('{result="bad"}')} / (${increase("")} ${enough})`;
}

/** The time that 95 of 100 stayed within, over five minutes. */
function p95(metric: string, by: string, matchers = ""): string {
  return `histogram_quantile(0.95, sum by (${by}le) (rate(${metric}_bucket${matchers}[5m])))`;
}

const LEADERS = "quorate:cluster_leaders:sum";
const HAS_LEADER = "quorate:cluster_has_leader:bool";
const LED = `avg_over_time(${HAS_LEADER}[5m])`;

/** Time without a leader has no slices: it is bad by itself. An engine that cannot be probed has only that. */
function goodShare(slices: string): string {
  return `(${LED} * (1 - ${badShare(slices)})) or ${LED}`;
}

const UP = "quorate:cluster_members_up:sum";
const EXPECTED = "quorate:cluster_members_expected:max";

const WINDOW = "quorate:window_open:max";
const WINDOW_QUIET = "quorate:window_quiet:max";
/** A window may be a week long, and nobody means a week without tickets. */
const WINDOW_QUIET_FOR = "4h";
const LONG_OPEN = `min_over_time(${WINDOW}[${WINDOW_QUIET_FOR}]) == 1 and max_over_time(${WINDOW}[5m] offset ${WINDOW_QUIET_FOR}) == 1`;

/** What the indicators and the alerts are made of. */
export const GROUNDWORK: readonly Pick<Indicator, "record" | "expr">[] = [
  { record: LEADERS, expr: `sum ${OF_CLUSTER} (quorate_member_leader)` },
  { record: HAS_LEADER, expr: `clamp_max(${LEADERS}, 1)` },
  { record: UP, expr: `sum ${OF_CLUSTER} (quorate_member_engine_up)` },
  { record: EXPECTED, expr: `max ${OF_CLUSTER} (quorate_member_expected_members)` },
  { record: "quorate:cluster_epoch:max", expr: `max ${OF_CLUSTER} (quorate_member_epoch)` },
  // Alerts keep still for two minutes after a step: what it restarted is scraped late.
  { record: "quorate:planned_lately:max2m", expr: `max ${OF_CLUSTER} (max_over_time(quorate_planned_step[2m]))` },
  { record: "quorate:planned_lately:max1h", expr: `max ${OF_CLUSTER} (max_over_time(quorate_planned_step[1h]))` },
  { record: WINDOW, expr: `max ${OF_CLUSTER} (quorate_maintenance_window_open)` },
  { record: WINDOW_QUIET, expr: `${WINDOW} == 1 unless (${LONG_OPEN})` },
  { record: "quorate:window_lately:max2m", expr: `max_over_time(${WINDOW_QUIET}[2m])` },
  { record: "quorate:window_lately:max1h", expr: `max_over_time(${WINDOW_QUIET}[1h])` },
];

/** The indicators, in the order of their codes; what has two sides has two entries. */
export const INDICATORS: readonly Indicator[] = [
  {
    code: "M1",
    name: "availability",
    target: "99.9 %",
    record: "quorate:availability:ratio_rate5m",
    // Members without agents are looked at by the operator.
    expr: `${goodShare("quorate_member_write_slices_total")} or (1 - ${badShare("quorate_cluster_serving_slices_total")})`,
  },
  {
    code: "M1",
    name: "the same of clients' requests, where the engine counts them",
    target: "99.9 %",
    record: "quorate:request_success:ratio_rate5m",
    expr: `1 - ${badShare("quorate_member_requests_total", `>= ${ENOUGH_REQUESTS}`)}`,
  },
  {
    code: "M2",
    name: "latency P95, of the agents' own small reads and writes",
    target: "200 ms",
    record: "quorate:latency_seconds:p95_5m",
    expr: p95("quorate_member_action_seconds", "namespace, cluster, ", `{${STATEMENTS},result="ok"}`),
  },
  {
    code: "M2",
    name: "latency P95 of each member",
    target: "200 ms",
    record: "quorate:member_latency_seconds:p95_5m",
    expr: p95("quorate_member_action_seconds", "namespace, cluster, member, ", '{action="observe",result="ok"}'),
  },
  {
    code: "M2",
    name: "latency P95 of clients' requests, where the engine measures them",
    target: "200 ms",
    record: "quorate:request_latency_seconds:p95_5m",
    expr: p95("quorate_member_request_seconds", "namespace, cluster, "),
  },
  {
    code: "M3",
    name: "quorum success: a leader serves and has a majority with it",
    target: "99.99 %",
    record: "quorate:quorum_success:ratio_rate5m",
    expr: goodShare("quorate_member_quorum_slices_total"),
  },
  {
    code: "M4",
    name: "replication lag of the follower that is furthest behind",
    target: "500 ms",
    record: "quorate:replication_lag_seconds:max",
    expr: `max ${OF_CLUSTER} (quorate_member_replication_lag_seconds)`,
  },
  {
    code: "M4",
    name: "the same in bytes",
    target: "spec.failover.maxLag",
    record: "quorate:replication_lag_bytes:max",
    expr: `max ${OF_CLUSTER} (quorate_member_replication_lag_bytes)`,
  },
  {
    code: "M5",
    name: "joins and leaves within an hour",
    target: "1",
    record: "quorate:membership_changes:increase1h",
    expr: `sum ${OF_CLUSTER} (increase(quorate_membership_changes_total[1h]))`,
  },
  {
    code: "M6",
    name: "control API latency P95, of the operator's reads and writes",
    target: "500 ms",
    record: "quorate:api_request_seconds:p95_5m",
    expr: p95("quorate_api_request_duration_seconds", "", '{verb!="watch"}'),
  },
  {
    code: "M6",
    name: "control API latency P95, of a leader's writes of its Lease",
    target: "500 ms",
    record: "quorate:lease_write_seconds:p95_5m",
    expr: p95("quorate_member_lease_write_seconds", "namespace, cluster, "),
  },
  {
    code: "M7",
    name: "failed rollouts within a week",
    target: "1",
    record: "quorate:rollouts_failed:increase7d",
    expr: `sum ${OF_CLUSTER} (increase(quorate_rollouts_total{result="failed"}[7d]))`,
  },
  {
    code: "M8",
    name: "leaderships begun within an hour",
    target: "1",
    record: "quorate:leader_changes:delta1h",
    // The epoch outlives the members that count it.
    expr: "quorate:cluster_epoch:max - min_over_time(quorate:cluster_epoch:max[1h])",
  },
  {
    code: "M9",
    name: "share of the agents' own reads and writes that failed",
    target: "0.1 %",
    record: "quorate:errors:ratio_rate5m",
    expr:
      `sum ${OF_CLUSTER} (increase(quorate_member_action_seconds_count{${STATEMENTS},result="error"}[5m])) / ` +
      `(sum ${OF_CLUSTER} (increase(quorate_member_action_seconds_count{${STATEMENTS}}[5m])) > 0)`,
  },
  {
    code: "M10",
    name: "processor time that a member used of what it may",
    target: "70 %",
    record: "quorate:member_cpu:ratio_rate5m",
    expr: "rate(quorate_member_cpu_seconds_total[5m]) / quorate_member_cpu_capacity_cores",
  },
  {
    code: "M10",
    name: "memory that a member used of its limit",
    target: "90 %",
    record: "quorate:member_memory:ratio",
    expr: "quorate_member_memory_bytes / quorate_member_memory_limit_bytes",
  },
  {
    code: "M10",
    name: "share of a member's volume that is full",
    target: "85 %",
    record: "quorate:member_volume:ratio",
    expr: "1 - quorate_member_volume_free_bytes / quorate_member_volume_size_bytes",
  },
];

/** The recording rules, those first that others are made of. */
export function indicatorRules(): readonly Rule[] {
  return [...GROUNDWORK, ...INDICATORS].map(({ record, expr }) => ({ record, expr, labels: {} }));
}
