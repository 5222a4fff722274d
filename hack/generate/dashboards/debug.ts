// Why: leadership, members and the operator in detail.
import { CLUSTER, MEMBER, OF, of, one, panel } from "./common.ts";
import type { Row } from "./panel.ts";

/** Why: leadership, members and the operator in detail. */
export const DEBUG: readonly Row[] = [
  {
    title: "Leadership",
    panels: [
      panel(
        ["Leader, by epoch", "The epoch of whoever leads; two lines at once are two leaders."],
        "short",
        one(`quorate_member_epoch${OF} and on (namespace, cluster, member) quorate_member_leader${OF} == 1`, MEMBER),
        { kind: "state-timeline", width: 24 },
      ),
      panel(
        // Not as a rate: the first failover of an agent's life makes the series, and a rate does not see what a series began with.
        ["Failover phases", "How long the phases of becoming leader took, on average since the agents began."],
        "s",
        one(
          `sum by (phase, trigger) (quorate_failover_phase_seconds_sum${OF}) / sum by (phase, trigger) (quorate_failover_phase_seconds_count${OF})`,
          "{{phase}} ({{trigger}})",
        ),
      ),
      panel(
        ["Writes of the Lease, P95", "The leader's renewals."],
        "s",
        one(`quorate:lease_write_seconds:p95_5m${OF}`, CLUSTER),
        { limit: 0.5 },
      ),
      panel(
        ["Left until the fence", "Seconds until the leader's engine would be stopped."],
        "s",
        one(`quorate_member_lease_margin_seconds${OF}`, MEMBER),
      ),
      panel(
        ["Fenced", "Engines that the fence deadline stopped."],
        "short",
        one(`increase(quorate_member_fenced_total${OF}[1h])`, MEMBER),
        { limit: 1 },
      ),
      panel(
        ["Leaderships", "Times each member became leader."],
        "short",
        one(`increase(quorate_member_leader_changes_total${OF}[1h])`, MEMBER),
      ),
      panel(
        ["Lag by follower", "As the leader sees it."],
        "bytes",
        one(`quorate_follower_lag_bytes${OF}`, "{{follower}}"),
      ),
    ],
  },
  {
    title: "Members",
    panels: [
      panel(
        ["Processor", "Cores that each member uses."],
        "short",
        one(`rate(quorate_member_cpu_seconds_total${OF}[$__rate_interval])`, MEMBER),
      ),
      panel(
        ["Throttled", "Seconds a second in which a CPU limit made the member wait."],
        "s",
        one(`rate(quorate_member_cpu_throttled_seconds_total${OF}[$__rate_interval])`, MEMBER),
        { limit: 0.1 },
      ),
      panel(["Memory", "What cannot be dropped, and the limit."], "bytes", [
        { expr: `quorate_member_memory_bytes${OF}`, legend: MEMBER },
        { expr: `quorate_member_memory_limit_bytes${OF}`, legend: "limit of {{member}}" },
      ]),
      panel(["Volume", "Space that is left."], "bytes", one(`quorate_member_volume_free_bytes${OF}`, MEMBER)),
      panel(
        ["Between members", "Time until another member answered a sign of life, on average: network and agents."],
        "s",
        one(
          `rate(quorate_member_heartbeat_seconds_sum${OF}[$__rate_interval]) / (rate(quorate_member_heartbeat_seconds_count${OF}[$__rate_interval]) > 0)`,
          "{{member}} to {{peer}}",
        ),
      ),
      panel(
        ["Engine actions, P95", "Over all members, by action."],
        "s",
        one(
          `histogram_quantile(0.95, sum by (action, le) (rate(quorate_member_action_seconds_bucket${OF}[$__rate_interval])))`,
          "{{action}}",
        ),
      ),
      panel(
        ["Engine actions that failed", "A second, by action."],
        "reqps",
        one(
          `sum by (action) (rate(quorate_member_action_seconds_count${of('result="error"')}[$__rate_interval]))`,
          "{{action}}",
        ),
      ),
      panel(
        ["Where members run", "Node, role and revision of each."],
        "short",
        one(`quorate_member_info${OF}`, MEMBER),
        {
          kind: "table",
          width: 24,
        },
      ),
    ],
  },
  {
    title: "Operator",
    panels: [
      panel(
        ["Calls to the API server", "A second, by verb and answer."],
        "reqps",
        one("sum by (verb, code) (rate(quorate_api_requests_total[$__rate_interval]))", "{{verb}} {{code}}"),
      ),
      panel(
        ["API latency P95", "By verb."],
        "s",
        one(
          'histogram_quantile(0.95, sum by (verb, le) (rate(quorate_api_request_duration_seconds_bucket{verb!="watch"}[$__rate_interval])))',
          "{{verb}}",
        ),
        { limit: 0.5 },
      ),
      panel(
        ["Age of watches", "Since anything was heard, by kind."],
        "s",
        one("max by (resource) (quorate_watch_last_event_age_seconds)", "{{resource}}"),
      ),
      panel(
        ["Watches opened again", "Within an hour, but for planned ends."],
        "short",
        one(
          'sum by (resource, reason) (increase(quorate_watch_reconnects_total{reason!="Closed"}[1h]))',
          "{{resource}} {{reason}}",
        ),
      ),
      panel(
        ["Queue", "Clusters that wait for a worker."],
        "short",
        one("sum by (priority) (quorate_queue_depth)", "{{priority}}"),
        { limit: 20 },
      ),
      panel(
        ["Wait in the queue, P95", "By priority."],
        "s",
        one(
          "histogram_quantile(0.95, sum by (priority, le) (rate(quorate_queue_wait_seconds_bucket[$__rate_interval])))",
          "{{priority}}",
        ),
      ),
      panel(
        ["Passes", "A second, by how they ended."],
        "reqps",
        one("sum by (result) (rate(quorate_reconcile_total[$__rate_interval]))", "{{result}}"),
      ),
      panel(
        ["Length of a pass, P95", "From observing to writing status."],
        "s",
        one(
          "histogram_quantile(0.95, sum by (le) (rate(quorate_reconcile_duration_seconds_bucket[$__rate_interval])))",
          "pass",
        ),
      ),
      panel(
        ["Memory of the operator", "Resident."],
        "bytes",
        one('process_resident_memory_bytes{job=~".*quorate.*"}', "{{instance}}"),
      ),
    ],
  },
];
