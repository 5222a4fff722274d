// Error budgets of clusters, and how often somebody let a change pass a gate.
import { Counter, Gauge, type Registry } from "prom-client";
import type { BudgetState } from "../slo/budget.ts";

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
  const subject = ({ key }: ClusterBudgets) => {
    const [namespace = "", cluster = ""] = key.split("/");
    return { namespace, cluster };
  };
  const remaining = new Gauge({
    name: "quorate_slo_budget_remaining_ratio",
    help: "Share of an objective's error budget that is left over its window; 0 and below when it is spent.",
    labelNames: ["namespace", "cluster", "objective"],
    registers: [],
    collect() {
      this.reset();
      for (const one of current()) {
        for (const { name, remaining: ratio } of one.budgets) this.set({ ...subject(one), objective: name }, ratio);
      }
    },
  });
  const burn = new Gauge({
    name: "quorate_slo_burn_rate",
    help: "How fast an error budget burns over a window; 1 spends it exactly by the end of the objective's window.",
    labelNames: ["namespace", "cluster", "objective", "window"],
    registers: [],
    collect() {
      this.reset();
      for (const one of current()) {
        for (const { name, burns } of one.budgets) {
          for (const { window, rate } of burns) this.set({ ...subject(one), objective: name, window }, rate);
        }
      }
    },
  });
  registry.registerMetric(remaining);
  registry.registerMetric(burn);
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
