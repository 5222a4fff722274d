// What somebody is promised to be told of: every indicator and every failure mode, the alert about it, and how soon it comes and goes.
// docs/slo.md says the same to people; test/lab/alerts.test.ts breaks a cluster for each.

/** The clusters that are broken, each in its own way; Operator: what is broken is the operator's. */
export type Broken = "rolled" | "slow" | "late" | "starved" | "outage" | "Operator";

/** One promise. */
export interface Promised {
  readonly indicator: `M${number}`;
  readonly failure: `F${number}`;
  /** The indicator's series, and what becomes of it. */
  readonly record: string;
  readonly moves: string;
  readonly alert: string;
  /** What would be told of the same fault if this alert did not explain it; their runbooks are followed as well. */
  readonly hides?: readonly string[];
  readonly who: "pager" | "tickets";
  /** From the beginning of the fault, scrapes, evaluations and the wait of the alert included. */
  readonly withinMinutes: number;
  /** From its end. What looks back at an hour ends an hour later, which test/prometheus/ends.test.ts waits for in promtool's time. */
  readonly endsWithinMinutes?: number;
  readonly breaks: Broken;
}

export const PROMISES: readonly Promised[] = [
  {
    indicator: "M1",
    failure: "F1",
    record: "quorate:availability:ratio_rate5m",
    moves: "< 0.99",
    alert: "QuorateBudgetBurnsFast",
    hides: ["QuorateBudgetBurnsSlowly"],
    who: "pager",
    withinMinutes: 3,
    endsWithinMinutes: 9,
    breaks: "outage",
  },
  {
    indicator: "M2",
    failure: "F3",
    record: "quorate:latency_seconds:p95_5m",
    moves: "> 0.2",
    alert: "QuorateSlowMember",
    hides: ["QuorateLatencyHigh"],
    who: "tickets",
    withinMinutes: 13,
    endsWithinMinutes: 7,
    breaks: "slow",
  },
  {
    indicator: "M3",
    failure: "F1",
    record: "quorate:quorum_success:ratio_rate5m",
    moves: "< 0.9999",
    alert: "QuorateQuorumLost",
    who: "pager",
    withinMinutes: 3,
    endsWithinMinutes: 3,
    breaks: "outage",
  },
  {
    indicator: "M4",
    failure: "F5",
    record: "quorate:replication_lag_seconds:max",
    moves: "> 0.5",
    alert: "QuorateReplicaLag",
    who: "tickets",
    withinMinutes: 12,
    endsWithinMinutes: 2,
    breaks: "late",
  },
  {
    indicator: "M5",
    failure: "F2",
    record: "quorate:membership_changes:increase1h",
    moves: "> 4",
    alert: "QuorateMembershipChurn",
    who: "tickets",
    withinMinutes: 2,
    breaks: "outage",
  },
  {
    indicator: "M6",
    failure: "F6",
    record: "quorate:api_request_seconds:p95_5m",
    moves: "> 0.5",
    alert: "QuorateApiSlow",
    hides: ["QuorateLeaseSlow"],
    who: "tickets",
    withinMinutes: 13,
    endsWithinMinutes: 7,
    breaks: "Operator",
  },
  {
    indicator: "M7",
    failure: "F4",
    record: "quorate:rollouts_failed:increase7d",
    moves: "> 0",
    alert: "QuorateRolloutFailed",
    who: "tickets",
    withinMinutes: 2,
    breaks: "rolled",
  },
  {
    indicator: "M8",
    failure: "F1",
    record: "quorate:leader_changes:delta1h",
    moves: "> 2",
    alert: "QuorateLeaderChurn",
    who: "tickets",
    withinMinutes: 2,
    breaks: "outage",
  },
  {
    indicator: "M9",
    failure: "F3",
    record: "quorate:errors:ratio_rate5m",
    moves: "> 0.01",
    alert: "QuorateErrorsHigh",
    who: "tickets",
    withinMinutes: 13,
    endsWithinMinutes: 7,
    breaks: "late",
  },
  {
    indicator: "M10",
    failure: "F7",
    record: "quorate:member_cpu:ratio_rate5m",
    moves: "> 0.7",
    alert: "QuorateMemberStarved",
    who: "tickets",
    withinMinutes: 20,
    endsWithinMinutes: 7,
    breaks: "starved",
  },
];
