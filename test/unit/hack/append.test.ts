// The checker of append workloads: it says nothing of what a serial store shows, and finds each way in which a store can be wrong.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check } from "../../../hack/append/check.ts";
import { type Append, formatHistory, parseHistory, type Transaction } from "../../../hack/append/history.ts";

/** A transaction in short: `reads` and `appends` of lists by name. */
interface Short {
  readonly client?: number;
  readonly outcome?: Transaction["outcome"];
  readonly at?: readonly [startMs: number, endMs: number];
  readonly reads?: Readonly<Record<string, readonly number[]>>;
  readonly appends?: Readonly<Record<string, number | readonly number[]>>;
}

/** A history; whose times are not told overlap with everything. */
function history(...short: readonly Short[]): Transaction[] {
  return short.map(({ client = 0, outcome = "ok", at: [startMs, endMs] = [0, 1000], reads = {}, appends = {} }) => ({
    client,
    outcome,
    startMs,
    endMs,
    reads: new Map(Object.entries(reads)),
    appends: Object.entries(appends).flatMap(([list, values]) =>
      [values].flat().map((value): Append => ({ list, value })),
    ),
  }));
}

const namesOf = (transactions: readonly Transaction[]): string[] => [
  ...new Set(check(transactions).map(({ name }) => name)),
];

describe("what is wrong with one list", () => {
  it.each<[string, Transaction[]]>([
    ["G1a", history({ outcome: "failed", appends: { x: 1 } }, { reads: { x: [1] } })],
    ["G1b", history({ appends: { x: [1, 2] } }, { reads: { x: [1] } }, { reads: { x: [1, 2] } })],
    ["from nowhere", history({ appends: { y: 1 } }, { reads: { x: [1] } })],
    ["duplicate", history({ appends: { x: 1 } }, { reads: { x: [1, 1] } })],
    [
      "incompatible orders",
      history({ appends: { x: 1 } }, { appends: { x: 2 } }, { reads: { x: [1, 2] } }, { reads: { x: [2] } }),
    ],
    ["turned around", history({ appends: { x: [1, 2] } }, { appends: { x: 3 } }, { reads: { x: [2, 1, 3] } })],
    ["internal", history({ reads: { x: [1] }, appends: { x: 1 } })],
    ["lost", history({ at: [0, 1], appends: { x: 1 } }, { at: [2, 3], reads: { x: [] } })],
  ])("%s", (name, transactions) => expect(namesOf(transactions)).toContain(name));

  it("what may have happened may be there, or not", () => {
    const maybe: Short = { outcome: "unknown", at: [0, 1], appends: { x: 1 } };
    expect(check(history(maybe, { at: [2, 3], reads: { x: [1] } }))).toEqual([]);
    expect(check(history(maybe, { at: [2, 3], reads: { x: [] } }))).toEqual([]);
  });

  it("but all of it, or nothing: in one list or in several", () => {
    const maybe = (appends: NonNullable<Short["appends"]>): Short => ({ outcome: "unknown", appends });
    expect(namesOf(history(maybe({ x: 1, y: 2 }), { reads: { x: [1], y: [] } }))).toEqual(["G-single"]);
    expect(namesOf(history(maybe({ x: [1, 2] }), { appends: { x: 3 } }, { reads: { x: [1, 3] } }))).toEqual(["G0"]);
  });

  it("and may happen later than its client waited", () => {
    const maybe: Short = { outcome: "unknown", at: [0, 1], appends: { x: 1 } };
    expect(check(history(maybe, { at: [2, 3], reads: { x: [] } }, { at: [4, 5], reads: { x: [1] } }))).toEqual([]);
  });
});

