/** Judges a run of the writer: what was lost, what came from nowhere, how long writes stood still, who wrote out of turn. */

/** One row as read back. */
export interface Row {
  readonly seq: number;
  readonly timeline: string;
  readonly epoch: string;
}

/** What the client saw, in order. */
export interface Tally {
  readonly attempted: number[];
  /** Acknowledged without a warning; `ackTimes` and `epochs` run along. */
  readonly acked: number[];
  /** Acknowledged with a warning: committed locally, and no promise given. */
  readonly warned: number[];
  /** Sent, and no answer: may or may not exist. */
  readonly unknown: number[];
  /** The server answered that it takes no writes: must not exist. */
  readonly rejected: number[];
  refused: number;
  readonly ackTimes: number[];
  /** `timeline/epoch` of each acknowledged row, as the server returned it. */
  readonly epochs: string[];
}

/** A tally before the first write. */
export function newTally(): Tally {
  return { attempted: [], acked: [], warned: [], unknown: [], rejected: [], refused: 0, ackTimes: [], epochs: [] };
}

/** One stretch of time without an acknowledged write. */
export interface Gap {
  readonly atMs: number;
  readonly ms: number;
}

/** The verdict; `lost`, `unexpected` and `outOfOrder` must be 0. */
export interface Verdict {
  readonly attempted: number;
  readonly acked: number;
  readonly warned: number;
  readonly unknown: number;
  readonly rejected: number;
  readonly refusedConnections: number;
  /** Acknowledged and not there at the end. */
  readonly lost: number;
  /** The first of them: when each was acknowledged, in ms since the epoch, and on which timeline and in which epoch it was written. */
  readonly lostRows: readonly { readonly seq: number; readonly ackedMs: number; readonly by: string }[];
  /** There at the end and never attempted, or rejected. */
  readonly unexpected: number;
  /** Rows that a server of an older timeline took after one of a newer had. */
  readonly outOfOrder: number;
  readonly largestGapMs: number;
  readonly gaps: readonly Gap[];
  readonly timelines: readonly string[];
}

const REPORTED_GAP_MS = 150;
const REPORTED_ROWS = 50;
/** SQLSTATE read_only_sql_transaction: the server is a follower, perhaps one that is just promoted. */
const READ_ONLY = "25006";

/** Whether this is a server's answer that it did not take a write. */
export function isRejection(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === READ_ONLY;
}

/** Compares what the client saw with what is there. Rows are in order of `seq`, which is the order of the client. */
export function judge(tally: Tally, rows: readonly Row[]): Verdict {
  const present = new Set(rows.map((row) => row.seq));
  const possible = new Set(tally.attempted);
  for (const seq of tally.rejected) possible.delete(seq);
  const gaps: Gap[] = [];
  let largestGapMs = 0;
  for (let index = 1; index < tally.ackTimes.length; index++) {
    const before = tally.ackTimes[index - 1] ?? 0;
    const ms = (tally.ackTimes[index] ?? 0) - before;
    if (ms > largestGapMs) largestGapMs = ms;
    if (ms >= REPORTED_GAP_MS) gaps.push({ atMs: before, ms });
  }
  const lostRows = tally.acked
    .map((seq, at) => ({ seq, ackedMs: tally.ackTimes[at] ?? 0, by: tally.epochs[at] ?? "" }))
    .filter(({ seq }) => !present.has(seq));
  return {
    attempted: tally.attempted.length,
    acked: tally.acked.length,
    warned: tally.warned.length,
    unknown: tally.unknown.length,
    rejected: tally.rejected.length,
    refusedConnections: tally.refused,
    lost: lostRows.length,
    lostRows: lostRows.slice(0, REPORTED_ROWS),
    unexpected: rows.filter((row) => !possible.has(row.seq)).length,
    outOfOrder:
      countDescents(rows.map((row) => row.timeline)) +
      countDescents(tally.epochs.map((one) => one.split("/")[0] ?? "")),
    largestGapMs,
    gaps,
    timelines: [...new Set(rows.map((row) => row.timeline))],
  };
}

/** How often a value is smaller than the largest before it. Timelines are hexadecimal of fixed width, so text order is theirs. */
function countDescents(values: readonly string[]): number {
  let largest = "";
  let descents = 0;
  for (const value of values) {
    if (value < largest) descents++;
    else largest = value;
  }
  return descents;
}
