// Error budgets of clusters, and how often somebody let a change pass a gate.
import { Counter, type Registry } from "prom-client";
import type { BudgetState } from "../slo/budget.ts";
import { clusterCounter } from "./cluster-counter.ts";
import type { ClusterRegistry, Row } from "./cluster-registry.ts";

/** Budgets of a cluster, by `namespace/name`. */
export interface ClusterBudgets {
  readonly key: string;
  readonly budgets: readonly BudgetState[];
}

/** Shows `current()` to whoever asks: a cluster's series go when it goes. At most four objectives, and seven windows of each. */
export function budgetMetrics(registry: ClusterRegistry, current: () => Iterable<ClusterBudgets>): void {
  registry.show({
    name: "quorate_slo_budget_remaining_ratio",
    help: "Share of an objective's error budget that is left over its window; 0 and below when it is spent.",
    type: "gauge",
    labels: ["objective"],
    *rows(): Iterable<Row> {
      for (const { key, budgets } of current())
        for (const { name, remaining: value } of budgets) yield { key, labels: { objective: name }, value };
    },
  });
  registry.show({
    name: "quorate_slo_burn_rate",
    help: "How fast an error budget burns over a window; 1 spends it exactly by the end of the objective's window.",
    type: "gauge",
    labels: ["objective", "window"],
    *rows(): Iterable<Row> {
      for (const { key, budgets } of current())
        for (const { name, burns } of budgets)
          for (const { window, rate } of burns) yield { key, labels: { objective: name, window }, value: rate };
    },
  });
}

/** Counts seconds of clusters whose members have no agents that could. Keys are `namespace/name`. */
export interface ServingCounter {
  /** It was looked at whether the cluster serves as it shall. */
  counted(key: string, isServed: boolean): void;
  gone(key: string): void;
}

const SLICE_RESULTS = ["good", "bad"] as const;

/** Makes the counter. */
export function servingMetrics(registry: ClusterRegistry): ServingCounter {
  const total = clusterCounter(
    registry,
    {
      name: "quorate_cluster_serving_slices_total",
      help: "Seconds in which the operator looked at the members of a cluster of topology Stateless; bad when fewer were ready than must be.",
    },
    "result",
    SLICE_RESULTS,
  );
  return { counted: (key, isServed) => total.add(key, isServed ? "good" : "bad"), gone: total.gone };
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
