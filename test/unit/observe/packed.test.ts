import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, isSameJson } from "../../../src/build/hash.ts";
import { Packing } from "../../../src/observe/packed.ts";
import { contains } from "../../../src/plan/difference.ts";

const ownerOf = (cluster: string, member: string) => ({
  name: member,
  namespace: "shop",
  uid: `set-${member}`,
  resourceVersion: "1",
  labels: { "quorate.io/cluster": cluster },
  annotations: { "quorate.io/template-hash": `hash-of-${cluster}` },
  ownerReferences: [
    { apiVersion: "v1", kind: "ClusterSpec", name: cluster, uid: `uid-of-${cluster}`, controller: true },
  ],
});

const templateOf = (cluster: string, member: string) => ({
  metadata: { labels: { member, cluster }, annotations: { hash: `hash-of-${cluster}` } },
  spec: {
    hostname: `${member}.${cluster}.shop.svc`,
    owner: `uid-of-${cluster}`,
    containers: [{ args: [1, null, ""] }],
  },
});

const textOf = (packed: object): unknown =>
  Object.getOwnPropertySymbols(packed)
    .map((symbol) => Reflect.get(packed, symbol) as unknown)
    .find((value) => typeof value === "string");

describe("a packed part", () => {
  const part = templateOf("orders", "orders-0");
  const packed = new Packing().pack(part, ownerOf("orders", "orders-0"));

  test("reads, compares, prints and copies as the part does", () => {
    expect(packed).toEqual(part);
    expect(JSON.stringify(packed)).toBe(JSON.stringify(part));
    expect(canonicalJson(packed)).toBe(canonicalJson(part));
    expect(isSameJson(packed, part)).toBe(true);
    expect(isSameJson(packed, { ...part, spec: {} })).toBe(false);
    expect(contains(packed, part)).toBe(true);
    expect(contains(packed, { spec: { hostname: "another" } })).toBe(false);
    expect({ ...packed }).toEqual(part);
  });

  test("is frozen, with all that is read of it", () => {
    expect(Object.isFrozen(packed)).toBe(true);
    expect(Object.isFrozen((packed as typeof part).spec.containers)).toBe(true);
  });

  test("shares its text with those that differ in names alone", () => {
    const packing = new Packing();
    const texts = ["orders", "c1", "payments"].flatMap((cluster) =>
      [0, 1].map((at) => {
        const member = `${cluster}-${at}`;
        return textOf(packing.pack(templateOf(cluster, member), ownerOf(cluster, member)));
      }),
    );
    expect(new Set(texts).size).toBe(1);
  });

  test("is what it was, whatever is in it and however its owner is called", () => {
    const word = fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("$&", "$1", "\\", "u0001", '"', ":", "{"));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), word, word, (value, cluster, member) => {
        // Names of Kubernetes have no control characters.
        fc.pre(!/\p{Cc}/u.test(cluster + member));
        expect(JSON.stringify(new Packing().pack(value, ownerOf(cluster, member)))).toBe(JSON.stringify(value));
      }),
    );
  });
});
