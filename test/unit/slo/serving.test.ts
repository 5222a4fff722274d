// How many members must be ready where no agent looks at them.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { enoughMembers, heldTo } from "../../../src/slo/serving.ts";

describe("enough members", () => {
  test.each([
    [0, 0],
    [1, 1],
    [2, 1],
    [3, 2],
    [10, 9],
    [11, 9],
    [20, 18],
    [1000, 900],
  ])("of %d are %d", (members, enough) => {
    expect(enoughMembers(members)).toBe(enough);
  });
});

describe("the number that a cluster is held to", () => {
  test.each([
    { why: "is the wanted one while nobody knows better", before: undefined, wanted: 3, ready: 0, held: 3 },
    { why: "stays while more are on their way", before: 3, wanted: 10, ready: 8, held: 3 },
    { why: "grows once enough of them are there", before: 3, wanted: 10, ready: 9, held: 10 },
    { why: "falls at once", before: 10, wanted: 3, ready: 0, held: 3 },
    { why: "is none of a cluster that shall not serve", before: 3, wanted: 0, ready: 0, held: 0 },
    { why: "is none while the first ones start", before: 0, wanted: 3, ready: 1, held: 0 },
  ])("$why", ({ before, wanted, ready, held }) => {
    expect(heldTo(before, wanted, ready)).toBe(held);
  });

  test("lets no wish alone make a cluster serve worse, and forgets no member that was lost", () => {
    const count = fc.integer({ min: 0, max: 50 });
    fc.assert(
      fc.property(count, count, count, (before, wanted, ready) => {
        const wasServed = ready >= enoughMembers(before);
        const isServed = ready >= enoughMembers(heldTo(before, wanted, ready));
        if (wasServed) expect(isServed).toBe(true);
        else if (wanted >= before) expect(isServed).toBe(false);
      }),
    );
  });
});
