// Two ways to say that content is equal must agree: one hashes it, the other compares it in place.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, isSameJson } from "../../../src/build/hash.ts";

/** Small enough that two of them are often the same, or nearly so. */
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>(undefined, null, true, 0, 1, "", "a"),
    fc.array(tie("value"), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom("a", "b", "c"), tie("value"), { maxKeys: 3 }),
  ),
}));

test("values are the same exactly when their canonical JSON is", () => {
  let same = 0;
  fc.assert(
    fc.property(value, value, (a, b) => {
      const [left, right] = [{ field: [a] }, { field: [b] }];
      const isSame = canonicalJson(left) === canonicalJson(right);
      if (isSame) same += 1;
      expect(isSameJson(left, right)).toBe(isSame);
    }),
    { numRuns: 5_000 },
  );
  expect(same).toBeGreaterThan(100);
});

test("the order of fields and fields that are undefined make no difference, at any depth", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), value), (fields) => {
      const turned = Object.fromEntries(Object.entries(fields).toReversed());
      expect(isSameJson({ inner: fields }, { inner: { ...turned, absent: undefined }, none: undefined })).toBe(
        canonicalJson({ inner: fields }) === canonicalJson({ inner: turned }),
      );
    }),
  );
});
