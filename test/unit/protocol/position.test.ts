// Which of two copies holds more, within a history and across forks.
import { describe, expect, test } from "vitest";
import { comparePositions, distanceBehind, isAtLeast, type Position } from "../../../src/agent/protocol/position.ts";

const at = (history: string, value: string, ...ancestors: readonly [string, string][]): Position => ({
  history,
  value,
  ancestors: ancestors.map(([name, fork]) => ({ history: name, value: fork })),
});

describe("comparePositions", () => {
  test.each([
    ["same place", at("1", "100"), at("1", "100"), "equal"],
    ["numbers, not text", at("1", "99"), at("1", "100"), "behind"],
    ["beyond 2^53", at("1", "9007199254740993"), at("1", "9007199254740992"), "ahead"],
    ["before the fork", at("1", "90"), at("2", "120", ["1", "100"]), "behind"],
    ["at the fork", at("1", "100"), at("2", "100", ["1", "100"]), "behind"],
    ["a tail past the fork", at("1", "150"), at("2", "120", ["1", "100"]), "older"],
    ["the fork's side", at("2", "120", ["1", "100"]), at("1", "150"), "newer"],
    ["the fork's side, nothing lost", at("2", "120", ["1", "100"]), at("1", "90"), "ahead"],
    ["two forks of one history", at("2", "120", ["1", "100"]), at("3", "130", ["1", "100"]), "incomparable"],
    ["unknown descent", at("2", "120"), at("1", "90"), "incomparable"],
  ])("%s", (_, a, b, expected) => {
    expect(comparePositions(a, b)).toBe(expected);
  });

  test("a newer history may lead past an older one's tail, incomparable ones never", () => {
    expect(isAtLeast(at("2", "120", ["1", "100"]), at("1", "150"))).toBe(true);
    expect(isAtLeast(at("1", "150"), at("2", "120", ["1", "100"]))).toBe(false);
    expect(isAtLeast(at("2", "120"), at("3", "1"))).toBe(false);
  });

  test("a distance exists only along one history", () => {
    expect(distanceBehind(at("1", "90"), at("1", "100"))).toBe(10n);
    expect(distanceBehind(at("1", "110"), at("1", "100"))).toBe(0n);
    expect(distanceBehind(at("1", "150"), at("2", "120", ["1", "100"]))).toBeNull();
  });
});
