// How much of the time between two looks at a cluster was bad, for each objective.
import { type AgentObjective, ENOUGH_REQUESTS, type MeasuredObjectiveName } from "./objectives.ts";
import { type Counters, errorShare, NO_COUNTERS, slowerShare, successesOf, sumOf } from "./sample.ts";

/** What happened in a cluster between two looks. */
export interface Interval {
  readonly lengthMs: number;
  /** What each answering member counted meanwhile. */
  readonly counted: readonly Counters[];
  /** Whether a member that leads answered at the end. */
  readonly hasLeader: boolean;
  /** Whether the engine can be probed by writing; if not, having a leader must do. */
  readonly probesWrites: boolean;
}

const SLICE_MS = 1000; // of the agents' write probe, without the write
const UNCOUNTED_MS = 2 * SLICE_MS; // the slices at both ends, which are cut

/** Bad time by objective, each at most the length of the interval. */
export function badTime(
  objectives: readonly AgentObjective[],
  interval: Interval,
): ReadonlyMap<MeasuredObjectiveName, number> {
  const all = interval.counted.reduce(sumOf, NO_COUNTERS);
  return new Map(
    objectives.map(({ name, limitMs = 0 }) => [
      name,
      Math.min(interval.lengthMs, BAD_MS[name](all, interval, limitMs / 1000)),
    ]),
  );
}

type BadMs = (all: Counters, interval: Interval, limitSeconds: number) => number;

const BAD_MS: Readonly<Record<MeasuredObjectiveName, BadMs>> = {
  Availability: (all, interval) => {
    if (interval.probesWrites) return unwritableMs(all, interval);
    return interval.hasLeader ? 0 : interval.lengthMs;
  },
  // Of a few all may fail in some seconds that nobody would call bad.
  Requests: ({ requests: { good, bad } }, { lengthMs }) => (lengthMs * bad) / Math.max(good + bad, ENOUGH_REQUESTS),
  // The worse of writes and reads: there are more members to read from than to write to.
  Latency: ({ writes, reads }, { lengthMs }, limitSeconds) =>
    lengthMs * Math.max(...[writes, reads].map((one) => slowerShare(one, limitSeconds) ?? 0)),
  Errors: ({ writes, reads }, { lengthMs }) => lengthMs * (errorShare([writes, reads]) ?? 0),
  ApiLatency: (all, { lengthMs }, limitSeconds) => lengthMs * badLeaseWrites(all, limitSeconds),
};

/**
 * Slices whose write failed, and time in which no leader even tried.
 *
 * A leader whose pod is gone took along what it counted since the last look. Where another has taken over, that one says
 * how long nobody led; the rest of the time in between was the old one's.
 */
function unwritableMs({ slices, writes, takeoverSeconds }: Counters, { lengthMs }: Interval): number {
  const succeeded = successesOf(writes);
  const writeMs = succeeded === 0 ? 0 : (writes.durations.sumSeconds / succeeded) * 1000;
  const sliceMs = SLICE_MS + writeMs;
  const uncountedMs = Math.max(0, lengthMs - (slices.good + slices.bad) * sliceMs - UNCOUNTED_MS);
  return slices.bad * sliceMs + (takeoverSeconds > 0 ? Math.min(uncountedMs, takeoverSeconds * 1000) : uncountedMs);
}

function badLeaseWrites({ leaseWrites }: Counters, limitSeconds: number): number {
  const failed = errorShare([leaseWrites]) ?? 0;
  return failed + (1 - failed) * (slowerShare(leaseWrites, limitSeconds) ?? 0);
}
