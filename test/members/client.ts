// A client that follows the write route and counts: one row after the other, what was attempted, acknowledged, unknown.
import { Client, type QueryResult } from "pg";
import { isRejection, judge, newTally, type Row, type Verdict } from "../../hack/writer/judge.ts";
import type { MemberCluster } from "./harness.ts";

const DEADLINE_MS = 1000;
const INTERVAL_MS = 10;

const CREATE = `create table if not exists writes (
  seq bigint primary key,
  timeline text not null default substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))`;

/** Writes until told to stop, then reads everything back. */
export class CountingClient {
  readonly #cluster: MemberCluster;
  readonly #tally = newTally();
  readonly #stop = new AbortController();
  /** Rows of earlier clients lie below. */
  readonly #first = Date.now() * 1000;
  #running: Promise<void> | undefined;

  constructor(cluster: MemberCluster) {
    this.#cluster = cluster;
  }

  /** Acknowledged so far. */
  get acked(): number {
    return this.#tally.acked.length;
  }

  /** Time of the last acknowledgement, in ms since the epoch. */
  get lastAckMs(): number {
    return this.#tally.ackTimes.at(-1) ?? 0;
  }

  start(): void {
    this.#running = this.#write();
  }

  /** Stops writing and judges. */
  async finish(): Promise<Verdict> {
    this.#stop.abort();
    await this.#running;
    const connection = await this.#connect();
    const { rows } = await connection.query<{ seq: string; timeline: string }>(
      "select seq, timeline from writes where seq > $1 order by seq",
      [this.#first],
    );
    await connection.end();
    return judge(
      this.#tally,
      rows.map((row): Row => ({ seq: Number(row.seq), timeline: row.timeline, epoch: "" })),
    );
  }

  async #connect(): Promise<Client> {
    for (;;) {
      const member = await this.#cluster.routed().catch(() => undefined);
      if (member !== undefined) {
        const client = new Client({
          host: "127.0.0.1",
          port: member.ports.engine,
          user: "app",
          database: "app",
          password: await this.#cluster.password("app"),
          connectionTimeoutMillis: DEADLINE_MS,
        });
        client.on("error", () => undefined); // the query under way rejects
        client.on("notice", (notice) => {
          if (notice.severity === "WARNING") this.#warned = true;
        });
        try {
          await client.connect();
          await within(client.query(CREATE));
          return client;
        } catch {
          this.#tally.refused++;
          cut(client);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  }

  #warned = false;

  async #write(): Promise<void> {
    let client: Client | undefined;
    let seq = this.#first;
    while (!this.#stop.signal.aborted) {
      client ??= await this.#connect();
      const id = ++seq;
      this.#tally.attempted.push(id);
      this.#warned = false;
      try {
        const result: QueryResult<{ timeline: string }> = await within(
          client.query("insert into writes(seq) values($1) returning timeline", [id]),
        );
        if (this.#warned) this.#tally.warned.push(id);
        else {
          this.#tally.acked.push(id);
          this.#tally.ackTimes.push(Date.now());
          this.#tally.epochs.push(result.rows[0]?.timeline ?? "");
        }
      } catch (error) {
        (isRejection(error) ? this.#tally.rejected : this.#tally.unknown).push(id);
        cut(client);
        client = undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
    if (client !== undefined) cut(client);
  }
}

function within<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("client deadline")), DEADLINE_MS);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Ends a connection without a goodbye that a dead server would never answer. */
function cut(client: Client): void {
  client.end().catch(() => undefined);
  (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream?.destroy();
}
