/** A client of Redis that follows the write route and counts: one key after the other, what was acknowledged, by how many followers. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Where writes go at the moment. */
export interface WriteRoute {
  readonly host: string;
  readonly port: number;
  /** Whom to believe, and by what name, of a server that speaks TLS at that port; absent: it does not. */
  readonly tls?: { readonly ca: string; readonly servername?: string };
}

const DEADLINE_MS = 1000;
const INTERVAL_MS = 10;

/** What became of a client's writes. */
export interface RedisVerdict {
  readonly acked: number;
  readonly unknown: number;
  readonly lost: number;
  readonly largestGapMs: number;
}

/** One connection; commands without spaces in their words, answers of one line or of one bulk string. */
class Connection {
  readonly #socket: Socket;
  #text = "";
  #waiting: ((answer: string | Error) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8").on("data", (chunk: string) => this.#take(chunk));
    for (const event of ["error", "close"]) socket.on(event, () => this.#settle(new Error("connection lost")));
  }

  static async open({ host, port, tls }: WriteRoute, password: string): Promise<Connection> {
    const connection = new Connection(tls === undefined ? connect({ host, port }) : connectTls({ host, port, ...tls }));
    try {
      await connection.ask(`AUTH app ${password}`);
      return connection;
    } catch (error) {
      connection.end();
      throw error;
    }
  }

  /** @throws {Error} for an answer that is an error, a lost connection, or none in time. */
  ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(new Error("client deadline")), DEADLINE_MS);
      this.#waiting = (answer) => {
        clearTimeout(timer);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      this.#socket.write(`${command}\r\n`);
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    this.#text += chunk;
    const [, kind = "", line = ""] = /^([+:$-])([^\r]*)\r\n/.exec(this.#text) ?? [];
    if (kind === "") return;
    const [, bulk] = /^\$[0-9]+\r\n([^\r]*)\r\n/.exec(this.#text) ?? [];
    if (kind === "$" && bulk === undefined) return;
    this.#text = "";
    this.#settle(kind === "-" ? new Error(line) : (bulk ?? line));
  }

  #settle(answer: string | Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(answer);
  }
}

/** Writes until told to stop, then looks for everything that was acknowledged. */
export class RedisClient {
  readonly #route: () => Promise<WriteRoute | undefined>;
  readonly #password: string;
  readonly #followers: number;
  readonly #stop = new AbortController();
  readonly #prefix = `w${Date.now()}`;
  readonly #acked: number[] = [];
  #unknown = 0;
  #lastAckMs = 0;
  #largestGapMs = 0;
  #running: Promise<void> | undefined;

  /**
   * @param route - Who takes writes at the moment, as far as is known.
   * @param password - Of the account `app`.
   * @param followers - A write counts as acknowledged once so many followers have confirmed it to the client (WAIT).
   */
  constructor(route: () => Promise<WriteRoute | undefined>, password: string, followers: number) {
    this.#route = route;
    this.#password = password;
    this.#followers = followers;
  }

  /** Acknowledged so far. */
  get acked(): number {
    return this.#acked.length;
  }

  start(): void {
    this.#running = this.#write();
  }

  /** Stops writing and judges. */
  async finish(): Promise<RedisVerdict> {
    this.#stop.abort();
    await this.#running;
    const connection = await this.#connect();
    let lost = 0;
    for (const seq of this.#acked) lost += (await connection.ask(`EXISTS ${this.#prefix}-${seq}`)) === "1" ? 0 : 1;
    connection.end();
    return { acked: this.acked, unknown: this.#unknown, lost, largestGapMs: this.#largestGapMs };
  }

  async #write(): Promise<void> {
    let connection: Connection | undefined;
    for (let seq = 1; !this.#stop.signal.aborted; seq++) {
      connection ??= await this.#connect();
      try {
        await this.#put(connection, seq);
        this.#ack(seq);
      } catch {
        this.#unknown++;
        connection.end();
        connection = undefined;
      }
      await pause(INTERVAL_MS);
    }
    connection?.end();
  }

  async #put(connection: Connection, seq: number): Promise<void> {
    await connection.ask(`SET ${this.#prefix}-${seq} ${seq}`);
    if (this.#followers === 0) return;
    const confirmed = Number(await connection.ask(`WAIT ${this.#followers} ${DEADLINE_MS / 2}`));
    if (confirmed < this.#followers) throw new Error(`${confirmed} followers confirmed`);
  }

  #ack(seq: number): void {
    const nowMs = Date.now();
    if (this.#lastAckMs > 0) this.#largestGapMs = Math.max(this.#largestGapMs, nowMs - this.#lastAckMs);
    this.#lastAckMs = nowMs;
    this.#acked.push(seq);
  }

  async #connect(): Promise<Connection> {
    for (;;) {
      const route = await this.#route().catch(() => undefined);
      if (route !== undefined) {
        try {
          return await Connection.open(route, this.#password);
        } catch {
          // It has just ended, or does not listen yet: the route will say who leads.
        }
      }
      await pause(INTERVAL_MS);
    }
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
