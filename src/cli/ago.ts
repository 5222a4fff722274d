const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** How long ago a time was, in its two largest units, such as `3h20m`; `0s` for the future. */
export function ago(time: string, nowMs: number): string {
  return duration(nowMs - Date.parse(time));
}

/** A duration in its two largest units. */
export function duration(ms: number): string {
  let rest = Math.max(0, ms);
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || parts.length > 0) parts.push(`${count}${unit}`);
  }
  const [first = "0s", second = ""] = parts;
  return /^0/.test(second) ? first : first + second;
}
