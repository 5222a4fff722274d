// What one look at a member's metrics shows, and what happened between two looks.

/** Counts of durations, as a histogram has them. */
export interface Durations {
  /** Upper bounds in seconds, ascending; the last is infinite. */
  readonly bounds: readonly number[];
  /** Durations up to each bound. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

/** Something that is done again and again: how long it took when it succeeded, and how often it did not. */
export interface Attempts {
  readonly durations: Durations;
  readonly errors: number;
}

/** The counters of one member; all grow until its agent starts anew. */
export interface Counters {
  readonly slices: { readonly good: number; readonly bad: number };
  /** Of clients, as the engine counts them; nothing of one that counts none. */
  readonly requests: { readonly good: number; readonly bad: number };
  readonly writes: Attempts;
  readonly reads: Attempts;
  readonly leaseWrites: Attempts;
  readonly engineExits: number;
  /** Time without a leader that this member ended by becoming it. */
  readonly takeoverSeconds: number;
}

/** One member at one moment. */
export interface MemberSample extends Counters {
  readonly leads: boolean;
  readonly engineUp: boolean;
  /** undefined while the member does not know. */
  readonly lagBytes: number | undefined;
}

/** Nothing done yet. */
export const NO_ATTEMPTS: Attempts = { durations: { bounds: [], counts: [], sumSeconds: 0 }, errors: 0 };

/** Nothing counted yet: what a new agent starts from. */
export const NO_COUNTERS: Counters = {
  slices: { good: 0, bad: 0 },
  requests: { good: 0, bad: 0 },
  writes: NO_ATTEMPTS,
  reads: NO_ATTEMPTS,
  leaseWrites: NO_ATTEMPTS,
  engineExits: 0,
  takeoverSeconds: 0,
};

/** What was counted from `before` to `after`; when the counters began anew, what they have counted since. */
export function countedBetween(before: Counters, after: Counters): Counters {
  const from = beganAnew(before, after) ? NO_COUNTERS : before;
  return {
    slices: { good: after.slices.good - from.slices.good, bad: after.slices.bad - from.slices.bad },
    requests: { good: after.requests.good - from.requests.good, bad: after.requests.bad - from.requests.bad },
    writes: attemptsBetween(from.writes, after.writes),
    reads: attemptsBetween(from.reads, after.reads),
    leaseWrites: attemptsBetween(from.leaseWrites, after.leaseWrites),
    engineExits: after.engineExits - from.engineExits,
    takeoverSeconds: after.takeoverSeconds - from.takeoverSeconds,
  };
}

/** Both together. */
export function sumOf(a: Counters, b: Counters): Counters {
  return {
    slices: { good: a.slices.good + b.slices.good, bad: a.slices.bad + b.slices.bad },
    requests: { good: a.requests.good + b.requests.good, bad: a.requests.bad + b.requests.bad },
    writes: sumOfAttempts(a.writes, b.writes),
    reads: sumOfAttempts(a.reads, b.reads),
    leaseWrites: sumOfAttempts(a.leaseWrites, b.leaseWrites),
    engineExits: a.engineExits + b.engineExits,
    takeoverSeconds: a.takeoverSeconds + b.takeoverSeconds,
  };
}

function beganAnew(before: Counters, after: Counters): boolean {
  const fell = (a: Attempts, b: Attempts) => b.errors < a.errors || successesOf(b) < successesOf(a);
  return (
    after.slices.good < before.slices.good ||
    after.slices.bad < before.slices.bad ||
    after.requests.good < before.requests.good ||
    after.requests.bad < before.requests.bad ||
    after.engineExits < before.engineExits ||
    after.takeoverSeconds < before.takeoverSeconds ||
    fell(before.writes, after.writes) ||
    fell(before.reads, after.reads) ||
    fell(before.leaseWrites, after.leaseWrites)
  );
}

function attemptsBetween(before: Attempts, after: Attempts): Attempts {
  const counts = after.durations.counts.map((count, i) => count - (before.durations.counts[i] ?? 0));
  const sumSeconds = after.durations.sumSeconds - before.durations.sumSeconds;
  return { durations: { bounds: after.durations.bounds, counts, sumSeconds }, errors: after.errors - before.errors };
}

function sumOfAttempts(a: Attempts, b: Attempts): Attempts {
  const longer = a.durations.bounds.length >= b.durations.bounds.length ? a : b;
  const counts = longer.durations.bounds.map((_, i) => (a.durations.counts[i] ?? 0) + (b.durations.counts[i] ?? 0));
  const sumSeconds = a.durations.sumSeconds + b.durations.sumSeconds;
  return { durations: { bounds: longer.durations.bounds, counts, sumSeconds }, errors: a.errors + b.errors };
}

/** How many attempts succeeded. */
export function successesOf({ durations }: Attempts): number {
  return durations.counts.at(-1) ?? 0;
}

/** The share of attempts that failed; undefined when there were none. */
export function errorShare(attempts: readonly Attempts[]): number | undefined {
  const errors = attempts.reduce((sum, one) => sum + one.errors, 0);
  const all = errors + attempts.reduce((sum, one) => sum + successesOf(one), 0);
  return all === 0 ? undefined : errors / all;
}

/** The share of successful attempts that took longer than `limitSeconds`, between two bounds in proportion; undefined when there were none. */
export function slowerShare({ durations }: Attempts, limitSeconds: number): number | undefined {
  const { bounds, counts } = durations;
  const all = counts.at(-1) ?? 0;
  if (all === 0) return undefined;
  const at = bounds.findIndex((bound) => bound >= limitSeconds);
  const upper = bounds[at] ?? Number.POSITIVE_INFINITY;
  const lower = bounds[at - 1] ?? 0;
  const upTo = counts[at] ?? all;
  const below = counts[at - 1] ?? 0;
  const part = Number.isFinite(upper) ? (limitSeconds - lower) / (upper - lower) : 0;
  return 1 - (below + (upTo - below) * part) / all;
}

/** The duration in seconds that the share `quantile` of attempts stayed within, as Prometheus' histogram_quantile has it. */
export function quantileSeconds({ durations }: Attempts, quantile: number): number | undefined {
  const { bounds, counts } = durations;
  const all = counts.at(-1) ?? 0;
  if (all === 0) return undefined;
  const wanted = quantile * all;
  const at = counts.findIndex((count) => count >= wanted);
  const upper = bounds[at] ?? Number.POSITIVE_INFINITY;
  const lower = bounds[at - 1] ?? 0;
  if (!Number.isFinite(upper)) return lower;
  const below = counts[at - 1] ?? 0;
  const within = (counts[at] ?? all) - below;
  return within === 0 ? upper : lower + ((upper - lower) * (wanted - below)) / within;
}
