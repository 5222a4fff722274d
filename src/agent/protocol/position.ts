/**
 * Positions in a replicated log: which of two copies holds more. Engines name histories (a timeline, a replication id);
 * values in different histories say nothing about each other unless the engine tells where one left the other.
 */

/** One point at which a history left an older one: everything up to `value` is shared. */
export interface Ancestor {
  readonly history: string;
  /** Decimal string: positions exceed 2^53. */
  readonly value: string;
}

/** How far a copy has the log, durably. `ancestors` lists the histories this one came from, oldest first; may be empty. */
export interface Position {
  readonly history: string;
  readonly value: string;
  readonly ancestors: readonly Ancestor[];
  /**
   * Only of a sealed copy: what it holds ends exactly where its own history would begin, and others may receive it from it before
   * that. Absent: not known, or the engine does not pass on what it received itself.
   */
  readonly sendable?: boolean | undefined;
}

/**
 * How `a` stands to `b`. `behind`/`ahead`: one is a prefix of the other. `older`/`newer`: the histories diverged, and the
 * newer one descends from the older's history, which has a tail of its own. `incomparable`: neither descends from the other.
 */
export type Ordering = "equal" | "behind" | "ahead" | "older" | "newer" | "incomparable";

/** Compares two decimal strings as numbers of any size: negative, zero or positive, as a sort function wants it. */
export function compareValues(a: string, b: string): number {
  const left = BigInt(a);
  const right = BigInt(b);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Says how copy `a` stands to copy `b`; see {@link Ordering}. */
export function comparePositions(a: Position, b: Position): Ordering {
  if (a.history === b.history) {
    const order = compareValues(a.value, b.value);
    if (order === 0) return "equal";
    return order < 0 ? "behind" : "ahead";
  }
  const forkOfB = b.ancestors.find((ancestor) => ancestor.history === a.history);
  if (forkOfB !== undefined) return compareValues(a.value, forkOfB.value) <= 0 ? "behind" : "older";
  const forkOfA = a.ancestors.find((ancestor) => ancestor.history === b.history);
  if (forkOfA !== undefined) return compareValues(b.value, forkOfA.value) <= 0 ? "ahead" : "newer";
  return "incomparable";
}

/**
 * Whether a copy at `a` may lead while one at `b` is also known: it holds at least everything that was acknowledged there.
 * A newer history beats an older one's tail, because it was opened by a leader that had sealed a quorum; the tail beyond
 * the fork was never acknowledged. Incomparable histories are never enough.
 */
export function isAtLeast(a: Position, b: Position): boolean {
  const order = comparePositions(a, b);
  return order === "equal" || order === "ahead" || order === "newer";
}

/**
 * Distance that `a` is behind `b` in position units, zero when it is not behind; null when they cannot be compared or `a`
 * has a tail that `b`'s history does not hold.
 */
export function distanceBehind(a: Position, b: Position): bigint | null {
  const order = comparePositions(a, b);
  if (order === "incomparable" || order === "older") return null;
  if (order !== "behind") return 0n;
  return BigInt(b.value) > BigInt(a.value) ? BigInt(b.value) - BigInt(a.value) : 0n;
}
