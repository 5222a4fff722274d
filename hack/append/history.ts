/** What clients of an append workload did and saw: the input of its checker. */

/** A value that was added to the end of a list. No value is added twice. */
export interface Append {
  readonly list: string;
  readonly value: number;
}

/**
 * One transaction: it reads some lists, then adds to some.
 *
 * `ok`: it was acknowledged, and `reads` are what it saw. `failed`: the server said that nothing of it happened. `unknown`: neither; what it
 * added may be there, now or later, and what it saw is not used.
 */
export interface Transaction {
  readonly client: number;
  readonly outcome: "ok" | "failed" | "unknown";
  /** Of one clock, before it was sent and after its answer came. */
  readonly startMs: number;
  readonly endMs: number;
  /** What each list held, before this transaction's own appends. Empty unless it is `ok`. */
  readonly reads: ReadonlyMap<string, readonly number[]>;
  /** In the order in which they were added. */
  readonly appends: readonly Append[];
}

/** Something that a strictly serializable store never shows. */
export interface Anomaly {
  readonly name: string;
  /** For people: which transactions, and what each of them did or saw. */
  readonly explanation: string;
}

/** A transaction in a line. @param at - Its place in the history. */
export function describe(transaction: Transaction, at: number): string {
  const { client, outcome, startMs, endMs, reads, appends } = transaction;
  const seen = [...reads].map(([list, values]) => `${list}=[${tailOf(values)}]`);
  const added = appends.map(({ list, value }) => `${list}+${value}`);
  const times = `${(startMs / 1000).toFixed(3)}-${(endMs / 1000).toFixed(3)} s`;
  return `T${at} (client ${client}, ${outcome}, ${times}): ${[...seen, ...added].join(" ")}`;
}

const SHOWN = 5;

function tailOf(values: readonly number[]): string {
  return (values.length > SHOWN ? ["…", ...values.slice(-SHOWN)] : values).join(",");
}

/** A history as text, from which {@link parseHistory} makes the same one: a line of JSON for each transaction. */
export function formatHistory(history: readonly Transaction[]): string {
  return history
    .map((transaction) => `${JSON.stringify({ ...transaction, reads: Object.fromEntries(transaction.reads) })}\n`)
    .join("");
}

/** A history from its text. */
export function parseHistory(text: string): Transaction[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const { reads, ...transaction } = JSON.parse(line) as Omit<Transaction, "reads"> & {
      readonly reads: Readonly<Record<string, readonly number[]>>;
    };
    return { ...transaction, reads: new Map(Object.entries(reads)) };
  });
}
