// Advice about shards by tables: how they are loaded and filled, and what is said of it.
import { describe, expect, test } from "vitest";
import { adviseLoad, adviseShards, adviseSize, type ShardLoad } from "../../../src/advice/shards.ts";

const MI = 2 ** 20;

function shards(each: readonly Partial<ShardLoad>[]): ShardLoad[] {
  const usual = { operationsPerSecond: 1000, keys: 10_000, bytes: 200 * MI, busiest: { slot: 7, share: 0.02 } };
  return each.map((one, at) => ({ shard: `cache-s${at}`, ...usual, ...one }));
}

describe("load", () => {
  const EVEN = { operationsPerSecond: 1000 };
  test.each([
    { why: "all alike", each: [EVEN, EVEN, EVEN], verdict: "Keep", settings: [] },
    { why: "one a little above", each: [EVEN, EVEN, { operationsPerSecond: 1800 }], verdict: "Keep", settings: [] },
    {
      why: "one far above, over many slots",
      each: [EVEN, EVEN, { operationsPerSecond: 4000 }],
      verdict: "Raise",
      settings: [["spec.sharding.shards", 6]],
    },
    {
      why: "one far above, by one slot",
      each: [EVEN, EVEN, { operationsPerSecond: 4000, busiest: { slot: 16_013, share: 0.8 } }],
      verdict: "Change",
      settings: [],
    },
    {
      why: "hardly anything at all",
      each: [{ operationsPerSecond: 0 }, { operationsPerSecond: 90 }],
      verdict: "Unknown",
      settings: [],
    },
    { why: "one alone is its own mean", each: [EVEN], verdict: "Keep", settings: [] },
    {
      why: "one that was not looked at twice",
      each: [EVEN, { operationsPerSecond: undefined }],
      verdict: "Unknown",
      settings: [],
    },
    { why: "none", each: [], verdict: "Unknown", settings: [] },
  ])("$why: $verdict", ({ each, verdict, settings }) => {
    expect(adviseLoad(shards(each))).toMatchObject({ subject: "Load", verdict, settings });
  });

  test("a hot slot is named, with its share and what helps", () => {
    const each = [EVEN, { operationsPerSecond: 9000, busiest: { slot: 16_013, share: 0.8 } }];
    expect(adviseLoad(shards(each)).found).toBe(
      "cache-s1 carries out 9000 operations a second, 1.8 times the mean of 2 shards; 80 % of that is about slot 16013, which no number of shards divides: spread its keys over other names, or read them from followers",
    );
  });

  test("no more shards are asked for than there can be", () => {
    const each = [{ operationsPerSecond: 99_000 }, ...Array.from({ length: 63 }, () => EVEN)];
    expect(adviseLoad(shards(each))).toMatchObject({ verdict: "Change", settings: [] });
  });
});

describe("size", () => {
  test.each([
    { why: "all alike", each: [{}, {}, {}], verdict: "Keep", settings: [] },
    { why: "little in all of them", each: [{ bytes: MI }, { bytes: 90 * MI }], verdict: "Keep", settings: [] },
    {
      why: "one with more keys",
      each: [{}, {}, { bytes: 800 * MI, keys: 40_000 }],
      verdict: "Raise",
      settings: [["spec.sharding.shards", 6]],
    },
    { why: "one with larger keys", each: [{}, {}, { bytes: 800 * MI }], verdict: "Change", settings: [] },
    { why: "one that does not say", each: [{}, { bytes: undefined }], verdict: "Unknown", settings: [] },
  ])("$why: $verdict", ({ each, verdict, settings }) => {
    expect(adviseSize(shards(each))).toMatchObject({ subject: "Size", verdict, settings });
  });
});

test("load is told first, then size", () => {
  expect(adviseShards(shards([{}, {}])).map(({ subject }) => subject)).toEqual(["Load", "Size"]);
});
