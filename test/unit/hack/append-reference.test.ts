// The checker against a reference that tries every order: of short histories of a careless store it says that they are wrong exactly when
// no order of their transactions explains them.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check } from "../../../hack/append/check.ts";
import type { Append, Transaction } from "../../../hack/append/history.ts";

/** Whether some order of all that was acknowledged, and of any part of what is not known, agrees with all reads and with time. */
function isExplained(history: readonly Transaction[]): boolean {
  const search = (left: readonly Transaction[], held: ReadonlyMap<string, readonly number[]>): boolean => {
    if (!left.some(({ outcome }) => outcome === "ok")) return true;
    return left.some((next) => {
      if (left.some((other) => other.outcome === "ok" && other.endMs < next.startMs)) return false;
      const isSo = [...next.reads].every(([list, values]) => String(held.get(list) ?? []) === String(values));
      if (!isSo) return false;
      const after = new Map(held);
      for (const { list, value } of next.appends) after.set(list, [...(after.get(list) ?? []), value]);
      return search(
        left.filter((other) => other !== next),
        after,
      );
    });
  };
  return search(
    history.filter(({ outcome }) => outcome !== "failed"),
    new Map(),
  );
}

const LISTS = ["x", "y"] as const;

/** One thing that a transaction does, and when: in a careless store each at a moment of its own. */
interface Step {
  readonly list: (typeof LISTS)[number];
  readonly at: number;
  /** What the store makes of an append. */
  readonly isMade: boolean;
}

const step = (made: number): fc.Arbitrary<Step> =>
  fc.record({
    list: fc.constantFrom(...LISTS),
    at: fc.nat(9),
    isMade: fc.oneof({ weight: made, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  });

interface Drawn {
  readonly outcome: Transaction["outcome"];
  readonly from: number;
  readonly isAtOnce: boolean;
  readonly reads: readonly Step[];
  readonly appends: readonly Step[];
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  outcome: fc.oneof(
    { weight: 4, arbitrary: fc.constant("ok" as const) },
    { weight: 1, arbitrary: fc.constantFrom("failed" as const, "unknown" as const) },
  ),
  from: fc.nat(20),
  isAtOnce: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  reads: fc.uniqueArray(step(1), { maxLength: 2, selector: ({ list }) => list }),
  appends: fc.array(step(12), { maxLength: 3 }),
});

/** What clients of the store saw. @param isReadAtLast - Whether everything is read once more in the end. */
function carelessly(transactions: readonly Drawn[], isReadAtLast: boolean): Transaction[] {
  const held = new Map<string, readonly number[]>();
  const moments: { readonly ms: number; readonly run: () => void }[] = [];
  let value = 0;
  const history = transactions.map(({ outcome, from, isAtOnce, reads, appends }): Transaction => {
    const seen = new Map<string, readonly number[]>();
    const made = appends.map(({ list }): Append => ({ list, value: ++value }));
    // What fails leaves nothing, most of the time.
    const isUndone = outcome === "failed" && isAtOnce;
    const once = appends[0]?.at ?? 0;
    for (const { list, at } of reads) {
      const run = (): void => void seen.set(list, held.get(list) ?? []);
      if (outcome === "ok") moments.push({ ms: from + (isAtOnce ? once : at), run });
    }
    for (const [index, append] of made.entries()) {
      const { at, isMade } = appends[index] ?? { at: 0, isMade: false };
      const run = (): void => void held.set(append.list, [...(held.get(append.list) ?? []), append.value]);
      if (isMade && !isUndone) moments.push({ ms: from + (isAtOnce ? once : at), run });
    }
    return { client: 0, outcome, startMs: from, endMs: from + 9.5, reads: seen, appends: made };
  });
  for (const { run } of moments.toSorted((a, b) => a.ms - b.ms)) run();
  const last: Transaction = { client: 1, outcome: "ok", startMs: 90, endMs: 91, reads: held, appends: [] };
  return isReadAtLast ? [...history, last] : history;
}

describe("histories of a careless store", () => {
  it("are wrong exactly when no order explains them", () => {
    const counts = { right: 0, wrong: 0 };
    fc.assert(
      fc.property(fc.array(drawn, { minLength: 2, maxLength: 5 }), fc.boolean(), (transactions, isReadAtLast) => {
        const history = carelessly(transactions, isReadAtLast);
        const isRight = isExplained(history);
        counts[isRight ? "right" : "wrong"]++;
        expect(check(history).length === 0).toBe(isRight);
      }),
      { numRuns: 2000 },
    );
    expect(Math.min(counts.right, counts.wrong)).toBeGreaterThan(500);
  });
});
