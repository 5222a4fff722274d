/** A client of Redis that follows the write route and counts: one key after the other, what was acknowledged, by how many followers. */
import { DEADLINE_MS, type RedisAddress, RedisConnection } from "./redis-connection.ts";

const READ_BACK_MS = 120_000;
const INTERVAL_MS = 10;

/** What became of a client's writes. */
export interface RedisVerdict {
  readonly acked: number;
  readonly unknown: number;
  readonly lost: number;
  readonly largestGapMs: number;
}

/** Writes until told to stop, then looks for everything that was acknowledged. */
export class RedisClient {
  readonly #route: () => Promise<RedisAddress | undefined>;
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
  constructor(route: () => Promise<RedisAddress | undefined>, password: string, followers: number) {
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
    return { acked: this.acked, unknown: this.#unknown, lost: await this.#lost(), largestGapMs: this.#largestGapMs };
  }

  /** How many that were acknowledged are not there. A leader may change while it is asked: then the next one is asked anew. */
  async #lost(): Promise<number> {
    const endMs = Date.now() + READ_BACK_MS;
    for (;;) {
      const connection = await this.#connect();
      try {
        let lost = 0;
        for (const seq of this.#acked) lost += (await connection.ask(`EXISTS ${this.#prefix}-${seq}`)) === "1" ? 0 : 1;
        return lost;
      } catch (error) {
        if (Date.now() > endMs) throw error;
        await pause(INTERVAL_MS);
      } finally {
        connection.end();
      }
    }
  }

  async #write(): Promise<void> {
    let connection: RedisConnection | undefined;
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

  async #put(connection: RedisConnection, seq: number): Promise<void> {
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

  async #connect(): Promise<RedisConnection> {
    for (;;) {
      const route = await this.#route().catch(() => undefined);
      if (route !== undefined) {
        try {
          return await RedisConnection.open(route, this.#password);
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
