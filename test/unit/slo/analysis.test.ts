// A canary against a limit and against its control group.
import { describe, expect, test } from "vitest";
import { Analysis } from "../../../src/api/objectives.ts";
import { judgeAnalysis, type Measurement, measureGroup, type Point } from "../../../src/slo/analysis.ts";
import { type Attempts, NO_COUNTERS } from "../../../src/slo/sample.ts";

const analysis = (fields: object): Analysis => Analysis.parse({ name: "a", measure: "Restarts", ...fields });
const value = (number: number): Measurement => ({ value: number });
const NOTHING: Measurement = { missing: "nobody is left" };

describe("judging", () => {
  const ratio = analysis({ maxRatio: "1.5", ignoreUpTo: "2" });

  test.each([
    { of: analysis({ max: "2" }), canary: 2, verdict: "Pass", says: "2 of at most 2" },
    { of: analysis({ max: "2" }), canary: 2.01, verdict: "Fail", says: "2.01 of at most 2" },
    { of: analysis({ max: "2" }), canary: Number.POSITIVE_INFINITY, verdict: "Fail", says: "Infinity of at most 2" },
    { of: analysis({ max: "2" }), canary: Number.NaN, verdict: "NoData", says: "the value is not a number" },
    {
      of: ratio,
      canary: 6,
      control: 4,
      verdict: "Pass",
      says: "6 of at most 1.5 times the 4 of the members not yet updated",
    },
    { of: ratio, canary: 6.1, control: 4, verdict: "Fail", says: "6.1 of at most 1.5 times the 4" },
    { of: ratio, canary: 2, control: 0, verdict: "Pass", says: "up to 2 it does not matter" },
    { of: ratio, canary: 3, control: 0, verdict: "Fail", says: "1.5 times the 0" },
    { of: ratio, canary: 3, control: Number.NaN, verdict: "NoData", says: "nothing to compare with" },
    { of: ratio, canary: 1, control: Number.NaN, verdict: "Pass", says: "it does not matter" },
  ])("$canary against $control: $verdict", ({ of, canary, control = 0, verdict, says }) => {
    const judged = judgeAnalysis(of, value(canary), value(control));
    expect(judged.verdict).toBe(verdict);
    expect(judged.message).toContain(says);
  });

  test("what cannot be measured proves nothing", () => {
    expect(judgeAnalysis(analysis({ max: "2" }), NOTHING, value(1)).verdict).toBe("NoData");
    expect(judgeAnalysis(ratio, value(3), NOTHING)).toMatchObject({
      verdict: "NoData",
      message: expect.stringContaining("nobody is left"),
    });
  });
});

describe("measuring a group", () => {
  const point = (change: Partial<Point> = {}): Point => ({
    lengthMs: 10_000,
    counted: NO_COUNTERS,
    engineUp: true,
    lagBytes: 0,
    restarts: 0,
    ...change,
  });
  const minute = (change: Partial<Point> = {}): Point[] => Array.from({ length: 6 }, () => point(change));
  const answered = (seconds: number, count = 100): Attempts => ({
    durations: {
      bounds: [0.001, 0.01, 0.1, Number.POSITIVE_INFINITY],
      counts: [0.001, 0.01, 0.1, Number.POSITIVE_INFINITY].map((bound) => (seconds <= bound ? count : 0)),
      sumSeconds: seconds * count,
    },
    errors: 0,
  });
  const counted = (change: object) => ({ counted: { ...NO_COUNTERS, ...change } });

  test("says how much is still missing", () => {
    expect(measureGroup("Restarts", [minute(), minute().slice(0, 4)], 60)).toEqual({
      missing: "measured for 40 of 60 s so far",
    });
    expect(measureGroup("Restarts", [], 60)).toEqual({ missing: "there is no member to measure" });
  });

  test("looks back so far and no farther", () => {
    const old = minute({ restarts: 5 });
    expect(measureGroup("Restarts", [[...old, ...minute()]], 60)).toEqual({ value: 0 });
    expect(measureGroup("Restarts", [[...old, ...minute()]], 120)).toEqual({ value: 30 });
  });

  test.each([
    { measure: "EngineDownPercent", points: [...minute().slice(3), ...minute({ engineUp: false }).slice(3)], want: 50 },
    {
      measure: "Restarts",
      points: [...minute().slice(1), point({ restarts: 1, ...counted({ engineExits: 2 }) })],
      want: 3,
    },
    { measure: "LagBytes", points: [...minute().slice(1), point({ lagBytes: 7 })], want: 7 },
    { measure: "ErrorPercent", points: minute(counted({ reads: { ...answered(0.005, 9), errors: 1 } })), want: 10 },
  ] as const)("$measure", ({ measure, points, want }) => {
    const found = measureGroup(measure, [points], 60);
    expect("value" in found ? found.value : found).toBeCloseTo(want);
  });

  test("tells a latency of one millisecond from one of eight", () => {
    const p95 = (reads: Attempts) => {
      const found = measureGroup("LatencyP95Milliseconds", [minute(counted({ reads }))], 60);
      return "value" in found ? found.value : Number.NaN;
    };
    expect(p95(answered(0.0009))).toBeLessThanOrEqual(1);
    expect(p95(answered(0.008))).toBeGreaterThan(1);
  });

  test.each(["LagBytes", "LatencyP95Milliseconds", "ErrorPercent"] as const)(
    "%s of members that did nothing is missing",
    (measure) => {
      expect(measureGroup(measure, [minute({ lagBytes: undefined })], 60)).toHaveProperty("missing");
    },
  );
});
