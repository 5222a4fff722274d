// Error budgets of clusters, and how often somebody let a change pass a gate.
import { Counter, type Registry } from "prom-client";
import type { BudgetState } from "../slo/budget.ts";
import { clusterGauge } from "./cluster-gauge.ts";

/** Budgets of a cluster, by `namespace/name`. */
export interface ClusterBudgets {
  readonly key: string;
  readonly budgets: readonly BudgetState[];
}

/**
 * Shows `current()` at every scrape: a cluster's series go when it goes. At most four objectives, and seven windows whose
 * names depend only on the length of the objective's own window.
 */
export function budgetMetrics(registry: Registry, current: () => Iterable<ClusterBudgets>): void {
  const remaining = {
    name: "quorate_slo_budget_remaining_ratio",
    help: "Share of an objective's error budget that is left over its window; 0 and below when it is spent.",
    labelNames: ["objective"],
  };
  clusterGauge(registry, remaining, () =>
    [...current()].flatMap(({ key, budgets }) =>
      budgets.map(({ name, remaining: value }) => ({ key, labels: { objective: name }, value })),
    ),
  );
  const burn = {
    name: "quorate_slo_burn_rate",
    help: "How fast an error budget burns over a window; 1 spends it exactly by the end of the objective's window.",
    labelNames: ["objective", "window"],
  };
  clusterGauge(registry, burn, () =>
    [...current()].flatMap(({ key, budgets }) =>
      budgets.flatMap(({ name, burns }) =>
        burns.map(({ window, rate }) => ({ key, labels: { objective: name, window }, value: rate })),
      ),
    ),
  );
}

/** Counts queries about objectives that Prometheus did not answer. */
export function budgetQueryMetrics(registry: Registry): (failed: number) => void {
  const total = new Counter({
    name: "quorate_slo_query_errors_total",
    help: "Queries about objectives that Prometheus failed to answer; the budgets rest on what agents say meanwhile.",
    registers: [registry],
  });
  return (failed) => total.inc(failed);
}

/** Counts changes that an annotation let pass. What it returns is called once for each guard that begins to be passed over. */
export function overrideMetrics(registry: Registry): (guard: string) => void {
  const total = new Counter({
    name: "quorate_gate_overrides_total",
    help: "Times an annotation let changes of a cluster pass a guard that would have held them back.",
    labelNames: ["guard"],
    registers: [registry],
  });
  for (const guard of ["BudgetLeft", "WindowOpen"]) total.inc({ guard }, 0);
  return (guard) => total.inc({ guard });
}
