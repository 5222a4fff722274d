// From an agent's own metrics to bad time: the agent's real instruments are on one side.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { agentMetrics, type AgentMetrics } from "../../../src/agent/metrics.ts";
import { requestMetrics } from "../../../src/agent/requests.ts";
import { toSample } from "../../../src/observe/exposition.ts";
import { badTime, type Interval } from "../../../src/slo/interval.ts";
import type { AgentObjective } from "../../../src/slo/objectives.ts";
import {
  type Attempts,
  countedBetween,
  errorShare,
  type MemberSample,
  NO_COUNTERS,
  quantileSeconds,
  slowerShare,
  successesOf,
  sumOf,
} from "../../../src/slo/sample.ts";

const newAgent = (): AgentMetrics =>
  agentMetrics({ cluster: "orders", namespace: "shop", member: "orders-0", node: "n" });

async function sampleOf(metrics: AgentMetrics): Promise<MemberSample> {
  const sample = toSample(await metrics.registry.metrics());
  if (sample === undefined) throw new Error("an agent's metrics are a sample");
  return sample;
}

/** An agent that leads, and a second of its life. */
function live(
  metrics: AgentMetrics,
  change: { writeSeconds?: number; write?: "ok" | "error"; leaseSeconds?: number } = {},
): void {
  const { writeSeconds = 0.004, write = "ok", leaseSeconds = 0.02 } = change;
  metrics.isLeader.set(1);
  metrics.engineUp.set(1);
  metrics.writeSlices.inc({ result: write === "ok" ? "good" : "bad" });
  metrics.actionSeconds.observe({ action: "probeWrite", result: write }, writeSeconds);
  metrics.actionSeconds.observe({ action: "observe", result: "ok" }, 0.002);
  metrics.leaseSeconds.observe({ result: "ok" }, leaseSeconds);
}

describe("an agent's metrics", () => {
  test("of an agent that has just started are a sample of nothing", async () => {
    expect(await sampleOf(newAgent())).toMatchObject({
      leads: false,
      engineUp: false,
      slices: { good: 0, bad: 0 },
      requests: { good: 0, bad: 0 },
      engineExits: 0,
      writes: { errors: 0 },
    });
  });

  test("say what was counted", async () => {
    const metrics = newAgent();
    for (let second = 0; second < 8; second += 1) live(metrics);
    live(metrics, { write: "error", writeSeconds: 10 });
    metrics.leaseSeconds.observe({ result: "conflict" }, 0.03);
    metrics.leaseSeconds.observe({ result: "indeterminate" }, 1);
    metrics.engineExits.inc();
    metrics.lagBytes.set(Number.NaN);
    requestMetrics(metrics.registry)({ served: 40, failed: 2 });
    const sample = await sampleOf(metrics);
    expect(sample).toMatchObject({ leads: true, engineUp: true, lagBytes: undefined, engineExits: 1 });
    expect(sample.slices).toEqual({ good: 8, bad: 1 });
    expect(sample.requests).toEqual({ good: 40, bad: 2 });
    expect([sample.writes, sample.reads, sample.leaseWrites].map(successesOf)).toEqual([8, 9, 10]);
    expect([sample.writes, sample.reads, sample.leaseWrites].map(({ errors }) => errors)).toEqual([1, 0, 1]);
    expect(sample.writes.durations.sumSeconds).toBeCloseTo(0.032);
  });

  test("that are none are no sample", () => {
    expect(toSample("")).toBeUndefined();
    expect(toSample("<html>not found</html>")).toBeUndefined();
    expect(toSample("quorate_other 1\n")).toBeUndefined();
  });

  test("that are anything never throw", () => {
    const isRead = (text: string) => {
      const sample = toSample(text);
      return sample === undefined || typeof sample.leads === "boolean";
    };
    fc.assert(fc.property(fc.string({ unit: "binary" }), isRead), { numRuns: 50 });
    fc.assert(
      fc.property(fc.string(), (text) => isRead(`quorate_member_leader 1\nquorate_member_${text}`)),
      { numRuns: 50 },
    );
  });
});

describe("between two looks", () => {
  test("is the difference, and all of it when the agent began anew", async () => {
    const metrics = newAgent();
    live(metrics);
    const before = await sampleOf(metrics);
    live(metrics);
    live(metrics, { write: "error" });
    const after = await sampleOf(metrics);
    expect(countedBetween(before, after).slices).toEqual({ good: 1, bad: 1 });
    expect(successesOf(countedBetween(before, after).reads)).toBe(2);
    const fresh = newAgent();
    live(fresh);
    expect(countedBetween(after, await sampleOf(fresh)).slices).toEqual({ good: 1, bad: 0 });
  });

  test("sums up over members, whatever bounds they have", async () => {
    const metrics = newAgent();
    live(metrics);
    const one = await sampleOf(metrics);
    const both = sumOf(sumOf(NO_COUNTERS, one), one);
    expect(both.slices.good).toBe(2);
    expect(successesOf(both.writes)).toBe(2);
  });
});

