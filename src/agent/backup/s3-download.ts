/** The body of an object that goes on where its connection broke. */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { RetryableError } from "../../errors.ts";
import { IDLE_TIMEOUT_MS, type S3Client } from "./s3-client.ts";

/** How many connections in a row may break before one of them has brought a byte. */
const FRUITLESS_CONNECTIONS = 5;

/** See `ObjectStore.get`. */
export async function getObject(client: S3Client, key: string, signal: AbortSignal): Promise<Readable> {
  const answer = await client.open({ operation: "GetObject", method: "GET", key }, signal);
  return new ObjectBody(client, key, answer, signal);
}

class ObjectBody extends Readable {
  readonly #client: S3Client;
  readonly #key: string;
  readonly #etag: string | undefined;
  readonly #totalBytes: number;
  readonly #signal: AbortSignal;
  /** Ends what is asked for when nobody reads any more. */
  readonly #left = new AbortController();
  readonly #onAbort = (): void => void this.destroy(this.#error("GetObject was ended on request", "Aborted"));
  #answer: IncomingMessage | undefined;
  #readBytes = 0;
  #fruitless = 0;
  #isWanted = false;
  #cancelTimer = (): void => undefined;

  constructor(client: S3Client, key: string, answer: IncomingMessage, signal: AbortSignal) {
    super();
    this.#client = client;
    this.#key = key;
    this.#signal = signal;
    this.#etag = answer.headers.etag;
    this.#totalBytes = Number(answer.headers["content-length"] ?? Number.NaN);
    signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#follow(answer);
    if (signal.aborted) this.#onAbort();
    // Where all that comes before the connection closes is taken for the whole, a part would pass for it.
    else if (Number.isNaN(this.#totalBytes))
      this.destroy(this.#error("GetObject: the store does not say how long the object is", "ObjectStoreUnavailable"));
  }

  override _read(): void {
    this.#isWanted = true;
    this.#watch();
    this.#answer?.resume();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#cancelTimer();
    this.#left.abort();
    this.#answer?.destroy();
    callback(error);
  }

  #follow(answer: IncomingMessage): void {
    this.#answer = answer;
    let why = "the connection was closed";
    answer.on("data", (chunk: Buffer) => {
      this.#readBytes += chunk.length;
      this.#fruitless = 0;
      this.#isWanted = this.push(chunk);
      if (!this.#isWanted) answer.pause();
      this.#watch();
    });
    answer.on("error", (error) => (why = error.message));
    answer.on("close", () => {
      this.#answer = undefined;
      this.#cancelTimer();
      if (this.destroyed) return;
      if (this.#readBytes === this.#totalBytes) this.push(null);
      else void this.#reopen(why);
    });
    if (!this.#isWanted) answer.pause();
  }

  /** Silence counts while somebody waits: a reader that takes its time is no fault of the store. */
  #watch(): void {
    this.#cancelTimer();
    if (!this.#isWanted) return;
    const giveUp = (): void => void this.#answer?.destroy(new Error(`no byte for ${IDLE_TIMEOUT_MS} ms`));
    this.#cancelTimer = this.#client.clock.schedule(IDLE_TIMEOUT_MS, giveUp);
  }

  /** Asks for the rest of the same object: one that has come into its place is refused, by its tag. */
  async #reopen(why: string): Promise<void> {
    const signal = AbortSignal.any([this.#signal, this.#left.signal]);
    const broken = this.#error(
      `GetObject: ${why} after ${this.#readBytes} of ${this.#totalBytes} bytes`,
      "ObjectStoreUnavailable",
    );
    const failed = this.#fruitless++;
    if (this.#etag === undefined || failed === FRUITLESS_CONNECTIONS) {
      this.destroy(broken);
      return;
    }
    try {
      if (!(await this.#client.pause(failed, signal))) return; // destroyed meanwhile
      const headers = { range: `bytes=${this.#readBytes}-`, "if-match": this.#etag };
      const request = { operation: "GetObject", method: "GET", key: this.#key, headers } as const;
      const answer = await this.#client.open(request, signal);
      const range = `bytes ${this.#readBytes}-${this.#totalBytes - 1}/${this.#totalBytes}`;
      if (answer.headers["content-range"] === range) this.#follow(answer);
      else {
        answer.destroy();
        this.destroy(broken); // it begins anew, or is another one
      }
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #error(message: string, reason: string): RetryableError {
    return new RetryableError(message, { reason, object: this.#client.nameOf(this.#key) });
  }
}
