// R + W > N, for every set, every change of a set, and every chain of sets that is not proven yet.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Position } from "../../../src/agent/protocol/position.ts";
import {
  jointSet,
  mayLead,
  obstacleToLead,
  requiredSealed,
  unprovenAfter,
  wantedAck,
} from "../../../src/agent/protocol/quorum.ts";
import type { Intent, SyncSet } from "../../../src/agent/protocol/types.ts";

const MEMBERS = ["a", "b", "c", "d", "e"];
const intent: Intent = {
  members: MEMBERS,
  durability: { mode: "Quorum", whenDegraded: "Async" },
  maxLag: "0",
  paused: false,
  learners: [],
  bootstrapMember: null,
  switchover: null,
  forced: null,
};
const position: Position = { history: "1", value: "10", ancestors: [] };
const base: SyncSet = {
  epoch: 3,
  version: 1,
  leader: "a",
  mode: "Quorum",
  names: ["b", "c"],
  ack: 1,
  lineage: [1, 3],
  unproven: [],
};
const terms = { base, recover: false, pending: false, intent, leaderPosition: null, absent: null };
const answers = (...members: readonly string[]): Record<string, Position | null> =>
  Object.fromEntries(members.map((member) => [member, position]));

const sets = fc
  .record({ names: fc.subarray(MEMBERS, { minLength: 1 }), share: fc.double({ min: 0, max: 1, noNaN: true }) })
  .map(({ names, share }) => ({ mode: "Quorum" as const, names, ack: Math.max(1, Math.round(share * names.length)) }));

describe("sets", () => {
  test.each([
    ["Quorum", 1, 0],
    ["Quorum", 2, 1],
    ["Quorum", 3, 1],
    ["Quorum", 4, 2],
    ["Quorum", 5, 2],
    ["All", 3, 2],
    ["Async", 3, 0],
  ] as const)("%s of %i members: %i confirm", (mode, members, expected) => {
    expect(wantedAck(mode, members)).toBe(expected);
  });

  test("any R of the joint set meet any acknowledgement under the old and under the new set", () => {
    fc.assert(
      fc.property(sets, sets, fc.boolean(), (from, to, useNew) => {
        const joint = jointSet(from, to);
        const rule = useNew ? to : from;
        const confirmed = rule.names.slice(0, rule.ack);
        const without = joint.names.filter((name) => !confirmed.includes(name));
        // The most that can be sealed without meeting the acknowledgement is too few.
        expect(without.length).toBeLessThan(requiredSealed(joint));
      }),
    );
  });
});

describe("mayLead", () => {
  test.each([
    ["R of the names", answers("b", "c"), true],
    ["one name too few", answers("b"), false],
    ["the last leader's own copy", answers("a"), true],
    ["outsiders do not count", answers("b", "d", "e"), false],
    ["no readable copy counts for nothing", { ...answers("b"), c: null }, false],
    ["a copy that is ahead does not count", { ...answers("b"), c: { ...position, value: "11" } }, false],
  ])("%s", (_, given, expected) => {
    expect(mayLead(position, given, terms)).toBe(expected);
  });

  test("with whenDegraded Block a majority of the members must have answered", () => {
    const strict = { ...terms, intent: { ...intent, durability: { mode: "Quorum", whenDegraded: "Block" } as const } };
    expect(mayLead(position, answers("b", "c"), strict)).toBe(false);
    expect(mayLead(position, { ...answers("b", "c"), d: null }, strict)).toBe(true);
  });

  test("an earlier set binds until the newer one is proven", () => {
    const next: SyncSet = { ...base, epoch: 4, leader: "b", names: ["c"], unproven: unprovenAfter(base) };
    expect(mayLead(position, answers("c"), { ...terms, base: next })).toBe(false);
    expect(mayLead(position, answers("a", "c"), { ...terms, base: next })).toBe(true);
    expect(mayLead(position, answers("b"), { ...terms, base: next })).toBe(true);
    expect(mayLead(position, answers("c"), { ...terms, base: { ...next, unproven: [] } })).toBe(true);
  });

  test("a set that a newer one repeats is kept once", () => {
    const again = unprovenAfter({ ...base, unproven: unprovenAfter(base) });
    expect(again).toHaveLength(1);
  });

  test("after the register went back everybody is asked", () => {
    expect(mayLead(position, answers("a", "b", "c", "d"), { ...terms, recover: true })).toBe(false);
    expect(mayLead(position, answers(...MEMBERS), { ...terms, recover: true })).toBe(true);
  });

  test("a forced promotion does without those who are absent, and without nobody else", () => {
    const forced = { ...terms, absent: ["a", "d", "e"] };
    expect(mayLead(position, answers("b", "c"), forced)).toBe(true);
    expect(mayLead(position, answers("b"), forced)).toBe(false);
    expect(mayLead(position, { ...answers("b"), c: { ...position, value: "11" } }, forced)).toBe(false);
    expect(mayLead(position, answers("b", "c"), { ...forced, pending: true })).toBe(false);
  });

  test("without confirming standbys only the last leader itself will do", () => {
    const alone = { ...terms, base: { ...base, names: [], ack: 0 } };
    expect(mayLead(position, answers("b", "c", "d", "e"), alone)).toBe(false);
    expect(mayLead(position, answers("a"), alone)).toBe(true);
  });
});

describe("why nobody may lead", () => {
  const behind: Position = { history: "1", value: "9", ancestors: [] };
  const answered = { ...answers("b", "d", "e"), b: behind };
  const async: SyncSet = { ...base, mode: "Async", names: [], ack: 0 };
  const bound: Intent = { ...intent, durability: { mode: "Quorum", whenDegraded: "Block" } };

  test.each([
    {
      when: "the register went back",
      change: { recover: true },
      obstacle: { reason: "NotEveryoneAnswered", message: expect.stringContaining("silent: a, c") },
    },
    {
      when: "who must have it is silent",
      obstacle: {
        reason: "MayLackAcknowledged",
        message: "a may have acknowledged writes that whoever answered lacks: bring it back, or 1 of c",
      },
    },
    {
      when: "nobody had to have it",
      change: { base: async, leaderPosition: { ...position, history: "2" } },
      obstacle: { reason: "MayLackTooMuch", message: expect.stringContaining("a may have written more than") },
    },
    {
      when: "too few would know of a newer set",
      given: answers("b", "c"),
      change: { intent: bound },
      obstacle: { reason: "NotEnoughVoters", message: expect.stringContaining("silent: a, d, e") },
    },
  ])("$when", ({ given = answered, change, obstacle }) => {
    const asked = { ...terms, ...change };
    expect(mayLead(position, given, asked)).toBe(false);
    expect(obstacleToLead(position, given, asked)).toEqual(obstacle);
  });
});
