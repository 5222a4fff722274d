import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  emptiedShards,
  nextSlotStep,
  type SlotMap,
  type SlotMove,
  type SlotPace,
  type SlotRange,
  type SlotSituation,
  slotsToMove,
} from "../../../src/plan/slots.ts";

const PACE: SlotPace = { batchSlots: 64, slotsPerSecond: 100 };

const FAST: SlotPace = { batchSlots: 500, slotsPerSecond: 1000 };

const slotsOf = (ranges: readonly SlotRange[]): number[] =>
  ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at));
const sizesOf = (owned: SlotMap): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(owned).map(([shard, ranges]) => [shard, slotsOf(ranges).length]));

/** A world in which the moves are carried out, slot by slot, and whoever decides forgets everything between any two slots. */
class Shards {
  readonly owners: (string | null)[];
  readonly names: Set<string>;
  moving: SlotMove | null = null;
  lastMove: SlotSituation["lastMove"] = null;
  nowMs = 0;
  moved = 0;
  /** When each slot moved. */
  readonly movedAtMs: number[] = [];

  constructor(owners: readonly (string | null)[], names: readonly string[]) {
    this.owners = [...owners];
    this.names = new Set(names);
  }

  situation(wanted: readonly string[]): SlotSituation {
    const owned: Record<string, { first: number; last: number }[]> = {};
    for (const shard of [...this.names, ...wanted]) owned[shard] = [];
    for (const [slot, owner] of this.owners.entries()) {
      const last = owner === null ? undefined : owned[owner]?.at(-1);
      if (last?.last === slot - 1) last.last = slot;
      else if (owner !== null) owned[owner]?.push({ first: slot, last: slot });
    }
    const { moving, lastMove, nowMs } = this;
    return { slotCount: this.owners.length, owned, wanted, moving, lastMove, nowMs };
  }

  /** Takes a step; a move is cut short after `cutAfter` slots. False: nothing is left to do. */
  step(wanted: readonly string[], pace: SlotPace, cutAfter: number): boolean {
    for (const shard of wanted) this.names.add(shard);
    const step = nextSlotStep(this.situation(wanted), pace);
    switch (step.kind) {
      case "done":
        return false;
      case "wait":
        this.nowMs += step.forMs;
        return true;
      case "assign":
        for (const slot of slotsOf(step.slots)) {
          if (this.owners[slot] !== null) throw new Error(`slot ${slot} is given away although somebody owns it`);
          this.owners[slot] = step.to;
        }
        return true;
      case "move":
        this.#move(step, cutAfter);
        return true;
      default:
        throw new Error(`unexpected ${step.kind}: ${step.reason}`);
    }
  }

  #move({ from, to, slots }: SlotMove, cutAfter: number): void {
    this.moving = { from, to, slots };
    const all = slotsOf(slots);
    const left = all.filter((slot) => this.owners[slot] === from);
    for (const slot of left.slice(0, cutAfter)) {
      this.owners[slot] = to;
      this.moved++;
      this.movedAtMs.push(this.nowMs);
    }
    if (left.length > cutAfter) return;
    this.moving = null;
    this.lastMove = { slots: all.length, atMs: this.nowMs };
  }

  /** Goes on until nothing is left to do. */
  settle(wanted: readonly string[], pace: SlotPace = PACE): void {
    for (let steps = 0; this.step(wanted, pace, Number.POSITIVE_INFINITY); steps++) {
      if (steps > 10_000) throw new Error("no end");
    }
  }
}

const NAMES = ["s0", "s1", "s2", "s3", "s4", "s5"];
const someShards = fc.subarray(NAMES, { minLength: 1 });
const someOwners = fc.array(fc.constantFrom(...NAMES, null), { minLength: 20, maxLength: 200 });

describe("the slots of a new cluster", () => {
  test("are shared out at once, each shard's in one piece", () => {
    const shards = new Shards(
      Array.from({ length: 16_384 }, () => null),
      [],
    );
    shards.settle(["s0", "s1", "s2"]);
    expect(sizesOf(shards.situation([]).owned)).toEqual({ s0: 5462, s1: 5461, s2: 5461 });
    expect(shards.moved).toBe(0);
    expect(shards.owners.filter((owner, slot) => owner !== shards.owners[slot + 1])).toHaveLength(3);
  });
});

