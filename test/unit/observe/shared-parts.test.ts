import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SharedParts } from "../../../src/observe/shared-parts.ts";

const script = "#!/bin/bash\n".repeat(100);
const member = (name: string) => ({
  metadata: { name, ownerReferences: [{ kind: "ClusterSpec", name: "orders", uid: "u-1" }] },
  spec: { probe: { httpGet: { path: "/livez", port: 7412 } }, files: { "lib.sh": script.slice() } },
});

describe("SharedParts", () => {
  test("keeps equal parts of different objects once", () => {
    const parts = new SharedParts();
    const [a, b] = [parts.share(member("orders-0")), parts.share(member("orders-1"))];
    expect(a.metadata).not.toBe(b.metadata);
    expect(a.metadata.ownerReferences).toBe(b.metadata.ownerReferences);
    expect(a.spec.probe).toBe(b.spec.probe);
  });

  test("never changes a value, nor takes one for another", () => {
    const parts = new SharedParts();
    fc.assert(
      fc.property(fc.array(fc.jsonValue({ maxDepth: 5 }), { maxLength: 20 }), (values) => {
        const before = structuredClone(values);
        const shared = values.map((value) => parts.share(value));
        expect(values).toEqual(before);
        expect(shared.map((value) => JSON.stringify(value))).toEqual(before.map((value) => JSON.stringify(value)));
      }),
    );
  });

  test("tells apart what prints alike by accident", () => {
    const parts = new SharedParts();
    for (const value of [
      { a: "1" },
      { a: 1 },
      ["a", 1],
      { 0: "a", 1: 1 },
      {},
      [],
      "[]",
      null,
      [null],
      { "a:1,b": 2 },
      { a: 1, b: 2 },
    ]) {
      expect(parts.share({ value })).toEqual({ value });
    }
  });

  test("forgets what was not seen for long, so that its memory is bounded", () => {
    const parts = new SharedParts();
    const first = parts.share({ at: -1 });
    expect(parts.share({ at: -1 })).toBe(first);
    for (let at = 0; at < 20_000; at += 1) parts.share({ at });
    expect(parts.share({ at: -1 })).not.toBe(first);
  });
});
