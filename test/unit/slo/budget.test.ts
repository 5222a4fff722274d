// Budgets and burn rates: the table of the SRE Workbook, and what a verdict says.
import { describe, expect, test } from "vitest";
import { ServiceLevel } from "../../../src/api/objectives.ts";
import { type BudgetState, coarseRemaining, judgeBudget } from "../../../src/slo/budget.ts";
import { addBad, type History, NO_HISTORY } from "../../../src/slo/history.ts";
import { BURN_UNITS, formatDuration, type Objective, objectivesOf, windowMsOf } from "../../../src/slo/objectives.ts";
import { judgeBudgets, smallestRemaining } from "../../../src/slo/verdict.ts";

const DAY_MS = 86_400_000;
const WINDOW_MS = 30 * DAY_MS;
const NOW_MS = Date.parse("2030-01-31T00:00:00Z");
const THREE_NINES: Objective = { source: "Agents", name: "Availability", allowed: 0.001 };

/** A steady share of bad time over the last `lastMs`. */
function steady(share: number, lastMs: number): History {
  let history = NO_HISTORY;
  const stepMs = 60_000;
  for (let atMs = NOW_MS - lastMs + stepMs; atMs <= NOW_MS; atMs += stepMs) {
    history = addBad(history, atMs - 1, share * stepMs, WINDOW_MS);
  }
  return history;
}

const judge = (history: History, nowMs = NOW_MS) => judgeBudget(THREE_NINES, history, { nowMs, windowMs: WINDOW_MS });
const HOUR_MS = 3_600_000;

describe("the alert", () => {
  test.each([
    { burn: 15, lastMs: HOUR_MS, alert: "Page" },
    { burn: 14, lastMs: HOUR_MS, alert: "None" },
    { burn: 6.5, lastMs: 6 * HOUR_MS, alert: "Page" },
    { burn: 5.5, lastMs: 6 * HOUR_MS, alert: "None" },
    { burn: 3.2, lastMs: DAY_MS, alert: "Ticket" },
    { burn: 2.8, lastMs: DAY_MS, alert: "None" },
    { burn: 1.1, lastMs: 3 * DAY_MS, alert: "Ticket" },
    { burn: 0.9, lastMs: 3 * DAY_MS, alert: "None" },
  ])("of a burn of $burn over $lastMs ms is $alert", ({ burn, lastMs, alert }) => {
    expect(judge(steady(burn * THREE_NINES.allowed, lastMs)).alert).toBe(alert);
  });

  test("of a total outage pages within a minute, and ends minutes after it", () => {
    const outage = addBad(NO_HISTORY, NOW_MS, 53_000, WINDOW_MS);
    expect(judge(outage, NOW_MS + 1).alert).toBe("Page");
    expect(judge(outage, NOW_MS + 7 * 60_000).alert).toBe("None");
    expect(judge(addBad(NO_HISTORY, NOW_MS, 50_000, WINDOW_MS), NOW_MS + 1).alert).toBe("None");
  });
});

describe("the budget", () => {
  test("of three nines over 30 days is 43 minutes and 12 seconds", () => {
    const after = (seconds: number) =>
      judge(addBad(NO_HISTORY, NOW_MS, seconds * 1000, WINDOW_MS), NOW_MS + 1).remaining;
    expect(after(0)).toBe(1);
    expect(after(1296)).toBeCloseTo(0.5);
    expect(after(2592)).toBeCloseTo(0);
    expect(after(5184)).toBeCloseTo(-1);
  });

  test("is judged by the worse of two sources", () => {
    const other = {
      badShares: new Map([
        [1, 0.02],
        [1 / 12, 0.02],
        [720, 0.0005],
      ]),
    };
    const state = judgeBudget(THREE_NINES, steady(0.001, DAY_MS), { nowMs: NOW_MS, windowMs: WINDOW_MS, other });
    expect(state).toMatchObject({ alert: "Page" });
    expect(state.remaining).toBeCloseTo(0.5);
    expect(
      judgeBudget(THREE_NINES, steady(0.9, DAY_MS), { nowMs: NOW_MS, windowMs: WINDOW_MS, other }).remaining,
    ).toBeLessThan(0);
  });

  test("scales its windows with the objective's", () => {
    const windows = (days: number) =>
      judgeBudget(THREE_NINES, NO_HISTORY, { nowMs: NOW_MS, windowMs: days * DAY_MS }).burns.map(
        ({ window }) => window,
      );
    expect(windows(30)).toEqual(["5m", "30m", "1h", "2h", "6h", "1d", "3d"]);
    expect(windows(7)).toEqual(["1m10s", "7m", "14m", "28m", "1h24m", "5h36m", "16h48m"]);
    expect(BURN_UNITS).toHaveLength(7);
  });

  test.each([
    [1, "100%"],
    [0.999, ">=90%"],
    [0.75, ">=75%"],
    [0.3, ">=25%"],
    [0.05, ">=5%"],
    [0.01, "<5%"],
    [0, "0%"],
    [-3, "0%"],
  ] as const)("of %d is told as %s", (remaining, told) => {
    // biome-ignore format: a table
    expect(coarseRemaining(remaining)).toBe(told);
  });
});

