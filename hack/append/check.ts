/**
 * Checks that a history of appends and reads is strictly serializable: that there is one order of all transactions, in agreement with what
 * each saw and with time. The method is Elle's (Kingsbury and Alvaro, VLDB 2020): lists show the order in which they were added to, and
 * what cannot be ordered is a cycle of dependencies.
 */
import { cyclesOf } from "./cycles.ts";
import { type Dependency, dependenciesOf } from "./dependencies.ts";
import { type Anomaly, describe, type Transaction } from "./history.ts";
import { versionsOf } from "./version-order.ts";

/** Everything that is wrong with a history; nothing, if it is what a strictly serializable store shows. */
export function check(history: readonly Transaction[]): Anomaly[] {
  const versions = versionsOf(history);
  const cycles = cyclesOf(dependenciesOf(history, versions), history);
  return [
    ...versions.anomalies,
    ...cycles.map(({ name, edges }) => ({ name, explanation: edges.map((edge) => explain(history, edge)).join("\n") })),
  ];
}

function explain(history: readonly Transaction[], { from, to, reason, list }: Dependency): string {
  const because = {
    ww: `T${to} added to ${list} behind it`,
    wr: `T${to} saw in ${list} what it added`,
    rw: `it did not see what T${to} added to ${list}`,
    time: `T${to} began after it had ended`,
  }[reason];
  const transaction = history[from];
  return transaction === undefined ? "" : `${describe(transaction, from)}; before T${to}: ${because}`;
}
