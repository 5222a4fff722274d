/**
 * A client of one member of a cluster all of whose members write. It counts: one row after the other, what was acknowledged, refused
 * and unknown; and an addition to a number that all such clients add to, so that they come into each other's way.
 */
import { EngineSession } from "../../src/agent/engine/session.ts";

const DEADLINE_MS = 3000;
const INTERVAL_MS = 10;

/** Errors after which the server has surely not done what it was asked. */
const CONFLICT = /^ERROR (1213|1205) /; // somebody else changed the same rows
const NOT_IN_GROUP = /^ERROR 1047 /; // the member belongs to no group that may write

/** Where a member's server listens. */
export interface SqlAddress {
  readonly host: string;
  readonly port: number;
}

/** What the client can say at the end. */
export interface SqlVerdict {
  readonly acked: number;
  readonly unknown: number;
  readonly refused: number;
  /** Acknowledged, and not there. */
  readonly lost: number;
  /** There, although the server had refused them. */
  readonly unexpected: number;
  readonly largestGapMs: number;
  /** Additions that were acknowledged, that may have been made, and that the server refused because of another client's. */
  readonly added: number;
  readonly maybeAdded: number;
  readonly conflicts: number;
  /** What the server said when neither was certain, each once. */
  readonly errors: readonly string[];
}

/** A session with the server as the account `app`. */
export function sqlSession({ host, port }: SqlAddress, password: string): EngineSession {
  const where = [`--host=${host}`, `--port=${port}`, "--protocol=tcp", "--user=app", "--database=app"];
  const how = ["--batch", "--skip-column-names", "--unbuffered", "--force", "--skip-reconnect", "--connect-timeout=2"];
  return new EngineSession({
    argv: ["mariadb", "--no-defaults", ...where, ...how],
    env: { ...process.env, MYSQL_PWD: password },
    // Without a delimiter: what follows one would be taken for the beginning of the next statement.
    markerStatement: (marker) => `\\! echo ${marker} && echo ${marker} >&2`,
  });
}

/** Makes what the clients write to. */
export const CREATE_TABLES = `
  CREATE TABLE IF NOT EXISTS written (writer VARCHAR(64), seq BIGINT, PRIMARY KEY (writer, seq));
  CREATE TABLE IF NOT EXISTS total (id INT PRIMARY KEY, n BIGINT NOT NULL);
  INSERT IGNORE INTO total VALUES (1, 0);`;

/** Writes to one member until told to stop. */
export class SqlClient {
  readonly #address: () => Promise<SqlAddress>;
  readonly #password: string;
  #session: EngineSession | undefined;
  readonly #writer: string;
  readonly #acked: number[] = [];
  readonly #refused: number[] = [];
  readonly #errors = new Set<string>();
  readonly #stop = new AbortController();
  #unknown = 0;
  #added = 0;
  #maybeAdded = 0;
  #conflicts = 0;
  #largestGapMs = 0;
  #running: Promise<void> | undefined;

  /**
   * @param address - Where the member is at the moment.
   * @param password - Of the account `app`.
   * @param writer - Differs from that of every other client, also of earlier ones.
   */
  constructor(address: () => Promise<SqlAddress>, password: string, writer: string) {
    this.#address = address;
    this.#password = password;
    this.#writer = writer;
  }

  /** Acknowledged rows so far. */
  get acked(): number {
    return this.#acked.length;
  }

  start(): void {
    this.#running = this.#write();
  }

  /** Stops writing. @param read - Gives the numbers of the rows of a writer that are there. */
  async finish(read: (writer: string) => Promise<readonly number[]>): Promise<SqlVerdict> {
    this.#stop.abort();
    await this.#running;
    this.#session?.close();
    const found = new Set(await read(this.#writer));
    return {
      acked: this.acked,
      unknown: this.#unknown,
      refused: this.#refused.length,
      lost: this.#acked.filter((seq) => !found.has(seq)).length,
      unexpected: this.#refused.filter((seq) => found.has(seq)).length,
      largestGapMs: this.#largestGapMs,
      added: this.#added,
      maybeAdded: this.#maybeAdded,
      conflicts: this.#conflicts,
      errors: [...this.#errors],
    };
  }

  async #write(): Promise<void> {
    let lastMs = performance.now();
    for (let seq = 1; !this.#stop.signal.aborted; seq++) {
      const outcome = await this.#ask(`INSERT INTO written VALUES ('${this.#writer}', ${seq});`);
      if (outcome === "acked") {
        this.#acked.push(seq);
        const nowMs = performance.now();
        this.#largestGapMs = Math.max(this.#largestGapMs, Math.round(nowMs - lastMs));
        lastMs = nowMs;
      } else if (outcome === "unknown") this.#unknown++;
      else this.#refused.push(seq);
      if (outcome === "acked") await this.#add();
      await new Promise((resolve) => setTimeout(resolve, outcome === "acked" ? INTERVAL_MS : 10 * INTERVAL_MS));
    }
  }

  /** One that is in another client's way is told so, and has added nothing. */
  async #add(): Promise<void> {
    const outcome = await this.#ask("SET SESSION wsrep_retry_autocommit = 0; UPDATE total SET n = n + 1 WHERE id = 1;");
    if (outcome === "acked") this.#added++;
    else if (outcome === "conflict") this.#conflicts++;
    else if (outcome === "unknown") this.#maybeAdded++;
  }

  async #ask(statement: string): Promise<"acked" | "unknown" | "refused" | "conflict"> {
    try {
      this.#session ??= sqlSession(await this.#address(), this.#password);
      const { stderr } = await this.#session.run(statement, DEADLINE_MS);
      if (stderr.length === 0) return "acked";
      const error = stderr.find((line) => line.startsWith("ERROR ")) ?? ""; // the statement comes before it
      if (CONFLICT.test(error)) return "conflict";
      if (NOT_IN_GROUP.test(error)) {
        this.#end(); // the address may name another member next time
        return "refused";
      }
      this.#errors.add(error.slice(0, 120));
    } catch (error) {
      this.#errors.add(String(error).slice(0, 120));
      // The client was killed: whatever it still had under way may have been done.
    }
    this.#end(); // a connection that broke is not made again, and the member may be elsewhere
    return "unknown";
  }

  #end(): void {
    this.#session?.close();
    this.#session = undefined;
  }
}
