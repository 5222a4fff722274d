// Budgets as metrics: there while the cluster is.
import { expect, test } from "vitest";
import { judgeBudget } from "../../../src/slo/budget.ts";
import { addBad, NO_HISTORY } from "../../../src/slo/history.ts";
import {
  budgetMetrics,
  budgetQueryMetrics,
  overrideMetrics,
  servingMetrics,
  type ClusterBudgets,
} from "../../../src/telemetry/slo-metrics.ts";
import { ClusterRegistry } from "../../../src/telemetry/cluster-registry.ts";

const WINDOW_MS = 30 * 86_400_000;

test("a cluster's budgets come and go with it", async () => {
  const registry = new ClusterRegistry();
  const history = addBad(NO_HISTORY, 1e12, 1296_000, WINDOW_MS);
  const state = judgeBudget({ name: "Availability", allowed: 0.001 }, history, {
    nowMs: 1e12 + 1,
    windowMs: WINDOW_MS,
  });
  let current: ClusterBudgets[] = [{ key: "shop/orders", budgets: [state] }];
  budgetMetrics(registry, () => current);
  const text = await registry.metrics();
  expect(text).toContain(
    'quorate_slo_budget_remaining_ratio{namespace="shop",cluster="orders",objective="Availability"} 0.5\n',
  );
  expect(text.match(/^quorate_slo_burn_rate\{/gm)).toHaveLength(7);
  expect(text).toMatch(
    /quorate_slo_burn_rate\{namespace="shop",cluster="orders",objective="Availability",window="1h"\} 360/,
  );
  current = [];
  expect(await registry.metrics()).not.toContain("orders");
});

test("overrides are counted by guard, from zero", async () => {
  const registry = new ClusterRegistry();
  const count = overrideMetrics(registry);
  count("BudgetLeft");
  const text = await registry.metrics();
  expect(text).toContain('quorate_gate_overrides_total{guard="BudgetLeft"} 1');
  expect(text).toContain('quorate_gate_overrides_total{guard="WindowOpen"} 0');
});

test("queries that Prometheus does not answer are counted, from zero", async () => {
  const registry = new ClusterRegistry();
  const count = budgetQueryMetrics(registry);
  expect(await registry.metrics()).toContain("quorate_slo_query_errors_total 0");
  count(0);
  count(3);
  expect(await registry.metrics()).toContain("quorate_slo_query_errors_total 3");
});

test("seconds of members without agents are counted, both results from zero, and go with their cluster", async () => {
  const registry = new ClusterRegistry();
  const counter = servingMetrics(registry);
  const series = (result: string) =>
    `quorate_cluster_serving_slices_total{namespace="shop",cluster="front",result="${result}"}`;
  counter.counted("shop/front", true);
  expect(await registry.metrics()).toContain(`${series("good")} 1\n${series("bad")} 0\n`);
  counter.counted("shop/front", false);
  expect(await registry.metrics()).toContain(`${series("bad")} 1\n`);
  counter.gone("shop/front");
  expect(await registry.metrics()).not.toContain("front");
});
