// Conditions as kstatus, `kubectl wait` and people read them.
import type { Condition } from "../api/schema.ts";
import { timestamp } from "../plan/timestamp.ts";

/** A condition without its time, which `withTimes` knows. */
export type Verdict = Omit<Condition, "lastTransitionTime" | "observedGeneration">;

/**
 * The conditions to store, sorted by type. `lastTransitionTime` moves only when `status` changes, so a steady state
 * writes nothing; types that are not in `verdicts` disappear.
 */
export function withTimes(
  verdicts: readonly Verdict[],
  before: readonly Condition[],
  observedGeneration: number,
  nowMs: number,
): Condition[] {
  return verdicts
    .map((verdict) => {
      const old = before.find((condition) => condition.type === verdict.type);
      const lastTransitionTime = old?.status === verdict.status ? old.lastTransitionTime : timestamp(nowMs);
      return { ...verdict, observedGeneration, lastTransitionTime };
    })
    .toSorted((a, b) => (a.type < b.type ? -1 : 1));
}
