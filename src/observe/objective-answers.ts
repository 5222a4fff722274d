// What Prometheus is asked about objectives, and what its answers mean.
import type { Clock } from "../clock.ts";
import type { OtherSource } from "../slo/budget.ts";
import { BURN_UNITS, formatDuration, type Objective, UNITS_PER_WINDOW } from "../slo/objectives.ts";
import { NO_BAD_SERIES, UNITS_LABEL } from "../slo/queries.ts";
import { OTHER_STALE_MS } from "./cluster-measure.ts";
import type { Prometheus } from "./prometheus.ts";

const ASK_WHOLE_EVERY_MS = 600_000;

/** What Prometheus answered to a query. */
export interface Answer {
  readonly atMs: number;
  /** By units of the window. */
  readonly badShares: ReadonlyMap<number, number>;
  /** A window that was asked about and of which there is no value. */
  readonly unknown: number | undefined;
  /** Why there is no answer. */
  readonly problem: string | undefined;
  /** There were events over the whole window, and no series of bad ones. */
  readonly hasNoBadSeries: boolean;
}

/** What is asked about an objective at once. */
export interface Question {
  readonly units: readonly number[];
  /** So long an answer is not asked for again. */
  readonly sparesMs: number;
  /** So long an answer stands in for one that does not come. */
  readonly standsInMs: number;
}

/**
 * Of a user's own objectives nobody else knows, so one question that fails must not take away what was known a minute ago. And they may be
 * about very many series: the whole window, which changes slowly, is asked for now and then.
 */
export const QUESTIONS: Readonly<Record<Objective["source"], readonly Question[]>> = {
  Agents: [{ units: [...BURN_UNITS, UNITS_PER_WINDOW], sparesMs: 0, standsInMs: 0 }],
  Pods: [{ units: [...BURN_UNITS, UNITS_PER_WINDOW], sparesMs: 0, standsInMs: 0 }],
  Queries: [
    { units: BURN_UNITS, sparesMs: 0, standsInMs: OTHER_STALE_MS },
    { units: [UNITS_PER_WINDOW], sparesMs: ASK_WHOLE_EVERY_MS, standsInMs: ASK_WHOLE_EVERY_MS + OTHER_STALE_MS },
  ],
};
/** What is said of every objective where there is no Prometheus. */
export const NOBODY_TO_ASK: OtherSource = {
  badShares: new Map(),
  missing: "the operator has no Prometheus to ask: set QUORATE_PROMETHEUS_URL",
};

/** Where Prometheus has no value for a window, it does not know about the objective. */
export function toSource(answers: readonly Answer[], windowMs: number): OtherSource {
  const badShares = new Map(answers.flatMap((answer) => [...answer.badShares]));
  const [open] = answers.filter(({ unknown }) => unknown !== undefined);
  if (open?.unknown === undefined) {
    if (!answers.some(({ hasNoBadSeries }) => hasNoBadSeries)) return { badShares };
    const whole = formatDuration(windowMs);
    return {
      badShares,
      remark: `badQuery has had no series over ${whole}: either nothing was bad, or it asks for what there is not`,
    };
  }
  const window = formatDuration((open.unknown * windowMs) / UNITS_PER_WINDOW);
  return { badShares, missing: open.problem ?? `Prometheus has no value of it over ${window}` };
}

/** Whom to ask, by which clock, and until when. */
interface Asking {
  readonly prometheus: Pick<Prometheus, "query">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What Prometheus says to a question; of one that fails, or need not be asked again yet, what it said before. Never throws. */
export async function ask(
  query: string,
  { units, sparesMs, standsInMs }: Question,
  before: Answer | undefined,
  { prometheus, clock, signal }: Asking,
): Promise<Answer & { readonly error?: unknown }> {
  const atMs = clock.monotonicMs();
  const ageMs = atMs - (before?.atMs ?? Number.NEGATIVE_INFINITY);
  if (before !== undefined && before.unknown === undefined && ageMs < sparesMs) return before;
  try {
    const samples = await prometheus.query(query, signal);
    const known = samples.filter(({ value }) => Number.isFinite(value));
    const hasNoBadSeries = samples.some(({ labels }) => labels[UNITS_LABEL] === NO_BAD_SERIES);
    const shares = known.filter(({ labels }) => labels[UNITS_LABEL] !== NO_BAD_SERIES);
    const badShares = new Map(shares.map(({ labels, value }) => [Number(labels[UNITS_LABEL]), Math.max(0, value)]));
    return { atMs, badShares, unknown: units.find((one) => !badShares.has(one)), problem: undefined, hasNoBadSeries };
  } catch (error) {
    if (before !== undefined && ageMs < standsInMs) return { ...before, error };
    const problem = error instanceof Error ? error.message : String(error);
    const nothing = { badShares: new Map<number, number>(), hasNoBadSeries: false };
    return { atMs: Number.NEGATIVE_INFINITY, ...nothing, unknown: units[0], problem, error };
  }
}