describe("more shards, then fewer", () => {
  test("3 → 5 → 3 moves the least that can be, both times", () => {
    const shards = new Shards(
      Array.from({ length: 16_384 }, (_, slot) => `s${Math.floor(slot / 5462)}`),
      [],
    );
    const least = slotsToMove(shards.situation(["s0", "s1", "s2", "s3", "s4"]));
    shards.settle(["s0", "s1", "s2", "s3", "s4"], FAST);
    expect(sizesOf(shards.situation([]).owned)).toEqual({ s0: 3277, s1: 3277, s2: 3277, s3: 3277, s4: 3276 });
    expect([shards.moved, least]).toEqual([6553, 6553]);
    shards.settle(["s0", "s1", "s2"], FAST);
    expect(sizesOf(shards.situation([]).owned)).toEqual({ s0: 5462, s1: 5461, s2: 5461, s3: 0, s4: 0 });
    expect(shards.moved).toBe(2 * 6553);
    expect(emptiedShards(shards.situation(["s0", "s1", "s2"]))).toEqual(["s3", "s4"]);
  });

  test("a shard may go only once nothing is on its way from it", () => {
    const range = [{ first: 0, last: 9 }];
    const moving = { from: "s1", to: "s0", slots: range };
    const situation = { slotCount: 10, owned: { s0: range, s1: [] }, wanted: ["s0"], moving, lastMove: null, nowMs: 0 };
    expect(emptiedShards(situation)).toEqual([]);
    expect(emptiedShards({ ...situation, moving: null })).toEqual(["s1"]);
  });
});

describe("whatever owns the slots, and whatever is wanted next", () => {
  test("every slot ends with one wanted shard, shares differ by one at most, and no slot moved that need not", () => {
    fc.assert(
      fc.property(someOwners, someShards, (owners, wanted) => {
        const shards = new Shards(owners, NAMES);
        while (nextSlotStep(shards.situation(wanted), PACE).kind === "assign") shards.step(wanted, PACE, 0);
        const least = slotsToMove(shards.situation(wanted));
        shards.settle(wanted);
        const sizes = wanted.map((name) => shards.owners.filter((owner) => owner === name).length);
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(owners.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(shards.moved).toBe(least);
        expect(slotsToMove(shards.situation(wanted))).toBe(0);
      }),
    );
  });

  test("cut short after any slot, with another wish each time, it ends what was begun and then what is wanted", () => {
    const cuts = fc.array(fc.tuple(fc.nat(40), someShards), { maxLength: 30 });
    fc.assert(
      fc.property(someOwners, cuts, someShards, (owners, interruptions, wanted) => {
        const shards = new Shards(owners, NAMES);
        for (const [cutAfter, wish] of interruptions) {
          const begun = shards.moving;
          const step = nextSlotStep(shards.situation(wish), PACE);
          if (begun !== null) expect(step).toEqual({ kind: "move", ...begun });
          shards.step(wish, PACE, cutAfter);
        }
        shards.settle(wanted);
        expect(shards.owners.every((owner) => owner !== null && wanted.includes(owner))).toBe(true);
      }),
    );
  });

  test("no batch is larger and no second busier than the pace allows", () => {
    const paces = fc.record({
      batchSlots: fc.integer({ min: 1, max: 50 }),
      slotsPerSecond: fc.integer({ min: 1, max: 50 }),
    });
    fc.assert(
      fc.property(someOwners, someShards, paces, (owners, wanted, pace) => {
        const shards = new Shards(owners, NAMES);
        shards.settle(wanted, pace);
        const { movedAtMs } = shards;
        for (const [at, startMs] of movedAtMs.entries()) {
          const within = movedAtMs.slice(at).filter((movedMs) => movedMs <= startMs + 1000).length;
          // A batch at the start of the second, and one at its end.
          expect(within).toBeLessThanOrEqual(pace.slotsPerSecond + 2 * pace.batchSlots);
        }
      }),
    );
  });
});

describe("what cannot be true or must not be done", () => {
  const base = { slotCount: 10, wanted: ["s0"], moving: null, lastMove: null, nowMs: 0 };

  test.each([
    [
      "two owners of a slot",
      { s0: [{ first: 0, last: 5 }], s1: [{ first: 5, last: 9 }] },
      "slot 5 is owned by s0 and by s1",
    ],
    ["a slot that there is not", { s0: [{ first: 8, last: 10 }] }, "s0 says that it owns slot 10"],
  ])("%s", (_, owned, reason) => {
    expect(nextSlotStep({ ...base, owned }, PACE)).toMatchObject({
      kind: "blocked",
      reason: expect.stringContaining(reason),
    });
  });

  test("nobody to own anything", () => {
    const step = nextSlotStep({ ...base, wanted: [], owned: { s0: [{ first: 0, last: 9 }] } }, PACE);
    expect(step).toEqual({ kind: "blocked", reason: "no shard is wanted: slots need an owner" });
  });
});
