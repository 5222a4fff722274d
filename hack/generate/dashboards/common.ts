// What the dashboards have in common: how panels are written, and those that several show.
import type { Panel, Query } from "./panel.ts";

/** Selects the chosen clusters. */
export const OF = '{namespace=~"$namespace",cluster=~"$cluster"}';
/** Legend of a line for each cluster. */
export const CLUSTER = "{{namespace}}/{{cluster}}";
/** Legend of a line for each member. */
export const MEMBER = "{{member}}";

/** Selects the chosen clusters, and more. */
export function of(matchers: string): string {
  return `{namespace=~"$namespace",cluster=~"$cluster",${matchers}}`;
}

/** The only query of a panel. */
export function one(expr: string, legend: string): readonly Query[] {
  return [{ expr, legend }];
}

/** Title, and a sentence about what is shown. */
type About = readonly [title: string, description: string];
type Rest = Partial<Pick<Panel, "width" | "limit" | "isLowBad" | "kind">>;

/** A panel over time, a third wide unless said otherwise. */
export function panel([title, description]: About, unit: string, queries: readonly Query[], rest: Rest = {}): Panel {
  return { title, description, unit, queries, kind: "timeseries", width: 8, ...rest };
}

/** What is left of every budget. */
export const BUDGET_LEFT = panel(
  ["Error budget left", "Share of each objective's budget that is left over its window."],
  "percentunit",
  one(`quorate_slo_budget_remaining_ratio${OF}`, `${CLUSTER} {{objective}}`),
  { limit: 0.25, isLowBad: true },
);
/** How fast budgets burn. */
export const BURN = panel(
  [
    "Fastest burn",
    "Over any of the windows: 1 spends a budget exactly by its end; above 14.4 for an hour somebody is paged.",
  ],
  "short",
  one(`max by (namespace, cluster, objective) (quorate_slo_burn_rate${OF})`, `${CLUSTER} {{objective}}`),
  { limit: 14.4 },
);
/** The alerts that fire. */
export const FIRING = panel(
  ["Alerts that fire", "Each with the failure mode that it shows; the runbook is linked in the alert."],
  "short",
  one('ALERTS{alertname=~"Quorate.*",alertstate="firing"}', "{{alertname}}"),
  { kind: "table", width: 12 },
);
/** How far followers are behind. */
export const LAG: readonly Panel[] = [
  panel(
    ["Lag in seconds", "Age of the newest change applied on each follower."],
    "s",
    one(`quorate_member_replication_lag_seconds${OF}`, MEMBER),
    { limit: 0.5 },
  ),
  panel(
    ["Lag in bytes", "What each follower has not got yet."],
    "bytes",
    one(`quorate_member_replication_lag_bytes${OF}`, MEMBER),
  ),
];
