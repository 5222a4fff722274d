/**
 * Which shard owns which slots, and what moves next when shards come or go. Pure: the next step follows from who owns what now,
 * as the shards themselves say it, so work that was cut short anywhere goes on, and nothing about it is written down.
 */

/** Slots from `first` to `last`, both included. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
}

/** What each shard owns, by its name. */
export type SlotMap = Readonly<Record<string, readonly SlotRange[]>>;

/** Slots on their way from one shard to another. */
export interface SlotMove {
  readonly from: string;
  readonly to: string;
  readonly slots: readonly SlotRange[];
}

/** What is known when the next step is decided. */
export interface SlotSituation {
  /** Slots are numbered from 0 to one less. */
  readonly slotCount: number;
  readonly owned: SlotMap;
  /** Shards that shall own slots, at least one; all others are to be emptied. */
  readonly wanted: readonly string[];
  /** A move that was begun and has not ended. */
  readonly moving: SlotMove | null;
  /** The last move that has ended: how many slots it had, and when. */
  readonly lastMove: { readonly slots: number; readonly atMs: number } | null;
  readonly nowMs: number;
}

/** How fast slots may move: a batch at a time, and on average no faster than the rate. */
export interface SlotPace {
  readonly batchSlots: number;
  readonly slotsPerSecond: number;
}

/** What to do next. `assign` gives slots that nobody owns, which moves no data. */
export type SlotStep =
  | { readonly kind: "blocked"; readonly reason: string }
  | { readonly kind: "assign"; readonly to: string; readonly slots: readonly SlotRange[] }
  | ({ readonly kind: "move" } & SlotMove)
  | { readonly kind: "wait"; readonly forMs: number }
  | { readonly kind: "done" };

/** Decides the next step. A move that was begun is ended first, whatever is wanted meanwhile: half a slot is nobody's. */
export function nextSlotStep(situation: SlotSituation, pace: SlotPace): SlotStep {
  const { owned, wanted, slotCount, moving } = situation;
  const owners = ownersOf(owned, slotCount);
  if (typeof owners === "string") return { kind: "blocked", reason: owners };
  if (wanted.length === 0) return { kind: "blocked", reason: "no shard is wanted: slots need an owner" };
  if (moving !== null) return { kind: "move", ...moving };
  const targets = targetSizes(owned, wanted, slotCount);
  const free = slotsWhere(owners, (owner) => owner === null);
  const taker = furthestBelow(owned, targets);
  if (taker === undefined) return { kind: "done" };
  if (free.length > 0) return { kind: "assign", to: taker.shard, slots: toRanges(free.slice(0, taker.missing)) };
  const forMs = waitMs(situation, pace);
  if (forMs > 0) return { kind: "wait", forMs };
  const giver = furthestAbove(owned, targets);
  if (giver === undefined) return { kind: "done" };
  const count = Math.min(pace.batchSlots, taker.missing, giver.surplus);
  // From the end, so that what a shard keeps stays in one piece.
  const slots = slotsWhere(owners, (owner) => owner === giver.shard).slice(-count);
  return { kind: "move", from: giver.shard, to: taker.shard, slots: toRanges(slots) };
}

/** How many slots have yet to move until every wanted shard has its share: the least that can be. */
export function slotsToMove({ owned, wanted, slotCount }: SlotSituation): number {
  const targets = targetSizes(owned, wanted, slotCount);
  return Object.keys(owned).reduce(
    (sum, shard) => sum + Math.max(0, sizeOf(owned, shard) - (targets.get(shard) ?? 0)),
    0,
  );
}

/** Shards that may go: not wanted, own nothing, and nothing is on its way to or from them. */
export function emptiedShards({ owned, wanted, moving }: SlotSituation): readonly string[] {
  const isBusy = (shard: string): boolean => moving?.from === shard || moving?.to === shard;
  return Object.keys(owned).filter((shard) => !wanted.includes(shard) && sizeOf(owned, shard) === 0 && !isBusy(shard));
}

