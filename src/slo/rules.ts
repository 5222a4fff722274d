// The objectives of a cluster as recording and alert rules for Prometheus: for people who are paged by it, and while no
// operator runs. Names of series are those of Sloth.
import type { ServiceLevel } from "../api/objectives.ts";
import type { Topology } from "../api/topology.ts";
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
import { badShare, seriesOf, servingSlices, type Subject } from "./queries.ts";
import { annotationsOf, INTERVAL, type Rule, type RuleGroup, RUNBOOKS } from "./rule.ts";

/** 1 while a member leads, else 0; absent while no member is scraped. */
const LED = "quorate:cluster_led:bool";
const MEASURED_FOR = 20; // evaluations: of a cluster that is younger, one bad second is a large share

/** A cluster and what it promises. */
export interface PromisingSubject extends Subject {
  readonly slo: ServiceLevel;
  /** Says who measures. */
  readonly topology: Topology;
}

/** The rules of one cluster. @param runbooks - Folder that holds the runbooks, or its address. */
export function ruleGroup({ slo, topology, ...subject }: PromisingSubject, runbooks = RUNBOOKS): RuleGroup {
  const windowMs = windowMsOf(slo);
  const rangeOf = (units: number) => formatDuration((units * windowMs) / UNITS_PER_WINDOW);
  const objectives = objectivesOf(slo, topology);
  const led = { record: LED, expr: `max(${seriesOf(subject, "leader")})`, labels: labelsOf(subject) };
  return {
    name: `quorate-slo-${subject.namespace}-${subject.cluster}`,
    interval: INTERVAL,
    rules: [
      ...(topology === "Stateless" ? [] : [led]),
      ...objectives.flatMap((objective) => [
        ...BURN_UNITS.map((units) => errorRatio(objective, subject, rangeOf(units))),
        wholeRatio(objective, subject, rangeOf),
      ]),
      ...objectives.map((objective) => budgetLeft(objective, subject, rangeOf(UNITS_PER_WINDOW))),
      ...objectives.flatMap((objective) => [
        burnAlert(objective, subject, "Page", rangeOf),
        burnAlert(objective, subject, "Ticket", rangeOf),
      ]),
      topology === "Stateless" ? uncountedAlert(subject, rangeOf) : unscrapedAlert(subject, rangeOf),
      ...objectives.flatMap((one) => (one.source === "Queries" ? unansweredAlert(one, subject, rangeOf) : [])),
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
  const rule = { record: `slo:sli_error:ratio_rate${range}`, labels: labelsOf(subject, objective) };
  if (objective.source !== "Agents" || objective.name !== "Availability") return { ...rule, expr: bad };
  const led = `avg_over_time(${LED}${selectorOf(subject)}[${range}])`;
  // Sums have no labels; nor must what they meet. Without a leader there is no slice to count: then all of it was bad.
  const unled = `1 - max(${led})`;
  return { ...rule, expr: `(1 - max(${led}) * (1 - ${bad})) or (${unled})` };
}

/**
 * The same over the objective's whole window. Of a user's own it is made of what was recorded, as Sloth does: a month of as many series as
 * an application may have, added up twice a minute, would be more than a Prometheus can do beside its work.
 */
function wholeRatio(objective: Objective, subject: Subject, rangeOf: RangeOf): Rule {
  const range = rangeOf(UNITS_PER_WINDOW);
  const rule = errorRatio(objective, subject, range);
  if (objective.source !== "Queries") return rule;
  const recorded = `slo:sli_error:ratio_rate${rangeOf(SHORTEST)}${selectorOf(subject, objective)}`;
  return { ...rule, expr: `avg_over_time(${recorded}[${range}])` };
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

function burnAlert(objective: Objective, subject: Subject, severity: BurnRule["severity"], rangeOf: RangeOf): Rule {
  const ratio = (units: number) => `slo:sli_error:ratio_rate${rangeOf(units)}${selectorOf(subject, objective)}`;
  const each = BURN_RULES.filter((rule) => rule.severity === severity).map(({ factor, longUnits, shortUnits }) => {
    const limit = numberOf(factor * objective.allowed);
    return `(${ratio(longUnits)} > ${limit} and ${ratio(shortUnits)} > ${limit})`;
  });
  const longest = Math.max(...BURN_RULES.map(({ longUnits }) => longUnits));
  const measured = objective.source === "Agents" ? `${LED}${selectorOf(subject)}` : ratio(SHORTEST);
  const isMeasured = `count_over_time(${measured}[${rangeOf(longest)}]) >= ${MEASURED_FOR}`;
  const { alert, severity: label, summary } = SAYS[severity];
  return {
    alert,
    expr: `(${each.join(" or ")}) and on(namespace, cluster) ${isMeasured}`,
    labels: { severity: label, objective: objective.name },
    annotations: told(subject, `${subject.namespace}/${subject.cluster} ${summary}: ${objective.name}`),
  };
}

/** Of a cluster that is stopped nobody needs to know whether its objectives are kept. */
const STOPPED = '(quorate_cluster_members{state="desired"} == 0)';

/** Nobody knows whether objectives are kept, because a series that says so is not there. */
function unknownAlert(
  subject: Subject,
  series: string,
  range: string,
  { summary, objective }: { readonly summary: string; readonly objective?: Objective },
): Rule {
  return {
    alert: "QuorateBudgetUnknown",
    expr: `absent_over_time(${series}[${range}]) unless on(namespace, cluster) ${STOPPED}`,
    for: "10m",
    labels: { severity: "ticket", ...(objective === undefined ? {} : { objective: objective.name }) },
    annotations: told(subject, `${subject.namespace}/${subject.cluster} ${summary}`),
  };
}

/** A length of time for Prometheus, of so many units. */
type RangeOf = (units: number) => string;

const SHORTEST = BURN_UNITS[0] ?? 1;

/** No member is scraped. */
function unscrapedAlert(subject: Subject, rangeOf: RangeOf): Rule {
  const summary = "is not scraped; its objectives are not known to be kept";
  return unknownAlert(subject, `${LED}${selectorOf(subject)}`, rangeOf(SHORTEST), { summary });
}

/** No operator that is scraped looks at the members, which have no agents. */
function uncountedAlert(subject: Subject, rangeOf: RangeOf): Rule {
  const summary = "is not looked at by an operator that is scraped; its availability is not known";
  return unknownAlert(subject, servingSlices(subject), rangeOf(SHORTEST), { summary });
}

/** The user's own queries give nothing. */
function unansweredAlert(objective: Objective, subject: Subject, rangeOf: RangeOf): Rule {
  const series = `slo:sli_error:ratio_rate${rangeOf(SHORTEST)}${selectorOf(subject, objective)}`;
  const summary = `has an objective whose queries give nothing: ${objective.name}`;
  return unknownAlert(subject, series, rangeOf(SHORTEST), { summary, objective });
}

function told({ namespace, cluster }: Subject, summary: string): Record<string, string> {
  return { summary, next: `kubectl quorate status -n ${namespace} ${cluster}` };
}

/** Without the noise of binary fractions: 0.001 and not 0.0009999999999999432. */
function numberOf(value: number): string {
  return String(Number(value.toPrecision(9)));
}
