// What an operator remembers of a cluster's error budgets, for the operator after it.
import { nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { child } from "./labels.ts";
import type { Manifest } from "./manifest.ts";

/** Key of the ConfigMap. */
export const BUDGET_KEY = "bad-time.json";

/** The ConfigMap that remembers when objectives were missed. @param record - See slo/history.ts. */
export function buildBudgetRecord(context: BuildContext, record: string): Manifest {
  return child(context, { apiVersion: "v1", kind: "ConfigMap" }, nameOf.budget(context.name), {
    data: { [BUDGET_KEY]: record },
  });
}
