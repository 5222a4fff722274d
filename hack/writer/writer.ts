/**
 * A client that counts: inserts one row every few milliseconds through one address and keeps apart what was attempted,
 * acknowledged, acknowledged with a warning, rejected, refused, and unknown. At the end it reads everything back and judges.
 *
 * Runs for --seconds (0: until SIGTERM). Prints JSON lines: `{"type":"tick",…}` ten times a second while it runs, one `{"type":"verdict",…}` at the end.
 */
import { parseArgs } from "node:util";
import { Client, type QueryResult, type QueryResultRow } from "pg";
import { isRejection, judge, newTally, type Row, type Tally } from "./judge.ts";

const { values: options } = parseArgs({
  options: {
    host: { type: "string" },
    port: { type: "string", default: "5432" },
    user: { type: "string", default: "postgres" },
    database: { type: "string", default: "postgres" },
    table: { type: "string", default: "quorate_writes" },
    seconds: { type: "string", default: "60" },
    intervalMs: { type: "string", default: "20" },
    deadlineMs: { type: "string", default: "1000" },
    settleSeconds: { type: "string", default: "60" },
  },
});

const DEADLINE_MS = Number(options.deadlineMs);
const INTERVAL_MS = Number(options.intervalMs);
const TICK_MS = 100;
const RECONNECT_PAUSE_MS = 20;

/** The row says itself where it was written: the timeline of the server and, if it tells, the epoch of its leadership. */
const CREATE = `create table if not exists ${options.table} (
  seq bigint primary key,
  timeline text not null default substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
  epoch text not null default coalesce(current_setting('quorate.epoch', true), ''),
  at timestamptz not null default clock_timestamp())`;

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Settles with the promise, or rejects after the deadline: a hung COMMIT must not hang the client. */
function within<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("client deadline")), deadlineMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

class Connection {
  readonly #client: Client;
  warned = false;

  constructor() {
    this.#client = new Client({
      host: options.host,
      port: Number(options.port),
      user: options.user,
      database: options.database,
      ...(process.env["PGPASSWORD"] === undefined ? {} : { password: process.env["PGPASSWORD"] }),
      connectionTimeoutMillis: DEADLINE_MS,
      application_name: "quorate-writer",
    });
    this.#client.on("error", () => undefined); // the query under way rejects; an idle connection is found dead by the next
    this.#client.on("notice", (notice) => {
      if (notice.severity === "WARNING") this.warned = true;
    });
  }

  async open(): Promise<this> {
    await within(this.#client.connect(), DEADLINE_MS);
    await within(this.#client.query(CREATE), DEADLINE_MS);
    return this;
  }

  query<T extends QueryResultRow>(
    text: string,
    values: unknown[] = [],
    deadlineMs = DEADLINE_MS,
  ): Promise<QueryResult<T>> {
    return within(this.#client.query<T>(text, values), deadlineMs);
  }

  close(): void {
    // The socket is cut at once: after a deadline nobody waits for a polite goodbye.
    this.#client.end().catch(() => undefined);
    (this.#client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream?.destroy();
  }
}

/** SIGTERM: stop writing, read back, judge. */
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

async function write(tally: Tally, endMs: number): Promise<void> {
  let connection: Connection | undefined;
  let seq = Date.now() * 1000;
  let next = performance.now();
  while (performance.now() < endMs && !stop.signal.aborted) {
    if (connection === undefined) {
      const candidate = new Connection();
      try {
        connection = await candidate.open();
      } catch (error) {
        candidate.close();
        tally.refused++;
        if (process.env["WRITER_DEBUG"] !== undefined)
          process.stderr.write(`${new Date().toISOString()} connect ${String(error)}\n`);
        await pause(RECONNECT_PAUSE_MS);
        continue;
      }
    }
    const id = ++seq;
    tally.attempted.push(id);
    connection.warned = false;
    try {
      const result: QueryResult<{ timeline: string; epoch: string }> = await connection.query(
        `insert into ${options.table}(seq) values($1) returning timeline, epoch`,
        [id],
      );
      if (connection.warned) tally.warned.push(id);
      else {
        tally.acked.push(id);
        tally.ackTimes.push(Date.now());
        tally.epochs.push(`${result.rows[0]?.timeline ?? ""}/${result.rows[0]?.epoch ?? ""}`);
      }
    } catch (error) {
      if (process.env["WRITER_DEBUG"] !== undefined)
        process.stderr.write(`${new Date().toISOString()} insert ${String(error)}\n`);
      (isRejection(error) ? tally.rejected : tally.unknown).push(id);
      connection.close(); // also then: it may be a follower that will stay one
      connection = undefined;
    }
    next = Math.max(next + INTERVAL_MS, performance.now());
    await pause(Math.max(0, next - performance.now()));
  }
  connection?.close();
}

async function readBack(first: number): Promise<Row[]> {
  const endMs = performance.now() + Number(options.settleSeconds) * 1000;
  for (;;) {
    const connection = new Connection();
    try {
      await connection.open();
      const rows = await connection.query<{ seq: string; timeline: string; epoch: string }>(
        `select seq, timeline, epoch from ${options.table} where seq > $1 order by seq`,
        [first],
        30_000,
      );
      return rows.rows.map((row) => ({ seq: Number(row.seq), timeline: row.timeline, epoch: row.epoch }));
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await pause(500);
    } finally {
      connection.close();
    }
  }
}

const started = Date.now();
const tally = newTally();
let ackedBefore = 0;
const ticker = setInterval(() => {
  const acked = tally.acked.length;
  print({ type: "tick", atMs: Date.now(), acked, newly: acked - ackedBefore, unknown: tally.unknown.length });
  ackedBefore = acked;
}, TICK_MS);
const seconds = Number(options.seconds);
await write(tally, seconds === 0 ? Number.POSITIVE_INFINITY : performance.now() + seconds * 1000);
clearInterval(ticker);
print({ type: "verdict", startedMs: started, ...judge(tally, await readBack(started * 1000)) });
