// What wakes the operator: a change of anything that it watches. What it writes into the status itself is no news to it.
import type { Observation } from "../../../src/plan/observation.ts";

/** Whether two observations differ in nothing but the time and what the operator says of the cluster. */
export function isSameNews(a: Observation | undefined, b: Observation | undefined): boolean {
  const essence = (seen: Observation | undefined) => ({
    ...seen,
    nowMs: 0,
    cluster: { ...seen?.cluster, status: undefined },
  });
  return isSame(essence(a), essence(b));
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    for (const [key, value] of a) if (!b.has(key) || !isSame(value, b.get(key))) return false;
    return true;
  }
  const [left, right] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>];
  for (const name in left) if (!isSame(left[name], right[name])) return false;
  for (const name in right) if (!(name in left)) return false;
  return true;
}
