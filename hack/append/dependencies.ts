/** Which transaction must come before which, and why: the graph of Adya's dependencies, and of time. */
import type { Transaction } from "./history.ts";
import type { Versions } from "./version-order.ts";

/** All of them, see {@link Reason}. */
export const REASONS = ["ww", "wr", "rw", "time"] as const;

/**
 * `ww`: the first added what the second's value was added behind. `wr`: the second saw what the first added. `rw`: the first did not see
 * yet what the second added. `time`: the second began after the first was acknowledged.
 */
export type Reason = (typeof REASONS)[number];

/** One edge. */
export interface Dependency {
  readonly from: number;
  readonly to: number;
  readonly reason: Reason;
  /** The list that shows it; empty for `time`. */
  readonly list: string;
}

/** All edges, by the place in the history of the transaction that they leave. */
export type Graph = ReadonlyMap<number, readonly Dependency[]>;

/** Edges of a graph that are looked at: between these transactions, for these reasons. */
export interface Part {
  readonly graph: Graph;
  readonly members: ReadonlySet<number>;
  readonly reasons: readonly Reason[];
}

/** Builds the graph. Costs about as much as the history is long: of time, only edges are in it that no others imply. */
export function dependenciesOf(history: readonly Transaction[], versions: Versions): Graph {
  const graph = new Map<number, Dependency[]>();
  const add = (from: number | undefined, to: number | undefined, reason: Reason, list = ""): void => {
    if (from === undefined || to === undefined || from === to) return;
    const edges = graph.get(from) ?? [];
    edges.push({ from, to, reason, list });
    graph.set(from, edges);
  };
  const writerOf = (value: number | undefined): number | undefined =>
    value === undefined ? undefined : versions.writers.get(value)?.at;
  for (const [list, order] of versions.orders) {
    for (let at = 1; at < order.length; at++) add(writerOf(order[at - 1]), writerOf(order[at]), "ww", list);
  }
  const unseen = unseenWriters(history, versions);
  for (const [list, writers] of unseen) {
    for (const writer of writers) add(writerOf(versions.orders.get(list)?.at(-1)), writer, "ww", list);
  }
  for (const [reader, { reads }] of history.entries()) {
    for (const [list, values] of reads) {
      add(writerOf(values.at(-1)), reader, "wr", list);
      const next = versions.orders.get(list)?.[values.length];
      const writers = next === undefined ? (unseen.get(list) ?? []) : [writerOf(next)];
      for (const writer of writers) add(reader, writer, "rw", list);
    }
  }
  for (const [from, to] of inTime(history)) add(from, to, "time");
  return graph;
}

/**
 * Who added to a list what no read of it shows, and did happen: it was acknowledged, or something else of it was seen. All of that is
 * behind everything that was read. So a part of a transaction that is missing is found, whether the client knows of the rest or not.
 */
function unseenWriters(history: readonly Transaction[], versions: Versions): ReadonlyMap<string, readonly number[]> {
  const seen = new Set([...versions.orders.values()].flat());
  const unseen = new Map<string, number[]>();
  for (const [at, { outcome, appends }] of history.entries()) {
    if (outcome === "failed" || (outcome === "unknown" && !appends.some(({ value }) => seen.has(value)))) continue;
    const lists = appends.filter(({ list, value }) => versions.orders.has(list) && !seen.has(value));
    for (const list of new Set(lists.map((append) => append.list))) {
      const writers = unseen.get(list) ?? [];
      writers.push(at);
      unseen.set(list, writers);
    }
  }
  return unseen;
}

/**
 * Pairs of which the first ended before the second began, without those that follow from others: of the transactions that ended, only those
 * count that no other one has begun and ended after. What is not known to have happened may happen later than its end.
 */
function* inTime(history: readonly Transaction[]): Generator<readonly [number, number]> {
  const happened = [...history.entries()].filter(([, { outcome }]) => outcome !== "failed");
  const starts = happened.toSorted(([, a], [, b]) => a.startMs - b.startMs);
  const ends = happened.filter(([, { outcome }]) => outcome === "ok").toSorted(([, a], [, b]) => a.endMs - b.endMs);
  const before = new Map<number, readonly number[]>();
  let frontier: readonly number[] = [];
  let ended = 0;
  for (const [at, { startMs }] of starts) {
    for (let end = ends[ended]; end !== undefined && end[1].endMs < startMs; end = ends[++ended]) {
      const [one] = end;
      const superseded = new Set(before.get(one));
      frontier = [...frontier.filter((other) => !superseded.has(other)), one];
    }
    before.set(at, frontier);
    for (const other of frontier) yield [other, at];
  }
}
