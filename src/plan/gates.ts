// What must be true of the outside before a risky step: error budget, analyses of a canary, maintenance windows.
// observe/ measures; these functions only judge what was measured, so the same observation always gives the same answer.
import type { World } from "./facts.ts";
import type { Block } from "./plan.ts";

/** One analysis of a canary as it was last measured. */
export interface AnalysisVerdict {
  readonly name: string;
  /** NoData counts as not passed: what cannot be measured proves nothing. */
  readonly verdict: "Pass" | "Fail" | "NoData";
  readonly message: string;
}

/** Why the error budget does not allow a risky step now; undefined when it does. */
export function budgetBlock(_world: World): Block | undefined {
  return undefined;
}

/** Why no maintenance window allows `what` now, and when the next one opens; undefined when one is open or none is asked for. */
export function windowBlock(_world: World, _what: string): Block | undefined {
  return undefined;
}

/** The analyses of spec.update.canary as last measured, in the order of the spec. */
export function analyses(_world: World): readonly AnalysisVerdict[] {
  return [];
}
