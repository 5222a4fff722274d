/** In which order values were added to each list, as far as reads tell: every read of a list must be the beginning of the longest one. */
import { type Anomaly, type Append, describe, type Transaction } from "./history.ts";

/** Who added a value. */
export interface Writer {
  /** Its place in the history. */
  readonly at: number;
  readonly list: string;
}

/** What reads tell of the order. */
export interface Versions {
  readonly writers: ReadonlyMap<number, Writer>;
  /** The longest read of each list. */
  readonly orders: ReadonlyMap<string, readonly number[]>;
  readonly anomalies: readonly Anomaly[];
}

/** Finds the order of each list, and everything that is wrong without looking at more than one list. */
export function versionsOf(history: readonly Transaction[]): Versions {
  const writers = new Map<number, Writer>();
  for (const [at, { appends }] of history.entries()) {
    for (const { list, value } of appends) writers.set(value, { at, list });
  }
  const orders = new Map<string, readonly number[]>();
  for (const { reads } of history) {
    for (const [list, values] of reads) {
      if (values.length > (orders.get(list)?.length ?? -1)) orders.set(list, values);
    }
  }
  const anomalies = [
    ...[...orders].flatMap(([list, order]) => wrongValues(history, writers, list, order)),
    ...history.flatMap((transaction, at) => wrongReads({ history, writers, orders }, transaction, at)),
    ...lost(history, orders),
  ];
  return { writers, orders, anomalies };
}

/** Values that should not be in a list at all. */
function wrongValues(
  history: readonly Transaction[],
  writers: ReadonlyMap<number, Writer>,
  list: string,
  order: readonly number[],
): Anomaly[] {
  const seen = new Set<number>();
  const lastOf = new Map<number, number>();
  return order.flatMap((value): Anomaly[] => {
    const writer = writers.get(value);
    const isTwice = seen.has(value);
    seen.add(value);
    if (isTwice) return [{ name: "duplicate", explanation: `${list} has ${value} twice` }];
    if (writer?.list !== list) return [{ name: "from nowhere", explanation: `nobody added ${value} to ${list}` }];
    const transaction = history[writer.at];
    const place = transaction?.appends.findIndex((append) => append.value === value) ?? 0;
    const isTurned = place < (lastOf.get(writer.at) ?? place);
    lastOf.set(writer.at, place);
    if (transaction !== undefined && isTurned) {
      const explanation = `${list} has ${value} behind what was added after it: ${describe(transaction, writer.at)}`;
      return [{ name: "turned around", explanation }];
    }
    if (transaction?.outcome !== "failed") return [];
    const explanation = `${list} has ${value}, and the server had said that it did not add it: ${describe(transaction, writer.at)}`;
    return [{ name: "G1a", explanation }];
  });
}

interface Known {
  readonly history: readonly Transaction[];
  readonly writers: ReadonlyMap<number, Writer>;
  readonly orders: ReadonlyMap<string, readonly number[]>;
}

function wrongReads({ history, writers, orders }: Known, transaction: Transaction, at: number): Anomaly[] {
  return [...transaction.reads].flatMap(([list, values]): Anomaly[] => {
    const order = orders.get(list) ?? [];
    const fork = values.findIndex((value, index) => order[index] !== value);
    if (fork >= 0) {
      const explanation = `${list} was once [… ${values[fork]}] at place ${fork}, and once [… ${order[fork]}]: ${describe(transaction, at)}`;
      return [{ name: "incompatible orders", explanation }];
    }
    const last = values.at(-1);
    const writer = last === undefined ? undefined : writers.get(last);
    if (writer?.at === at) {
      const explanation = `${list} had ${last} before it was added: ${describe(transaction, at)}`;
      return [{ name: "internal", explanation }];
    }
    const by = writer === undefined ? undefined : history[writer.at];
    const final = by?.appends.findLast((append) => append.list === list)?.value;
    if (writer === undefined || by === undefined || final === last) return [];
    const explanation = `${list} was read in the middle of a transaction: ${describe(transaction, at)} after a part of ${describe(by, writer.at)}`;
    return [{ name: "G1b", explanation }];
  });
}

/** What was acknowledged, and is not in a list that was read later. */
function lost(history: readonly Transaction[], orders: ReadonlyMap<string, readonly number[]>): Anomaly[] {
  const found = new Map([...orders].map(([list, order]) => [list, new Set(order)] as const));
  const lastReads = new Map<string, number>();
  for (const { startMs, reads } of history) {
    for (const list of reads.keys()) lastReads.set(list, Math.max(startMs, lastReads.get(list) ?? startMs));
  }
  const isLost = ({ list, value }: Append, endMs: number): boolean =>
    found.get(list)?.has(value) !== true && endMs < (lastReads.get(list) ?? 0);
  return history.flatMap((transaction, at) => {
    const { outcome, appends, endMs } = transaction;
    const missing = outcome === "ok" ? appends.filter((append) => isLost(append, endMs)) : [];
    return missing.map(({ list, value }) => {
      const explanation = `${value} was acknowledged, and ${list} was read after that without it: ${describe(transaction, at)}`;
      return { name: "lost", explanation };
    });
  });
}
