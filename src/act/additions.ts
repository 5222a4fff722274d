// What others added to an object that is the operator's alone. Server-side apply leaves it: it takes back only what it set itself.

/** A merge patch that takes away what `live` has beyond `desired`; undefined when that is nothing. Says nothing of values that differ. */
export function withoutAdditions(live: unknown, desired: unknown): unknown {
  if (Array.isArray(live) && Array.isArray(desired)) {
    const isAlike = live.length === desired.length;
    return isAlike && live.every((item, at) => withoutAdditions(item, desired[at]) === undefined) ? undefined : desired;
  }
  if (!isRecord(live) || !isRecord(desired)) return undefined;
  const entries = Object.entries(live).flatMap(([name, value]) => {
    const wanted = desired[name];
    const patch = wanted === undefined ? null : withoutAdditions(value, wanted);
    return patch === undefined ? [] : [[name, patch] as const];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
