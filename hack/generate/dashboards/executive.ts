// Whether clusters keep what was promised, and what is left.
import { BUDGET_LEFT, BURN, CLUSTER, OF, of, one, panel } from "./common.ts";
import type { Row } from "./panel.ts";

/** Whether clusters keep what was promised, and what is left. */
export const EXECUTIVE: readonly Row[] = [
  {
    title: "Now",
    panels: [
      panel(["Clusters", "ClusterSpecs there are."], "short", one(`count(quorate_cluster_info${OF})`, "clusters"), {
        kind: "stat",
        width: 6,
      }),
      panel(
        ["Clusters without a leader", "Nothing can be written to these."],
        "short",
        one(`count(quorate:cluster_leaders:sum${OF} == 0) or vector(0)`, "clusters"),
        { kind: "stat", width: 6, limit: 1 },
      ),
      panel(
        ["Members that are ready", "Of those that shall serve."],
        "percentunit",
        one(
          `sum(quorate_cluster_members${of('state="ready"')}) / sum(quorate_cluster_members${of('state="desired"')})`,
          "ready",
        ),
        { kind: "stat", width: 6, limit: 1, isLowBad: true },
      ),
      panel(
        ["Pages that fire", "Alerts that wake somebody."],
        "short",
        one('count(ALERTS{alertname=~"Quorate.*",alertstate="firing",severity="page"}) or vector(0)', "pages"),
        { kind: "stat", width: 6, limit: 1 },
      ),
    ],
  },
  {
    title: "Promises",
    panels: [
      panel(
        ["Availability", "Share of time in which a small write succeeded."],
        "percentunit",
        one(`quorate:availability:ratio_rate5m${OF}`, CLUSTER),
        { limit: 0.999, isLowBad: true },
      ),
      BUDGET_LEFT,
      BURN,
    ],
  },
  {
    title: "Traffic",
    panels: [
      panel(
        [
          "Requests by region",
          "Of clients, a second, where the engine counts them; the region is that of the members' nodes.",
        ],
        "reqps",
        one(
          `sum by (region) (sum by (namespace, cluster, member) (rate(quorate_member_requests_total${OF}[$__rate_interval])) * on (namespace, cluster, member) group_left (region) max by (namespace, cluster, member, region) (quorate_member_info${OF}))`,
          "{{region}}",
        ),
        { width: 8 },
      ),
      panel(
        [
          "Requests answered",
          "Share of clients' requests that did not fail on the engine's side; from 20 in five minutes on.",
        ],
        "percentunit",
        one(`quorate:request_success:ratio_rate5m${OF}`, CLUSTER),
        { width: 8, limit: 0.999, isLowBad: true },
      ),
      panel(
        ["Latency P95 of requests", "Of clients, where the engine measures them."],
        "s",
        one(`quorate:request_latency_seconds:p95_5m${OF}`, CLUSTER),
        { width: 8, limit: 0.2 },
      ),
    ],
  },
  {
    title: "Capacity",
    panels: [
      panel(
        ["Processor used", "The busiest member of each cluster, of what it may use."],
        "percentunit",
        one(`max by (namespace, cluster) (quorate:member_cpu:ratio_rate5m${OF})`, CLUSTER),
        { limit: 0.7 },
      ),
      panel(
        ["Memory used", "The fullest member of each cluster, of its limit."],
        "percentunit",
        one(`max by (namespace, cluster) (quorate:member_memory:ratio${OF})`, CLUSTER),
        { limit: 0.9 },
      ),
      panel(
        ["Volume used", "The fullest volume of each cluster."],
        "percentunit",
        one(`max by (namespace, cluster) (quorate:member_volume:ratio${OF})`, CLUSTER),
        { limit: 0.85 },
      ),
    ],
  },
  {
    title: "Incidents",
    panels: [
      panel(
        ["Alerts over time", "How many fire, by failure mode; those about a budget have none."],
        "short",
        one(
          'count by (failure, severity) (label_replace(ALERTS{alertname=~"Quorate.*",alertstate="firing"}, "failure", "budget", "failure", ""))',
          "{{failure}} {{severity}}",
        ),
        { width: 12 },
      ),
      panel(
        ["Leaderships begun within an hour", "Failovers and planned moves."],
        "short",
        one(`quorate:leader_changes:delta1h${OF}`, CLUSTER),
        { width: 12, limit: 1 },
      ),
    ],
  },
];