/**
 * Every wanted shard's share. The shares differ by one slot at most, and those that own most get the larger ones: then the
 * fewest slots move.
 */
function targetSizes(owned: SlotMap, wanted: readonly string[], slotCount: number): ReadonlyMap<string, number> {
  const share = Math.floor(slotCount / wanted.length);
  const larger = slotCount % wanted.length;
  const byOwned = wanted.toSorted((a, b) => sizeOf(owned, b) - sizeOf(owned, a) || compareNames(a, b));
  return new Map(byOwned.map((shard, at) => [shard, share + (at < larger ? 1 : 0)]));
}

function furthestBelow(
  owned: SlotMap,
  targets: ReadonlyMap<string, number>,
): { readonly shard: string; readonly missing: number } | undefined {
  const below = [...targets].map(([shard, target]) => ({ shard, missing: target - sizeOf(owned, shard) }));
  return below
    .filter(({ missing }) => missing > 0)
    .toSorted((a, b) => b.missing - a.missing || compareNames(a.shard, b.shard))[0];
}

function furthestAbove(
  owned: SlotMap,
  targets: ReadonlyMap<string, number>,
): { readonly shard: string; readonly surplus: number } | undefined {
  const above = Object.keys(owned).map((shard) => ({
    shard,
    surplus: sizeOf(owned, shard) - (targets.get(shard) ?? 0),
  }));
  return above
    .filter(({ surplus }) => surplus > 0)
    .toSorted((a, b) => b.surplus - a.surplus || compareNames(a.shard, b.shard))[0];
}

function waitMs({ lastMove, nowMs }: SlotSituation, { slotsPerSecond }: SlotPace): number {
  if (lastMove === null) return 0;
  return Math.max(0, Math.ceil(lastMove.atMs + (1000 * lastMove.slots) / slotsPerSecond - nowMs));
}

/** Owner of each slot, null for nobody; a sentence when the map cannot be true. */
function ownersOf(owned: SlotMap, slotCount: number): readonly (string | null)[] | string {
  const owners: (string | null)[] = Array.from({ length: slotCount }, () => null);
  for (const [shard, ranges] of Object.entries(owned)) {
    for (const { first, last } of ranges) {
      for (let slot = first; slot <= last; slot++) {
        const other = owners[slot];
        if (other === undefined) return `${shard} says that it owns slot ${slot}; there are ${slotCount}`;
        if (other !== null)
          return `slot ${slot} is owned by ${other} and by ${shard}: which of them is right, a person must say`;
        owners[slot] = shard;
      }
    }
  }
  return owners;
}

/** Slots as text: `0-99,120`; empty for none. */
export function formatSlots(ranges: readonly SlotRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}

/** What {@link formatSlots} wrote. */
export function parseSlots(text: string): readonly SlotRange[] {
  if (text === "") return [];
  return text.split(",").map((range) => {
    const [first = "", last = first] = range.split("-");
    return { first: Number(first), last: Number(last) };
  });
}

/** How many slots a text names. */
export function countSlots(text: string): number {
  return lengthOf(parseSlots(text));
}

/** How many slots there are in ranges. */
export function lengthOf(ranges: readonly SlotRange[]): number {
  let sum = 0;
  for (const { first, last } of ranges) sum += last - first + 1;
  return sum;
}

function slotsWhere(owners: readonly (string | null)[], isMeant: (owner: string | null) => boolean): number[] {
  return owners.flatMap((owner, slot) => (isMeant(owner) ? [slot] : []));
}

function toRanges(slots: readonly number[]): readonly SlotRange[] {
  const ranges: { first: number; last: number }[] = [];
  for (const slot of slots) {
    const current = ranges.at(-1);
    if (current !== undefined && current.last === slot - 1) current.last = slot;
    else ranges.push({ first: slot, last: slot });
  }
  return ranges;
}

function sizeOf(owned: SlotMap, shard: string): number {
  return lengthOf(owned[shard] ?? []);
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : 1;
}
