// When an objective was missed, and for how long. Only bad time is kept, in steps that grow with age: a cluster that is
// well has nothing to remember, and what a cluster remembers is bounded.
import { UNITS_PER_WINDOW } from "./objectives.ts";

/** Bad time of one step. */
export interface Bucket {
  readonly startMs: number;
  readonly badMs: number;
}

/** Bad time of one objective, once for each tier. */
export type History = readonly (readonly Bucket[])[];

/** Tiers in units: how long a step is, and how far back steps go. */
const TIERS = [
  { stepUnits: 1 / 60, spanUnits: 1 },
  { stepUnits: 1 / 6, spanUnits: 6 },
  { stepUnits: 2, spanUnits: 72 },
  { stepUnits: 24, spanUnits: UNITS_PER_WINDOW },
] as const;

/** Nothing bad ever happened. */
export const NO_HISTORY: History = TIERS.map(() => []);

/** The history with `badMs` more, which ended at `nowMs`. */
export function addBad(history: History, nowMs: number, badMs: number, windowMs: number): History {
  if (badMs <= 0) return history;
  return TIERS.map(({ stepUnits, spanUnits }, tier) => {
    const stepMs = (stepUnits * windowMs) / UNITS_PER_WINDOW;
    const spanMs = (spanUnits * windowMs) / UNITS_PER_WINDOW;
    const startMs = Math.floor(nowMs / stepMs) * stepMs;
    const kept = (history[tier] ?? []).filter((bucket) => bucket.startMs > nowMs - spanMs - stepMs);
    const last = kept.find((bucket) => bucket.startMs === startMs);
    return [...kept.filter((bucket) => bucket !== last), { startMs, badMs: (last?.badMs ?? 0) + badMs }];
  });
}

/** Bad time within the last `units`; a step that begins before counts in proportion. */
export function badMsWithin(history: History, nowMs: number, units: number, windowMs: number): number {
  const tier = TIERS.findIndex(({ spanUnits }) => spanUnits >= units);
  const { stepUnits } = TIERS[tier] ?? TIERS[3];
  const stepMs = (stepUnits * windowMs) / UNITS_PER_WINDOW;
  const fromMs = nowMs - (units * windowMs) / UNITS_PER_WINDOW;
  return (history[tier] ?? []).reduce((sum, { startMs, badMs }) => {
    const share = Math.min(1, Math.max(0, (startMs + stepMs - fromMs) / stepMs));
    return sum + badMs * share;
  }, 0);
}

/** The histories as text, by the name of the objective: `[start in seconds, bad milliseconds]` for each step. */
export function encodeHistories(histories: Readonly<Record<string, History>>): string {
  const named = Object.entries(histories).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const toPair = ({ startMs, badMs }: Bucket) => [Math.round(startMs / 1000), Math.round(badMs)] as const;
  return JSON.stringify(
    Object.fromEntries(named.map(([name, tiers]) => [name, tiers.map((tier) => tier.map(toPair))])),
  );
}

/** What `encodeHistories` wrote. Whatever is not that is left out: a text that somebody broke must not stop the measuring. */
export function decodeHistories(text: string | undefined): Readonly<Record<string, History>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? "{}");
  } catch {
    return {};
  }
  if (typeof parsed !== "object" || parsed === null) return {};
  return Object.fromEntries(
    Object.entries(parsed).map(([name, tiers]) => [name, TIERS.map((_, tier) => bucketsOf(tiers, tier))]),
  );
}

function bucketsOf(tiers: unknown, tier: number): Bucket[] {
  const pairs: unknown = Array.isArray(tiers) ? tiers[tier] : undefined;
  if (!Array.isArray(pairs)) return [];
  return pairs.flatMap((pair: unknown) => {
    const [start, badMs]: unknown[] = Array.isArray(pair) ? pair : [];
    const isBucket = typeof start === "number" && typeof badMs === "number" && badMs >= 0;
    return isBucket ? { startMs: start * 1000, badMs } : [];
  });
}
