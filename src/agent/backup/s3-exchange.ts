/** One request to S3 and its answer. Knows bytes, silence and why nothing came; nothing of what is asked again. */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import type { Clock } from "../../clock.ts";
import { textOf } from "./s3-xml.ts";

const SLICE_BYTES = 64 * 1024; // TLS would make a second copy of a whole part
const LONGEST_MESSAGE = 500;
/** S3's own names of what passes; some of them come with a status that says otherwise. */
const PASSING_CODES = ["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"];

/** Why a request was not done: what S3 said, or why it said nothing. Never holds what was sent. */
export class S3Failure extends Error {
  override readonly name = "S3Failure";
  /** HTTP status; undefined without an answer. */
  readonly status: number | undefined;
  /** S3's word for it, such as NoSuchKey; undefined where there is none, as in an answer to HEAD. */
  readonly code: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** Whether it may go well when it is asked again. */
  readonly passes: boolean;

  private constructor(message: string, details: Partial<Omit<S3Failure, keyof Error>> & { readonly cause?: unknown }) {
    super(message, { cause: details.cause });
    this.status = details.status;
    this.code = details.code;
    this.retryAfterMs = details.retryAfterMs;
    this.passes = details.passes ?? false;
  }

  /** Of an answer that is not the one that was asked for: an error's, even where its status is 200, or somebody else's. */
  static ofAnswer({ statusCode: status = 0, headers }: IncomingMessage, body: string): S3Failure {
    const code = textOf(body, "Code");
    const words = textOf(body, "Message");
    const message = `HTTP ${status}${code === undefined ? "" : ` ${code}`}${words === undefined ? "" : ` (${words})`}`;
    const seconds = /^[0-9]+$/.exec(headers["retry-after"] ?? "")?.[0];
    return new S3Failure(withoutProof(message).slice(0, LONGEST_MESSAGE), {
      status,
      code,
      retryAfterMs: seconds === undefined ? undefined : Number(seconds) * 1000,
      // An answer of 200 that is an error is one that came too late for its status.
      passes: status < 300 || status === 429 || (status >= 500 && status !== 501) || PASSING_CODES.includes(code ?? ""),
    });
  }

  /** Of an answer that did not come, or not as a whole. */
  static ofSilence(error: Error, passes = true): S3Failure {
    const { code } = error as NodeJS.ErrnoException; // with several addresses tried, the message is empty
    return new S3Failure(`no answer: ${error.message || (code ?? error.name)}`, { passes, cause: error });
  }
}

/** How long to wait for what. */
export interface Patience {
  readonly clock: Clock;
  /** Longest time in which no byte goes either way. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** Begins at once. Whoever has begun one must `release` it. */
export class S3Exchange {
  /** The answer once its headers are there, whatever its status. @throws {S3Failure} */
  readonly answer: Promise<IncomingMessage>;
  readonly #patience: Patience;
  readonly #sent: ClientRequest;
  readonly #onAbort = (): void => this.#fail(new Error("ended on request"));
  #received: IncomingMessage | undefined;
  #cancelTimer = (): void => undefined;

  constructor(options: RequestOptions & { readonly agent: Agent }, body: Buffer | undefined, patience: Patience) {
    this.#patience = patience;
    this.#sent = options.protocol === "https:" ? httpsRequest(options) : httpRequest(options);
    this.#sent.on("drain", () => this.#touch());
    this.answer = new Promise((resolve, reject) => {
      this.#sent.on("error", (error) => reject(S3Failure.ofSilence(error, !isUntrusted(this.#sent))));
      this.#sent.on("response", (answer) => {
        this.#received = answer;
        answer.on("error", () => undefined); // who reads it is told
        this.#touch();
        resolve(answer);
      });
    });
    patience.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (patience.signal.aborted) this.#onAbort();
    this.#touch();
    if (body === undefined || body.length <= SLICE_BYTES) this.#sent.end(body);
    else Readable.from(slices(body), { objectMode: false }).pipe(this.#sent);
  }

  /** The rest of the answer as text. @throws {S3Failure} when it breaks off, or is longer than `maxBytes`. */
  async text(maxBytes: number): Promise<string> {
    const answer = await this.answer;
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        this.#touch();
        bytes += chunk.length;
        if (bytes > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      throw S3Failure.ofSilence(error as Error);
    }
    // An answer that came before all was sent: the connection is of no use for another request.
    if (!this.#sent.writableFinished) this.#sent.destroy();
    return Buffer.concat(chunks).toString();
  }

  /** Leaves the answer to who has it. */
  release(): void {
    this.#cancelTimer();
    this.#patience.signal.removeEventListener("abort", this.#onAbort);
  }

  #touch(): void {
    const { clock, idleTimeoutMs } = this.#patience;
    this.#cancelTimer();
    this.#cancelTimer = clock.schedule(idleTimeoutMs, () => this.#fail(new Error(`no byte for ${idleTimeoutMs} ms`)));
  }

  #fail(error: Error): void {
    (this.#received ?? this.#sent).destroy(error);
  }
}

/** Whether the server could not prove who it is. */
function isUntrusted({ socket }: ClientRequest): boolean {
  return socket !== null && "authorizationError" in socket && Boolean(socket.authorizationError);
}

/** Signatures and hashes are as long as this. Some stores quote what they were sent. */
function withoutProof(text: string): string {
  return text.replaceAll(/[0-9a-f]{64}/gi, "…");
}

function* slices(body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; start += SLICE_BYTES) yield body.subarray(start, start + SLICE_BYTES);
}
