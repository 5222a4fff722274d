// An Alertmanager configuration to begin with: pages and tickets apart, one message for all that happens to a cluster, and no
// message about what another alert explains.
import { ALERTS } from "./alerts.ts";
import { OBJECTIVE_ALERTS, type ObjectiveAlert } from "./rules.ts";

/** Alerts of a cluster's own objectives, and what explains them. */
const CAUSES_OF_OBJECTIVES: Readonly<Record<ObjectiveAlert, readonly string[]>> = {
  QuorateBudgetBurnsFast: ["QuorateClusterDown", "QuorateQuorumLost", "QuorateNoLeader"],
  QuorateBudgetBurnsSlowly: ["QuorateClusterDown", "QuorateQuorumLost", "QuorateNoLeader", "QuorateBudgetBurnsFast"],
  // Of Stateless clusters the operator itself counts.
  QuorateBudgetUnknown: ["QuorateMembersUnseen", "QuorateOperatorDown"],
};

/** One rule of Alertmanager: while a source fires, targets with the same values of `equal` tell nobody. */
export interface InhibitRule {
  readonly source_matchers: readonly string[];
  readonly target_matchers: readonly string[];
  readonly equal?: readonly string[];
}

/** A rule for every alert that explains others. */
export function inhibitRules(): readonly InhibitRule[] {
  const effects = [
    ...ALERTS.map(({ name, causes }) => ({ name: name as string, causes })),
    ...Object.entries(CAUSES_OF_OBJECTIVES).map(([name, causes]) => ({ name, causes })),
  ];
  const causes = [...new Set(effects.flatMap((effect) => effect.causes))].toSorted();
  return causes.map((cause) => {
    const hidden = effects.filter((effect) => effect.causes.includes(cause)).map(({ name }) => name);
    return {
      source_matchers: [`alertname="${cause}"`],
      target_matchers: [`alertname=~"${hidden.toSorted().join("|")}"`],
      ...equalTo(cause),
    };
  });
}

/** What cause and effect must have in common: what the operator meets it meets with every cluster. */
function equalTo(cause: string): { readonly equal?: readonly string[] } {
  if (ALERTS.find(({ name }) => name === cause)?.about === "Operator") return {};
  const isOfObjective = OBJECTIVE_ALERTS.some((name) => name === cause);
  return { equal: ["namespace", "cluster", ...(isOfObjective ? ["objective"] : [])] };
}

/** The whole configuration; addresses are examples. */
export function alertmanagerConfig(): object {
  return {
    route: {
      receiver: "tickets",
      group_by: ["namespace", "cluster"],
      group_wait: "30s",
      group_interval: "5m",
      repeat_interval: "12h",
      routes: [
        {
          receiver: "pager",
          matchers: ['severity="page"'],
          group_wait: "10s",
          repeat_interval: "1h",
        },
      ],
    },
    inhibit_rules: inhibitRules(),
    receivers: [
      { name: "pager", webhook_configs: [{ url: "http://pager.example/alerts", send_resolved: true }] },
      { name: "tickets", webhook_configs: [{ url: "http://tickets.example/alerts", send_resolved: true }] },
    ],
  };
}
