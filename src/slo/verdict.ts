// What the budgets of a cluster say together: for the gate, the condition, the events and `kubectl get`.
import { type BudgetState, coarseRemaining } from "./budget.ts";

/** The budgets of a cluster at one moment; undefined while too little was seen to judge. */
export type Budgets = readonly BudgetState[] | undefined;

/** One verdict over all objectives. The message holds nothing that changes from one minute to the next. */
export interface SloVerdict {
  readonly status: "True" | "False" | "Unknown";
  readonly reason: "WithinBudget" | "BudgetExhausted" | "BudgetBurning" | "NoData";
  readonly message: string;
}

/**
 * The verdict. What is known to be bad counts before what is not known.
 * @param missing - Why there is no data about some or all of the objectives, as a clause; empty when there is about each.
 */
export function judgeBudgets(budgets: Budgets, missing: string): SloVerdict {
  const known = budgets ?? [];
  const exhausted = known.filter(({ remaining }) => remaining <= 0);
  if (exhausted.length > 0) {
    const message = `The error budget of ${namesOf(exhausted)} is spent.`;
    return { status: "False", reason: "BudgetExhausted", message };
  }
  const burning = known.filter(({ alert }) => alert !== "None");
  if (burning.length > 0) {
    const each = burning.map(({ name, alert }) => `${name} (${alert})`).join(", ");
    return { status: "False", reason: "BudgetBurning", message: `The error budget burns too fast: ${each}.` };
  }
  if (known.length === 0 || missing !== "") {
    return { status: "Unknown", reason: "NoData", message: `The objectives of spec.slo cannot be judged: ${missing}.` };
  }
  const left = known.map(({ name, remaining }) => `${name} ${coarseRemaining(remaining)}`).join(", ");
  return { status: "True", reason: "WithinBudget", message: `Error budget left: ${left}.` };
}

function namesOf(budgets: readonly BudgetState[]): string {
  return budgets.map(({ name }) => name).join(", ");
}

/** The smallest budget that is left, in coarse steps; for the printed column. */
export function smallestRemaining(budgets: readonly BudgetState[]): string | undefined {
  const [least] = budgets.map(({ remaining }) => remaining).toSorted((a, b) => a - b);
  return least === undefined ? undefined : coarseRemaining(least);
}
