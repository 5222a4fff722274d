// Rules for all clusters of a Prometheus: the indicators, and the alerts about them. Loaded once; those of a cluster's own
// objectives come with the cluster.
import { type Alert, ALERTS } from "./alerts.ts";
import { indicatorRules } from "./indicators.ts";
import { annotationsOf, INTERVAL, type Rule, type RuleGroup, RUNBOOKS } from "./rule.ts";

/** The groups. @param runbooks - Folder that holds the runbooks, or its address. */
export function fleetGroups(runbooks = RUNBOOKS): readonly RuleGroup[] {
  return [
    { name: "quorate-indicators", interval: INTERVAL, rules: indicatorRules() },
    { name: "quorate-alerts", interval: INTERVAL, rules: ALERTS.flatMap((alert) => alertRules(alert, runbooks)) },
  ];
}

/**
 * One rule, and where planned work keeps it quiet a second one for work that does not end. An open maintenance window keeps tickets
 * quiet, which work on nodes, disks and networks brings about without a step of the operator. Pages it does not: nobody agreed to an
 * outage, and what the operator does itself is told by its steps.
 */
function alertRules(alert: Alert, runbooks: string): readonly Rule[] {
  const { expr, severity, quietWhilePlanned, plannedAtMost } = alert;
  if (quietWhilePlanned === "Never") return [toRule(alert, runbooks, expr, alert.for)];
  const planned = `quorate:planned_lately:max${quietWhilePlanned}`;
  const agreed = severity === "page" ? planned : `(${planned} or quorate:window_lately:max${quietWhilePlanned})`;
  const quiet = toRule(alert, runbooks, `(${expr}) unless on (namespace, cluster) ${agreed}`, alert.for);
  if (plannedAtMost === undefined) return [quiet];
  const lasting = toRule(alert, runbooks, `(${expr}) and on (namespace, cluster) ${planned}`, plannedAtMost);
  return [quiet, { ...lasting, labels: { ...lasting.labels, during: "planned" } }];
}

function toRule(
  { name, code, severity, summary, next, about }: Alert,
  runbooks: string,
  expr: string,
  wait: string,
): Rule {
  const subject = about === "Cluster" ? "{{ $labels.namespace }}/{{ $labels.cluster }}" : "The operator";
  return {
    alert: name,
    expr,
    ...(wait === "0m" ? {} : { for: wait }),
    labels: { severity, failure: code },
    annotations: annotationsOf(name, runbooks, {
      summary: `${subject} ${summary}`,
      next: next.replace("{cluster}", "-n {{ $labels.namespace }} {{ $labels.cluster }}"),
    }),
  };
}
