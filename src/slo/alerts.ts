// Alerts about how all clusters and the operator fare, the failure modes F1 to F7. Each tells one thing, keeps still during planned
// work unless it lasts, and names the alerts that it is only a consequence of.
import type { Severity } from "./rule.ts";

/** One alert. */
export interface Alert {
  readonly name: `Quorate${string}`;
  /** The failure mode that it shows; or that nothing can be shown. */
  readonly code: `F${number}` | "NoData";
  readonly severity: Severity;
  readonly expr: string;
  readonly for: string;
  /** One clause about the cluster or the operator, which goes before it. */
  readonly summary: string;
  /** The first command; {cluster} stands for the arguments that name the cluster. */
  readonly next: string;
  /** Alerts about the same cluster that explain this one and hide it. */
  readonly causes: readonly string[];
  /**
   * How planned work is told, and for tickets an open maintenance window: over the last two minutes, or the last hour. Never: it fires
   * all the same.
   */
  readonly quietWhilePlanned: "2m" | "1h" | "Never";
  /** Fires in spite of planned work when it holds for so long. */
  readonly plannedAtMost?: string;
  readonly about: "Cluster" | "Operator";
}

const OUTAGES = ["QuorateClusterDown", "QuorateQuorumLost", "QuorateNoLeader"];
const STATUS = "kubectl quorate status {cluster}";
const WHY = "kubectl quorate why {cluster}";
const OPERATOR = "kubectl -n quorate-system logs deploy/quorate-operator --since=15m";
/**
 * A record's highest value of the last minute. A scrape that fails, as they do when machines are busy, takes the value away for a
 * moment; where only the last one counted, every such moment would begin the wait of an alert anew, and it might never fire.
 */
const highest = (record: string) => `max_over_time(${record}[1m])`;
/** The same of what operators tell of clusters: each replica tells it, and the one that follows another under another name. */
const told = (series: string) => `max by (namespace, cluster) (${highest(series)})`;
/** Counts within a range below which a share of them means nothing. */
const ENOUGH = 20;