describe("objectives", () => {
  test("are those that are stated, availability in any case", () => {
    expect(objectivesOf(ServiceLevel.parse({}), "ActivePassive")).toEqual([
      { source: "Agents", name: "Availability", allowed: expect.closeTo(0.001) },
    ]);
    const all = ServiceLevel.parse({
      window: "28d",
      dataPlane: {
        availabilityPercent: "99.95",
        requestErrorPercent: "0.2",
        latencyP95Milliseconds: 200,
        errorPercent: "0.1",
      },
      controlPlane: { apiLatencyP95Milliseconds: 500 },
    });
    expect(objectivesOf(all, "Consensus")).toEqual([
      { source: "Agents", name: "Availability", allowed: expect.closeTo(0.0005) },
      { source: "Agents", name: "Requests", allowed: expect.closeTo(0.002) },
      { source: "Agents", name: "Latency", allowed: 0.05, limitMs: 200 },
      { source: "Agents", name: "Errors", allowed: expect.closeTo(0.001) },
      { source: "Agents", name: "ApiLatency", allowed: 0.05, limitMs: 500 },
    ]);
    expect(windowMsOf(all)).toBe(28 * DAY_MS);
  });

  describe("of the user's own", () => {
    const queries = { badQuery: "bad[$(WINDOW)]", totalQuery: "all[$(WINDOW)]" };
    const slo = ServiceLevel.parse({
      dataPlane: { availabilityPercent: "99" },
      objectives: [
        { name: "checkout", targetPercent: "99.5", ...queries },
        { name: "search", targetPercent: "95", badRatioQuery: "slow[$(WINDOW)]" },
      ],
    });
    const own = [
      { source: "Queries", name: "checkout", allowed: expect.closeTo(0.005), queries },
      { source: "Queries", name: "search", allowed: 0.05, queries: { badRatioQuery: "slow[$(WINDOW)]" } },
    ];

    test.each([
      ["ActivePassive", [{ source: "Agents", name: "Availability", allowed: 0.01 }, ...own]],
      ["Stateless", [{ source: "Pods", name: "Availability", allowed: 0.01 }, ...own]],
      // Its shards have them.
      ["Sharded", [{ source: "Agents", name: "Availability", allowed: 0.01 }]],
    ] as const)("come last, in topology %s", (topology, objectives) => {
      expect(objectivesOf(slo, topology)).toEqual(objectives);
    });
  });

  test.each([
    [0, "0s"],
    [1_000, "1s"],
    [90_500, "1m31s"],
    [DAY_MS, "1d"],
    [DAY_MS + 1_000, "1d1s"],
  ] as const)("durations: %d ms is %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe("the verdict over all objectives", () => {
  const state = (change: Partial<BudgetState>): BudgetState => ({
    name: "Availability",
    remaining: 0.8,
    burns: [],
    alert: "None",
    ...change,
  });

  test.each([
    {
      budgets: undefined,
      missing: "nobody answers",
      want: "Unknown NoData",
      says: "cannot be judged: nobody answers.",
    },
    { budgets: [state({})], want: "True WithinBudget", says: "Availability >=75%" },
    {
      budgets: [state({}), state({ name: "Errors", remaining: 0 })],
      want: "False BudgetExhausted",
      says: "of Errors is spent",
    },
    { budgets: [state({ alert: "Ticket" })], want: "False BudgetBurning", says: "Availability (Ticket)" },
    {
      budgets: [state({})],
      missing: "objective checkout has no data: nobody answers",
      want: "Unknown NoData",
      says: "cannot be judged: objective checkout has no data: nobody answers.",
    },
    // What is bad is so, whatever else is not known.
    {
      budgets: [state({ remaining: 0 })],
      missing: "objective checkout has no data: nobody answers",
      want: "False BudgetExhausted",
      says: "of Availability is spent",
    },
  ] as const)("$want", ({ budgets, want, says, missing = "" }) => {
    const verdict = judgeBudgets(budgets, missing);
    expect(`${verdict.status} ${verdict.reason}`).toBe(want);
    expect(verdict.message).toContain(says);
  });

  test("prints the budget that is nearest to its end", () => {
    expect(smallestRemaining([state({}), state({ remaining: 0.11 })])).toBe(">=10%");
    expect(smallestRemaining([])).toBeUndefined();
  });
});
