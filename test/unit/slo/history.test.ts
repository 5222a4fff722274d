// Bad time, remembered in steps: nothing is lost within a window, nothing counts after it, and what is kept is bounded.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addBad,
  badMsWithin,
  decodeHistories,
  encodeHistories,
  type History,
  NO_HISTORY,
} from "../../../src/slo/history.ts";
import { BURN_UNITS, UNITS_PER_WINDOW } from "../../../src/slo/objectives.ts";

const WINDOW_MS = 30 * 86_400_000;
const UNIT_MS = WINDOW_MS / UNITS_PER_WINDOW;
const START_MS = Date.parse("2030-01-01T00:00:00Z");

interface Bad {
  readonly afterMs: number;
  readonly badMs: number;
}

const anyBads = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 3 * UNIT_MS }), badMs: fc.integer({ min: 1, max: 10_000 }) }),
  { maxLength: 60 },
);

/** Takes everything in, in order. @returns the history and the times at which it was taken. */
function replay(bads: readonly Bad[]): { history: History; nowMs: number; at: { atMs: number; badMs: number }[] } {
  let nowMs = START_MS;
  let history = NO_HISTORY;
  const at: { atMs: number; badMs: number }[] = [];
  for (const { afterMs, badMs } of bads) {
    nowMs += afterMs;
    history = addBad(history, nowMs, badMs, WINDOW_MS);
    at.push({ atMs: nowMs, badMs });
  }
  return { history, nowMs, at };
}

const UNITS = [...BURN_UNITS, UNITS_PER_WINDOW];

describe("bad time within a window", () => {
  test("is all that was bad in it, and at most one step more", () => {
    fc.assert(
      fc.property(anyBads, fc.constantFrom(...UNITS), (bads, units) => {
        const { history, nowMs, at } = replay(bads);
        const sumSince = (ms: number) => at.filter(({ atMs }) => atMs > ms).reduce((sum, { badMs }) => sum + badMs, 0);
        const found = badMsWithin(history, nowMs, units, WINDOW_MS);
        const fromMs = nowMs - units * UNIT_MS;
        const stepMs = 24 * UNIT_MS; // of the coarsest tier
        expect(found).toBeLessThanOrEqual(sumSince(fromMs - stepMs) + 1e-6);
        expect(found).toBeGreaterThanOrEqual(sumSince(fromMs + stepMs) - 1e-6);
      }),
    );
  });

  test("is exact for what happened in whole steps", () => {
    const history = addBad(addBad(NO_HISTORY, START_MS, 4_000, WINDOW_MS), START_MS + 120_000, 2_000, WINDOW_MS);
    const nowMs = START_MS + 180_000;
    expect(UNITS.map((units) => badMsWithin(history, nowMs, units, WINDOW_MS))).toEqual(UNITS.map(() => 6_000));
    expect(badMsWithin(history, START_MS + 7 * 60_000, 1 / 12, WINDOW_MS)).toBe(2_000);
  });

  test("is over when the window is over", () => {
    const history = addBad(NO_HISTORY, START_MS, 4_000, WINDOW_MS);
    expect(UNITS.map((units) => badMsWithin(history, START_MS + WINDOW_MS + 24 * UNIT_MS, units, WINDOW_MS))).toEqual(
      UNITS.map(() => 0),
    );
  });

  test("grows with the window", () => {
    fc.assert(
      fc.property(anyBads, (bads) => {
        const { history, nowMs } = replay(bads);
        const each = UNITS.toSorted((a, b) => a - b).map((units) => badMsWithin(history, nowMs, units, WINDOW_MS));
        // Tiers round differently at their far ends, by one step at most.
        expect(each.at(-1)).toBeGreaterThanOrEqual((each[0] ?? 0) - 1e-6);
      }),
    );
  });
});

test("what is remembered is bounded, however long it was bad", () => {
  let history = NO_HISTORY;
  for (let second = 0; second < 120 * 86_400; second += 300) {
    history = addBad(history, START_MS + second * 1000, 1_000, WINDOW_MS);
  }
  expect(history.map((tier) => tier.length)).toEqual([expect.any(Number), 37, 37, 31]);
  expect(encodeHistories({ Availability: history }).length).toBeLessThan(8_000);
});

describe("a record", () => {
  test("gives the histories back, to the second and the millisecond", () => {
    fc.assert(
      fc.property(anyBads, (bads) => {
        const { history } = replay(bads);
        const back = decodeHistories(encodeHistories({ Availability: history }))["Availability"];
        const flat = (tiers: History | undefined) =>
          tiers?.flat().map(({ startMs, badMs }) => [Math.round(startMs / 1000), badMs]);
        expect(flat(back)).toEqual(flat(history));
      }),
    );
  });

  test.each([undefined, "", "null", "[]", "{", '{"Availability":3}', '{"Availability":[[["x",1],[1]]]}'])(
    "that is %j is read as nothing bad",
    (text) => {
      expect(Object.values(decodeHistories(text)).flat(2)).toEqual([]);
    },
  );
});
