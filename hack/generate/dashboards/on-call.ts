// What is wrong now, and what was changed.
import { BUDGET_LEFT, BURN, CLUSTER, FIRING, LAG, MEMBER, OF, one, panel } from "./common.ts";
import type { Row } from "./panel.ts";

/** What is wrong now, and what was changed. */
export const ON_CALL: readonly Row[] = [
  {
    title: "What is wrong",
    panels: [
      FIRING,
      panel(
        ["What is held back", "Guards that hold a change back, and for how long."],
        "s",
        one(`quorate_blocked_seconds${OF}`, `${CLUSTER} {{guard}}`),
        { kind: "table", width: 12 },
      ),
    ],
  },
  {
    title: "Promises",
    panels: [
      BURN,
      BUDGET_LEFT,
      panel(
        ["Quorum", "Share of time in which a leader served with a majority behind it."],
        "percentunit",
        one(`quorate:quorum_success:ratio_rate5m${OF}`, CLUSTER),
        { limit: 0.9999, isLowBad: true },
      ),
    ],
  },
  {
    title: "Members",
    panels: [
      panel(
        ["Engines", "1 while the engine answers its agent."],
        "short",
        one(`quorate_member_engine_up${OF}`, MEMBER),
        {
          kind: "state-timeline",
          width: 12,
        },
      ),
      panel(["Leader", "1 while the member leads."], "short", one(`quorate_member_leader${OF}`, MEMBER), {
        kind: "state-timeline",
        width: 12,
      }),
      panel(
        ["Engines that ended", "Within an hour, asked to or not."],
        "short",
        one(`increase(quorate_member_engine_exits_total${OF}[1h])`, MEMBER),
      ),
      ...LAG,
      panel(
        ["Latency P95 by member", "Of the agents' own small reads."],
        "s",
        one(`quorate:member_latency_seconds:p95_5m${OF}`, MEMBER),
        { limit: 0.2 },
      ),
      panel(
        ["Joins and leaves within an hour", "A restart is one of each."],
        "short",
        one(`quorate:membership_changes:increase1h${OF}`, CLUSTER),
        { limit: 4 },
      ),
      panel(
        ["Members that ran out of room", "Killed for want of memory, or evicted."],
        "short",
        one(`increase(quorate_pod_ends_total${OF}[1h])`, `${CLUSTER} {{reason}}`),
        { limit: 1 },
      ),
    ],
  },
  {
    title: "Changes",
    panels: [
      panel(
        ["Rolls", "The revision that members are brought to, and how far they are."],
        "short",
        one(`quorate_rollout_info${OF}`, `${CLUSTER} {{revision}} {{phase}}`),
        { kind: "table", width: 12 },
      ),
      panel(
        ["Planned work", "The change whose step runs."],
        "short",
        one(`quorate_planned_step${OF}`, `${CLUSTER} {{change}}`),
        { kind: "state-timeline", width: 12 },
      ),
    ],
  },
];