/** Everything that is watched, by failure mode. */
export const ALERTS: readonly Alert[] = [
  {
    name: "QuorateNoLeader",
    code: "F1",
    severity: "page",
    expr: `${highest("quorate:cluster_leaders:sum")} == 0 and ${highest("quorate:cluster_epoch:max")} > 0`,
    for: "30s",
    summary: "has had no leader for a minute: nothing can be written",
    next: WHY,
    causes: ["QuorateClusterDown", "QuorateQuorumLost"],
    quietWhilePlanned: "2m",
    plannedAtMost: "10m",
    about: "Cluster",
  },
  {
    name: "QuorateSplitBrain",
    code: "F1",
    severity: "page",
    // Two in most looks of two minutes: a failed scrape hides one of them for a look, and a hand-over shows two for one look.
    expr: "avg_over_time(quorate:cluster_leaders:sum[2m]) > 1.5",
    for: "30s",
    summary: "has two members that each take themselves for the leader",
    next: STATUS,
    causes: [],
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
  {
    name: "QuorateLeaderChurn",
    code: "F1",
    severity: "ticket",
    expr: "quorate:leader_changes:delta1h > 2",
    for: "0m",
    summary: "changed its leader three times or more within an hour",
    next: STATUS,
    causes: OUTAGES,
    quietWhilePlanned: "1h",
    about: "Cluster",
  },
  {
    name: "QuorateClusterDown",
    code: "F1",
    severity: "page",
    expr: `${told('quorate_cluster_members{state="ready"}')} == 0 and ${told('quorate_cluster_members{state="desired"}')} > 0 and ${told("quorate_cluster_initialized")} == 1`,
    for: "1m",
    summary: "has had no member that is ready for two minutes",
    next: WHY,
    causes: [],
    quietWhilePlanned: "2m",
    plannedAtMost: "10m",
    about: "Cluster",
  },
  {
    name: "QuorateQuorumLost",
    code: "F1",
    severity: "page",
    expr: `2 * ${highest("quorate:cluster_members_up:sum")} <= ${highest("quorate:cluster_members_expected:max")} and ${highest("quorate:cluster_epoch:max")} > 0`,
    for: "30s",
    summary: "has lost its majority: half of its members or more do not answer",
    next: WHY,
    causes: ["QuorateClusterDown"],
    quietWhilePlanned: "2m",
    plannedAtMost: "10m",
    about: "Cluster",
  },
  {
    name: "QuorateMembershipChurn",
    code: "F2",
    severity: "ticket",
    expr: "quorate:membership_changes:increase1h > 4",
    for: "0m",
    summary: "had more than four joins and leaves within an hour",
    next: STATUS,
    causes: [...OUTAGES, "QuorateMemberKilled"],
    quietWhilePlanned: "1h",
    about: "Cluster",
  },
  {
    name: "QuorateSlowMember",
    code: "F3",
    severity: "ticket",
    // Three times as slow as the cluster's middle, and slow at all.
    expr: "quorate:member_latency_seconds:p95_5m > 0.2 and quorate:member_latency_seconds:p95_5m > on (namespace, cluster) group_left () 3 * quantile by (namespace, cluster) (0.5, quorate:member_latency_seconds:p95_5m)",
    for: "10m",
    summary: "has a member that answers much slower than the others: {{ $labels.member }}",
    next: STATUS,
    causes: [...OUTAGES, "QuorateMemberStarved"],
    quietWhilePlanned: "2m",
    about: "Cluster",
  },
  {
    name: "QuorateLatencyHigh",
    code: "F3",
    severity: "ticket",
    expr: `quorate:latency_seconds:p95_5m > 0.2 and sum by (namespace, cluster) (increase(quorate_member_action_seconds_count{action=~"probeWrite|observe",result="ok"}[5m])) >= ${ENOUGH}`,
    for: "10m",
    summary: "answers one in twenty small statements later than after 200 ms",
    next: STATUS,
    causes: [...OUTAGES, "QuorateSlowMember", "QuorateMemberStarved"],
    quietWhilePlanned: "2m",
    about: "Cluster",
  },
  {
    name: "QuorateErrorsHigh",
    code: "F3",
    severity: "ticket",
    expr: `quorate:errors:ratio_rate5m > 0.01 and sum by (namespace, cluster) (increase(quorate_member_action_seconds_count{action=~"probeWrite|observe"}[5m])) >= ${ENOUGH}`,
    for: "10m",
    summary: "fails one in a hundred small statements or more",
    next: WHY,
    causes: [...OUTAGES, "QuorateMemberStarved"],
    quietWhilePlanned: "2m",
    about: "Cluster",
  },
  {
    name: "QuorateRolloutFailed",
    code: "F4",
    severity: "ticket",
    expr: 'sum by (namespace, cluster) (increase(quorate_rollouts_total{result="failed"}[1h])) > 0',
    for: "0m",
    summary: "gave a revision up within the last hour",
    next: WHY,
    causes: [],
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
  {
    name: "QuorateChangeStuck",
    code: "F4",
    severity: "ticket",
    // A closed window and a pause are somebody's wish.
    expr: 'max by (namespace, cluster, guard) (quorate_blocked_seconds{guard!~"WindowOpen|NotPaused"}) > 3600',
    for: "0m",
    summary: "has had a change held back by {{ $labels.guard }} for more than an hour",
    next: WHY,
    causes: OUTAGES,
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
  {
    name: "QuorateReplicaLag",
    code: "F5",
    severity: "ticket",
    expr: "max by (namespace, cluster, member) (min_over_time(quorate_member_replication_lag_seconds[2m])) > 0.5",
    for: "8m",
    summary: "has a follower that stays more than 500 ms behind: {{ $labels.member }}",
    next: STATUS,
    causes: [...OUTAGES, "QuorateSlowMember", "QuorateMemberStarved"],
    quietWhilePlanned: "2m",
    about: "Cluster",
  },
  {
    name: "QuorateApiSlow",
    code: "F6",
    severity: "ticket",
    expr: `quorate:api_request_seconds:p95_5m > 0.5 and sum (increase(quorate_api_request_duration_seconds_count{verb!="watch"}[5m])) >= ${ENOUGH}`,
    for: "10m",
    summary: "waits longer than 500 ms for one in twenty answers of the API server",
    next: OPERATOR,
    causes: [],
    quietWhilePlanned: "Never",
    about: "Operator",
  },
  {
    name: "QuorateLeaseSlow",
    code: "F6",
    severity: "ticket",
    expr: "quorate:lease_write_seconds:p95_5m > 0.5",
    for: "12m", // longer than QuorateApiSlow, which explains it and hides it
    summary: "writes its Lease so slowly that a failover without a fault is near",
    next: STATUS,
    causes: [...OUTAGES, "QuorateApiSlow"],
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
  {
    name: "QuorateOperatorBehind",
    code: "F6",
    severity: "ticket",
    expr: "sum (avg_over_time(quorate_queue_depth[5m])) > 20",
    for: "10m",
    summary: "has more clusters waiting than it gets through",
    next: OPERATOR,
    causes: ["QuorateApiSlow"],
    quietWhilePlanned: "Never",
    about: "Operator",
  },
  {
    name: "QuorateOperatorDown",
    code: "F6",
    severity: "ticket",
    expr: "absent(max(quorate_operator_leading) == 1)",
    for: "10m",
    summary: "is not there or does not lead: clusters fail over by themselves, but nothing planned goes on",
    next: "kubectl -n quorate-system get pods,leases",
    causes: [],
    quietWhilePlanned: "Never",
    about: "Operator",
  },
  {
    name: "QuorateOperatorBug",
    code: "F6",
    severity: "ticket",
    expr: 'sum (increase(quorate_reconcile_total{result="bug"}[1h])) > 0 or sum (increase(quorate_watch_sink_errors_total[1h])) > 0',
    for: "0m",
    summary: "met a bug of its own",
    next: OPERATOR,
    causes: [],
    quietWhilePlanned: "Never",
    about: "Operator",
  },
  {
    name: "QuorateMembersUnseen",
    code: "NoData",
    severity: "ticket",
    // Members of topology Stateless have no agents to scrape.
    expr: 'quorate_cluster_members{state="ready"} > 0 unless on (namespace, cluster) (quorate:cluster_leaders:sum or quorate_cluster_info{topology="Stateless"})',
    for: "10m",
    summary: "has members that are ready and that Prometheus does not scrape: nobody would be told if they failed",
    next: "kubectl get podmonitors -A",
    causes: [],
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
  {
    name: "QuorateMemberKilled",
    code: "F7",
    severity: "ticket",
    expr: "sum by (namespace, cluster, reason) (increase(quorate_pod_ends_total[15m])) > 0",
    for: "0m",
    summary: "lost a member because its node or its limit had no room: {{ $labels.reason }}",
    next: STATUS,
    causes: [],
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
  {
    name: "QuorateMemberStarved",
    code: "F7",
    severity: "ticket",
    expr: "max by (namespace, cluster, member) (quorate:member_cpu:ratio_rate5m > 0.7 or quorate:member_memory:ratio > 0.9 or rate(quorate_member_cpu_throttled_seconds_total[5m]) > 0.1)",
    for: "15m",
    summary: "has a member that is short of processor or memory: {{ $labels.member }}",
    next: STATUS,
    causes: [],
    quietWhilePlanned: "2m",
    about: "Cluster",
  },
  {
    name: "QuorateVolumeFull",
    code: "F7",
    severity: "page",
    expr: "max by (namespace, cluster, member) (min_over_time(quorate:member_volume:ratio[2m])) > 0.9",
    for: "3m",
    summary: "has a member whose volume is more than nine tenths full: {{ $labels.member }}",
    next: STATUS,
    causes: [],
    quietWhilePlanned: "Never",
    about: "Cluster",
  },
];