describe("shares and quantiles", () => {
  const attempts = (...counts: number[]): Attempts => ({
    durations: { bounds: [0.1, 0.2, 0.4, Number.POSITIVE_INFINITY], counts, sumSeconds: 1 },
    errors: 0,
  });

  test.each([
    [0.1, 0.5],
    [0.15, 0.35],
    [0.2, 0.2],
    [0.4, 0.1],
    [0.3, 0.15],
    [0.05, 0.75],
    [5, 0.1],
  ])("slower than %d s: %d", (limit, share) => {
    // biome-ignore format: a table
    expect(slowerShare(attempts(50, 80, 90, 100), limit)).toBeCloseTo(share);
  });

  test.each([
    [0.5, 0.1],
    [0.65, 0.15],
    [0.8, 0.2],
    [0.25, 0.05],
    [0.95, 0.4],
  ])("quantile %d: %d s", (quantile, seconds) => {
    expect(quantileSeconds(attempts(50, 80, 90, 100), quantile)).toBeCloseTo(seconds);
  });

  test("of nothing are not known", () => {
    expect(slowerShare(attempts(0, 0, 0, 0), 1)).toBeUndefined();
    expect(quantileSeconds(attempts(0, 0, 0, 0), 0.95)).toBeUndefined();
    expect(errorShare([attempts()])).toBeUndefined();
  });

  test("agree with each other", () => {
    const counts = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(counts, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (each, quantile) => {
        const all = attempts(...each.map((_, i) => each.slice(0, i + 1).reduce((a, b) => a + b, 0)));
        const seconds = quantileSeconds(all, quantile);
        if (seconds === undefined) return;
        const slower = slowerShare(all, seconds) ?? Number.NaN;
        // Beyond the last finite bound nobody knows; there the quantile is a lower bound.
        if (seconds < 0.4) expect(slower).toBeLessThanOrEqual(1 - quantile + 1e-9);
        expect(slower).toBeGreaterThanOrEqual(0);
        expect(slower).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe("bad time of an interval of ten seconds", () => {
  const OBJECTIVES: readonly AgentObjective[] = [
    { source: "Agents", name: "Availability", allowed: 0.001 },
    { source: "Agents", name: "Latency", allowed: 0.05, limitMs: 200 },
    { source: "Agents", name: "Errors", allowed: 0.001 },
    { source: "Agents", name: "ApiLatency", allowed: 0.05, limitMs: 500 },
  ];

  async function bad(seconds: readonly Parameters<typeof live>[1][], change: Partial<Interval> = {}) {
    const metrics = newAgent();
    for (const second of seconds) live(metrics, second);
    const counted = [countedBetween(NO_COUNTERS, await sampleOf(metrics))];
    const interval = { lengthMs: 10_000, counted, hasLeader: true, probesWrites: true, ...change };
    return Object.fromEntries(badTime(OBJECTIVES, interval));
  }
  const times = (count: number, second = {}) => Array.from({ length: count }, () => second);

  test("in which all is well is none", async () => {
    expect(await bad(times(10))).toEqual({ Availability: 0, Latency: 0, Errors: 0, ApiLatency: 0 });
  });

  test("in which two slices of a probe were cut is none either", async () => {
    expect(await bad(times(8))).toMatchObject({ Availability: 0 });
  });

  test("with two failed writes is two seconds", async () => {
    const found = await bad([...times(8), ...times(2, { write: "error" })]);
    expect(found["Availability"]).toBeGreaterThanOrEqual(2_000);
    expect(found["Availability"]).toBeLessThan(2_100);
    expect(found["Errors"]).toBeCloseTo(1_000); // two of ten writes and ten reads
  });

  test("in which nobody wrote is the time that nobody wrote", async () => {
    expect((await bad(times(3)))["Availability"]).toBeCloseTo(10_000 - 2_000 - 3 * 1_004, -1);
    expect(await bad([])).toMatchObject({ Availability: 8_000, Latency: 0 });
  });

  test("in which one member took over is as long as the takeover, the rest was the old leader's", async () => {
    const metrics = newAgent();
    live(metrics);
    metrics.failoverSeconds.observe({ phase: "detect", trigger: "silent" }, 0.75);
    metrics.failoverSeconds.observe({ phase: "route", trigger: "silent" }, 0.25);
    const counted = [countedBetween(NO_COUNTERS, await sampleOf(metrics))];
    const found = badTime(OBJECTIVES, { lengthMs: 10_000, counted, hasLeader: true, probesWrites: true });
    expect(found.get("Availability")).toBeCloseTo(1_000);
  });

  test("of an engine that cannot be probed is all, or none with a leader", async () => {
    expect(await bad([], { probesWrites: false })).toMatchObject({ Availability: 0 });
    expect(await bad([], { probesWrites: false, hasLeader: false })).toMatchObject({ Availability: 10_000 });
  });

  test.each([
    [300, 100, 2_500],
    [0, 400, 10_000],
    [0, 1, 500], // nobody calls an outage what one client met once
    [0, 0, 0],
  ])("with %d requests answered and %d failed", async (served, failed, badMs) => {
    const metrics = newAgent();
    const before = await sampleOf(metrics);
    requestMetrics(metrics.registry)({ served, failed });
    const counted = [countedBetween(before, await sampleOf(metrics)), NO_COUNTERS];
    const interval = { lengthMs: 10_000, counted, hasLeader: true, probesWrites: true };
    expect(badTime([{ source: "Agents", name: "Requests", allowed: 0.001 }], interval).get("Requests")).toBeCloseTo(
      badMs,
    );
  });

  test("with slow writes counts by the share of writes, though reads are fast", async () => {
    expect((await bad([...times(5), ...times(5, { writeSeconds: 0.5 })]))["Latency"]).toBeCloseTo(5_000);
  });

  test("with slow lease writes counts against the API server alone", async () => {
    const found = await bad([...times(5), ...times(5, { leaseSeconds: 0.9 })]);
    expect(found["ApiLatency"]).toBeCloseTo(5_000);
    expect(found).toMatchObject({ Availability: 0, Latency: 0, Errors: 0 });
  });
});
