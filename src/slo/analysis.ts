// Judges a canary by what was measured of it, against a fixed limit or against the members that are not yet updated.
import type { Analysis } from "../api/objectives.ts";
import { type Counters, errorShare, NO_COUNTERS, quantileSeconds, sumOf } from "./sample.ts";

/** One analysis of a canary as it was last measured. */
export interface AnalysisVerdict {
  readonly name: string;
  /** NoData counts as not passed: what cannot be measured proves nothing. */
  readonly verdict: "Pass" | "Fail" | "NoData";
  /** The figures, as a clause. */
  readonly message: string;
}

/** What was found out about one revision. */
export interface TrialVerdict {
  readonly revision: string;
  readonly verdicts: readonly AnalysisVerdict[];
}

/** One look at a member: the time since the look before, what it counted meanwhile, and how it was found. */
export interface Point {
  readonly lengthMs: number;
  readonly counted: Counters;
  readonly engineUp: boolean;
  readonly lagBytes: number | undefined;
  /** Restarts of the member's container since the look before. */
  readonly restarts: number;
}

/** A value, or why there is none. */
export type Measurement = { readonly value: number } | { readonly missing: string };

/** What a measure says of a group of members; each member has its points, oldest first. */
export function measureGroup(
  measure: NonNullable<Analysis["measure"]>,
  group: readonly (readonly Point[])[],
  overSeconds: number,
): Measurement {
  if (group.length === 0) return { missing: "there is no member to measure" };
  const recent = group.map((points) => within(points, overSeconds * 1000));
  const shortestMs = Math.min(...recent.map(lengthOf));
  if (shortestMs < overSeconds * 1000) {
    return { missing: `measured for ${Math.floor(shortestMs / 1000)} of ${overSeconds} s so far` };
  }
  return MEASURES[measure](recent.flat());
}

const MEASURES: Readonly<Record<NonNullable<Analysis["measure"]>, (points: readonly Point[]) => Measurement>> = {
  EngineDownPercent: (points) => {
    const downMs = lengthOf(points.filter(({ engineUp }) => !engineUp));
    return { value: (100 * downMs) / lengthOf(points) };
  },
  Restarts: (points) => {
    const containers = points.reduce((sum, point) => sum + point.restarts, 0);
    return { value: containers + countedIn(points).engineExits };
  },
  LagBytes: (points) => {
    const known = points.flatMap(({ lagBytes }) => lagBytes ?? []);
    return known.length === 0 ? { missing: "no member knows its lag" } : { value: Math.max(...known) };
  },
  LatencyP95Milliseconds: (points) => {
    const seconds = quantileSeconds(countedIn(points).reads, 0.95);
    return seconds === undefined ? { missing: "no read was answered" } : { value: seconds * 1000 };
  },
  ErrorPercent: (points) => {
    const share = errorShare([countedIn(points).reads]);
    return share === undefined ? { missing: "no read was sent" } : { value: share * 100 };
  },
};

function countedIn(points: readonly Point[]): Counters {
  return points.map(({ counted }) => counted).reduce(sumOf, NO_COUNTERS);
}

/** The newest points that cover `spanMs`. */
function within(points: readonly Point[], spanMs: number): readonly Point[] {
  let coveredMs = 0;
  const first = points.findLastIndex((point) => {
    coveredMs += point.lengthMs;
    return coveredMs >= spanMs;
  });
  return points.slice(Math.max(0, first));
}

function lengthOf(points: readonly Point[]): number {
  return points.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
}

/** The verdict on what was measured. @param control - Of the members not yet updated; asked for only with maxRatio. */
export function judgeAnalysis(analysis: Analysis, canary: Measurement, control: Measurement): AnalysisVerdict {
  const verdict = (is: AnalysisVerdict["verdict"], message: string): AnalysisVerdict => {
    return { name: analysis.name, verdict: is, message };
  };
  if ("missing" in canary) return verdict("NoData", canary.missing);
  if (Number.isNaN(canary.value)) return verdict("NoData", "the value is not a number");
  const found = format(canary.value);
  const { max, maxRatio = "1", ignoreUpTo = "0" } = analysis;
  if (max !== undefined) {
    return verdict(canary.value <= Number(max) ? "Pass" : "Fail", `${found} of at most ${max}`);
  }
  if (canary.value <= Number(ignoreUpTo))
    return verdict("Pass", `${found}, and up to ${ignoreUpTo} it does not matter`);
  if ("missing" in control) return verdict("NoData", `${found}, and nothing to compare with: ${control.missing}`);
  if (Number.isNaN(control.value)) {
    return verdict("NoData", `${found}, and nothing to compare with: on the other members the value is not a number`);
  }
  const isAllowed = canary.value <= control.value * Number(maxRatio);
  const message = `${found} of at most ${maxRatio} times the ${format(control.value)} of the members not yet updated`;
  return verdict(isAllowed ? "Pass" : "Fail", message);
}

/** Three digits say what a person wants to know. */
function format(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : String(value);
}