describe("cycles", () => {
  it.each<[string, Transaction[]]>([
    [
      "G0",
      history(
        { appends: { x: 1, y: 4 } },
        { appends: { x: 2, y: 3 } },
        { reads: { x: [1, 2] } },
        { reads: { y: [3, 4] } },
      ),
    ],
    ["G1c", history({ reads: { y: [2] }, appends: { x: 1 } }, { reads: { x: [1] }, appends: { y: 2 } })],
    [
      "G-single", // a lost update: both saw nothing, and both added
      history(
        { reads: { x: [] }, appends: { x: 1 } },
        { reads: { x: [] }, appends: { x: 2 } },
        { reads: { x: [1, 2] } },
      ),
    ],
    [
      "G-single", // a snapshot that is none
      history({ appends: { x: 1, y: 2 } }, { reads: { x: [1], y: [] } }, { reads: { y: [2] } }),
    ],
    [
      "G2", // write skew
      history(
        { reads: { x: [], y: [] }, appends: { x: 1 } },
        { reads: { x: [], y: [] }, appends: { y: 2 } },
        { reads: { x: [1], y: [2] } },
      ),
    ],
    [
      "G-single, in time",
      history({ at: [0, 1], appends: { x: 1 } }, { at: [2, 3], reads: { x: [] } }, { at: [0, 9], reads: { x: [1] } }),
    ],
    [
      "G0, in time",
      history(
        { at: [0, 1], appends: { x: 2 } },
        { at: [2, 3], appends: { x: 1 } },
        { at: [4, 5], reads: { x: [1, 2] } },
      ),
    ],
    [
      "G1c, in time", // what is to come
      history({ at: [0, 1], reads: { x: [1] } }, { at: [2, 3], appends: { x: 1 } }),
    ],
  ])("%s", (name, transactions) => expect(namesOf(transactions)).toEqual([name]));

  it("tells who comes before whom, and why", () => {
    const [anomaly] = check(
      history(
        { reads: { x: [] }, appends: { x: 1 } },
        { reads: { x: [] }, appends: { x: 2 } },
        { reads: { x: [1, 2] } },
      ),
    );
    expect(anomaly?.explanation).toMatch(/T1 .*before T0: it did not see what T0 added to x/);
    expect(anomaly?.explanation).toMatch(/T0 .*before T1: T1 added to x behind it/);
  });

  it("in time are told in few words, however much happened meanwhile", () => {
    const steps = Array.from({ length: 200 }, (_, n): Short => ({ at: [2 * n, 2 * n + 1], appends: { x: n } }));
    const [anomaly] = check(history(...steps, { at: [900, 901], reads: { x: [0] } }));
    expect(anomaly?.name).toBe("lost");
    const all = { x: steps.map((_, n) => n) };
    const seen = history(...steps, { at: [900, 901], reads: all }, { at: [902, 903], reads: { x: [0] } });
    expect(check(seen).map(({ explanation }) => explanation.split("\n").length)).toEqual([2]);
  });

  it("a stale read is found however many transactions lie between", () => {
    const steps = Array.from({ length: 2000 }, (_, n): Short => ({ at: [2 * n, 2 * n + 1], appends: { x: n } }));
    const all = Array.from({ length: 2000 }, (_, n) => n);
    const after = (n: number): readonly [number, number] => [5000 + n, 5000 + n];
    expect(check(history(...steps, { at: after(0), reads: { x: all } }))).toEqual([]);
    expect(
      namesOf(history(...steps, { at: after(0), reads: { x: all } }, { at: after(1), reads: { x: all.slice(0, 7) } })),
    ).toEqual(["G-single, in time"]);
  });
});

describe("a history as text", () => {
  it("gives the same history", () => {
    const whole = history({ reads: { x: [], y: [3, 4] }, appends: { x: [1, 2] } }, { outcome: "unknown", client: 2 });
    expect(parseHistory(formatHistory(whole))).toEqual(whole);
    expect(parseHistory("")).toEqual([]);
  });
});

/** What a client does, and when it takes effect between its start and its end. */
interface Drawn {
  readonly client: number;
  readonly durationMs: number;
  readonly effect: number;
  readonly outcome: "ok" | "failed" | "unknown" | "unknown, not made";
  readonly reads: readonly string[];
  readonly appends: readonly string[];
}

