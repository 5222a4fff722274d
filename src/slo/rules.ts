// The objectives of a cluster as recording and alert rules for Prometheus: for people who are paged by it, and while no
// operator runs. Names of series are those of Sloth.
import type { ServiceLevel } from "../api/objectives.ts";
import {
  BURN_RULES,
  BURN_UNITS,
  type BurnRule,
  formatDuration,
  type Objective,
  objectivesOf,
  UNITS_PER_WINDOW,
  windowMsOf,
} from "./objectives.ts";
import { badShare, seriesOf, type Subject } from "./queries.ts";
import { annotationsOf, INTERVAL, type Rule, type RuleGroup, RUNBOOKS } from "./rule.ts";

/** 1 while a member leads, else 0; absent while no member is scraped. */
const LED = "quorate:cluster_led:bool";
const MEASURED_FOR = 20; // evaluations: of a cluster that is younger, one bad second is a large share

/** The rules of one cluster. @param runbooks - Folder that holds the runbooks, or its address. */
export function ruleGroup(subject: Subject, slo: ServiceLevel, runbooks = RUNBOOKS): RuleGroup {
  const windowMs = windowMsOf(slo);
  const rangeOf = (units: number) => formatDuration((units * windowMs) / UNITS_PER_WINDOW);
  const ranges = [...BURN_UNITS, UNITS_PER_WINDOW].map(rangeOf);
  const objectives = objectivesOf(slo);
  return {
    name: `quorate-slo-${subject.namespace}-${subject.cluster}`,
    interval: INTERVAL,
    rules: [
      { record: LED, expr: `max(${seriesOf(subject, "leader")})`, labels: labelsOf(subject) },
      ...objectives.flatMap((objective) => ranges.map((range) => errorRatio(objective, subject, range))),
      ...objectives.map((objective) => budgetLeft(objective, subject, rangeOf(UNITS_PER_WINDOW))),
      ...objectives.flatMap((objective) => [
        burnAlert(objective, subject, "Page", rangeOf),
        burnAlert(objective, subject, "Ticket", rangeOf),
      ]),
      unknownAlert(subject, rangeOf(BURN_UNITS[0] ?? 1)),
    ].map((rule) => withRunbook(rule, runbooks)),
  };
}

/** The alerts that a cluster's own objectives make. */
export const OBJECTIVE_ALERTS = ["QuorateBudgetBurnsFast", "QuorateBudgetBurnsSlowly", "QuorateBudgetUnknown"] as const;
export type ObjectiveAlert = (typeof OBJECTIVE_ALERTS)[number];

function withRunbook(rule: Rule, runbooks: string): Rule {
  const { alert, annotations } = rule;
  if (alert === undefined || annotations === undefined) return rule;
  const { summary = "", next = "" } = annotations;
  return { ...rule, annotations: annotationsOf(alert, runbooks, { summary, next }) };
}

function labelsOf({ namespace, cluster }: Subject, objective?: Objective): Record<string, string> {
  return { namespace, cluster, ...(objective === undefined ? {} : { objective: objective.name }) };
}

function selectorOf(subject: Subject, objective?: Objective): string {
  const pairs = Object.entries(labelsOf(subject, objective)).map(([name, value]) => `${name}="${value}"`);
  return `{${pairs.join(",")}}`;
}

function errorRatio(objective: Objective, subject: Subject, range: string): Rule {
  const bad = badShare(objective, subject, range);
  const led = `avg_over_time(${LED}${selectorOf(subject)}[${range}])`;
  // Sums have no labels; nor must what they meet. Without a leader there is no slice to count: then all of it was bad.
  const unled = `1 - max(${led})`;
  const expr = objective.name === "Availability" ? `(1 - max(${led}) * (1 - ${bad})) or (${unled})` : bad;
  return { record: `slo:sli_error:ratio_rate${range}`, expr, labels: labelsOf(subject, objective) };
}

function budgetLeft(objective: Objective, subject: Subject, range: string): Rule {
  const ratio = `slo:sli_error:ratio_rate${range}${selectorOf(subject, objective)}`;
  return {
    record: "slo:period_error_budget_remaining:ratio",
    expr: `1 - ${ratio} / ${numberOf(objective.allowed)}`,
    labels: labelsOf(subject, objective),
  };
}

const SAYS = {
  Page: { alert: "QuorateBudgetBurnsFast", severity: "page", summary: "burns its error budget fast" },
  Ticket: { alert: "QuorateBudgetBurnsSlowly", severity: "ticket", summary: "burns its error budget steadily" },
} as const;

function burnAlert(
  objective: Objective,
  subject: Subject,
  severity: BurnRule["severity"],
  rangeOf: (units: number) => string,
): Rule {
  const ratio = (units: number) => `slo:sli_error:ratio_rate${rangeOf(units)}${selectorOf(subject, objective)}`;
  const each = BURN_RULES.filter((rule) => rule.severity === severity).map(({ factor, longUnits, shortUnits }) => {
    const limit = numberOf(factor * objective.allowed);
    return `(${ratio(longUnits)} > ${limit} and ${ratio(shortUnits)} > ${limit})`;
  });
  const longest = Math.max(...BURN_RULES.map(({ longUnits }) => longUnits));
  const isMeasured = `count_over_time(${LED}${selectorOf(subject)}[${rangeOf(longest)}]) >= ${MEASURED_FOR}`;
  const { alert, severity: label, summary } = SAYS[severity];
  return {
    alert,
    expr: `(${each.join(" or ")}) and on(namespace, cluster) ${isMeasured}`,
    labels: { severity: label, objective: objective.name },
    annotations: told(subject, `${subject.namespace}/${subject.cluster} ${summary}: ${objective.name}`),
  };
}

/** No member is scraped: nobody knows whether the objectives are kept. Of a cluster that is stopped nobody needs to. */
function unknownAlert(subject: Subject, range: string): Rule {
  const stopped = '(quorate_cluster_members{state="desired"} == 0)';
  return {
    alert: "QuorateBudgetUnknown",
    expr: `absent_over_time(${LED}${selectorOf(subject)}[${range}]) unless on(namespace, cluster) ${stopped}`,
    for: "10m",
    labels: { severity: "ticket" },
    annotations: told(
      subject,
      `${subject.namespace}/${subject.cluster} is not scraped; its objectives are not known to be kept`,
    ),
  };
}

function told({ namespace, cluster }: Subject, summary: string): Record<string, string> {
  return { summary, next: `kubectl quorate status -n ${namespace} ${cluster}` };
}

/** Without the noise of binary fractions: 0.001 and not 0.0009999999999999432. */
function numberOf(value: number): string {
  return String(Number(value.toPrecision(9)));
}