const list = fc.constantFrom("x", "y", "z");
const drawn: fc.Arbitrary<Drawn> = fc.record({
  client: fc.nat(3),
  durationMs: fc.integer({ min: 1, max: 20 }),
  effect: fc.double({ min: 0, max: 1, noNaN: true }),
  outcome: fc.oneof(
    { weight: 8, arbitrary: fc.constant("ok" as const) },
    { weight: 1, arbitrary: fc.constantFrom("failed" as const, "unknown" as const, "unknown, not made" as const) },
  ),
  reads: fc.uniqueArray(list, { maxLength: 2 }),
  appends: fc.array(list, { minLength: 1, maxLength: 3 }),
});

/** A store that carries out one transaction after the other, at a moment within each. */
function serially(transactions: readonly Drawn[]): Transaction[] {
  const free = new Map<number, number>();
  let value = 0;
  const timed = transactions.map(({ client, durationMs, effect, outcome, reads, appends }) => {
    const startMs = (free.get(client) ?? 0) + 1;
    const endMs = startMs + durationMs;
    free.set(client, endMs);
    const made = appends.map((name): Append => ({ list: name, value: ++value }));
    return { client, startMs, endMs, atMs: startMs + effect * durationMs, outcome, names: reads, appends: made };
  });
  const held = new Map<string, readonly number[]>();
  const seen = new Map<unknown, ReadonlyMap<string, readonly number[]>>();
  for (const one of timed.toSorted((a, b) => a.atMs - b.atMs)) {
    seen.set(one, new Map(one.names.map((name) => [name, held.get(name) ?? []] as const)));
    if (one.outcome === "failed" || one.outcome === "unknown, not made") continue;
    for (const { list: name, value: added } of one.appends) held.set(name, [...(held.get(name) ?? []), added]);
  }
  const endMs = Math.max(0, ...free.values());
  return [
    ...timed.map((one): Transaction => {
      const { client, startMs, endMs: ended, outcome, appends } = one;
      const reads = outcome === "ok" ? (seen.get(one) ?? new Map<string, number[]>()) : new Map<string, number[]>();
      return {
        client,
        startMs,
        endMs: ended,
        outcome: outcome === "unknown, not made" ? "unknown" : outcome,
        reads,
        appends,
      };
    }),
    { client: 9, outcome: "ok", startMs: endMs + 1, endMs: endMs + 2, reads: held, appends: [] },
  ];
}

describe("histories of a serial store", () => {
  const transactions = fc.array(drawn, { minLength: 2, maxLength: 40 });

  it("have nothing wrong with them", () => {
    fc.assert(
      fc.property(transactions, (all) => {
        expect(check(serially(all))).toEqual([]);
      }),
    );
  });

  it("show when an acknowledged append is taken out of everything that was read", () => {
    fc.assert(
      fc.property(transactions, fc.nat(), (all, pick) => {
        const whole = serially(all);
        const acked = whole.filter(({ outcome }) => outcome === "ok").flatMap(({ appends }) => appends);
        const gone = acked[pick % Math.max(1, acked.length)];
        fc.pre(gone !== undefined);
        const without = (values: readonly number[]): readonly number[] =>
          values.filter((value) => value !== gone.value);
        const damaged = whole.map((one) => ({
          ...one,
          reads: new Map([...one.reads].map(([name, values]) => [name, without(values)] as const)),
        }));
        expect(namesOf(damaged)).toContain("lost");
      }),
    );
  });

  it("show when the last read comes from before an append that was acknowledged", () => {
    fc.assert(
      fc.property(transactions, list, (all, name) => {
        const whole = serially(all);
        const last = whole.at(-1);
        const values = last?.reads.get(name) ?? [];
        fc.pre(last !== undefined && values.length > 0);
        const acked = whole.some(
          ({ outcome, appends }) => outcome === "ok" && appends.some(({ value }) => value === values.at(-1)),
        );
        fc.pre(acked);
        const stale: Transaction = {
          ...last,
          startMs: last.endMs + 1,
          endMs: last.endMs + 2,
          reads: new Map([[name, values.slice(0, -1)]]),
        };
        const found = namesOf([...whole, stale]);
        // Of the last transaction it may see a part.
        expect(found.some((one) => one === "G1b" || one.endsWith("in time"))).toBe(true);
      }),
    );
  });
});
