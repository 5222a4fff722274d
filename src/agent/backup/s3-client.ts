/** Asks one bucket of an S3-compatible store: signs, sends, asks again, and says of what failed whether waiting helps. */
import { Agent as HttpAgent, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { createHash } from "node:crypto";
import { createSecureContext, getCACertificates } from "node:tls";
import { urlToHttpOptions } from "node:url";
import { type Clock, type Random, sleep, systemClock } from "../../clock.ts";
import { IndeterminateError, type OperatorError, RetryableError, TerminalError } from "../../errors.ts";
import { ObjectNotFound } from "./object-store.ts";
import { type Patience, S3Exchange, S3Failure } from "./s3-exchange.ts";
import { EMPTY_SHA256, encodePath, encodeQuery, type S3Credentials, signedHeaders } from "./s3-signature.ts";
import { isDocumentOf } from "./s3-xml.ts";

/** Where a bucket is, and who asks it. */
export interface S3Options {
  /** `https://host[:port][/path]`, or with http. The bucket comes after it in the path, never in the name of the host. */
  readonly endpoint: string;
  readonly bucket: string;
  /** What the store signs for; many that are not Amazon's want `us-east-1`. */
  readonly region: string;
  /** Asked for each request, so that they may change at any time. What it throws ends the call. */
  readonly credentials: () => Promise<S3Credentials>;
  /** Authorities in PEM that are believed beside those of the system. */
  readonly ca?: string;
}

/** What tests bring along: time, and chance. */
export interface S3Surroundings {
  readonly clock?: Clock;
  readonly random?: Random;
}

/** One request. */
export interface S3Request {
  /** S3's name for it. */
  readonly operation: string;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Absent: the bucket itself is asked. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Hash of the body in hex, where it is known already. */
  readonly bodySha256?: string;
  /** The document that the answer must be: an error may come with status 200, and so may a proxy's page. */
  readonly document?: string;
  /** Whether it makes an object visible: then nobody knows what one without a good answer has done. */
  readonly commits?: boolean;
  readonly idleTimeoutMs?: number;
}

/** A complete answer. Names of headers are in lower case. */
export interface S3Answer {
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** Longest time in which no byte goes either way. */
export const IDLE_TIMEOUT_MS = 60_000;
/** With the waits between them about a minute, in which a store is started again or gets another leader. */
const ATTEMPTS = 10;
const FIRST_BACKOFF_MS = 200;
const LONGEST_BACKOFF_MS = 20_000;
const LONGEST_RETRY_AFTER_MS = 60_000;
const KEEP_ALIVE_MS = 15_000; // some stores close what is idle for 20 s
const MAX_ANSWER_BYTES = 16 * 1024 * 1024; // a thousand keys of a kilobyte, each byte encoded, and what is said of them
const MAX_ERROR_BYTES = 256 * 1024;

/** Sends requests to one bucket over connections that it keeps. They close by themselves, and keep no process alive. */
export class S3Client {
  readonly clock: Clock;
  readonly #options: S3Options;
  readonly #endpoint: URL;
  readonly #random: Random;
  #pool: HttpAgent | undefined;

  /** @throws {TerminalError} when the endpoint is none. */
  constructor(options: S3Options, { clock = systemClock, random = Math.random }: S3Surroundings = {}) {
    this.#options = options;
    this.#endpoint = parseEndpoint(options.endpoint);
    this.clock = clock;
    this.#random = random;
  }

  /** Sends a request, again if need be, and reads the whole answer. @throws {OperatorError} without a good one. */
  call(request: S3Request, signal: AbortSignal): Promise<S3Answer> {
    return this.#untilAnswered(request, signal, async (exchange) => {
      const answer = await exchange.answer;
      const text = await exchange.text(MAX_ANSWER_BYTES);
      const isWanted = request.document === undefined || isDocumentOf(text, request.document);
      if (!isGood(answer) || !isWanted) throw S3Failure.ofAnswer(answer, text);
      return { headers: answer.headers, text };
    });
  }

  /** As `call`, but with a body that is still to come; it may take its time, and its end is for the caller to see to. */
  open(request: S3Request, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#untilAnswered(request, signal, async (exchange) => {
      const answer = await exchange.answer;
      if (!isGood(answer)) throw S3Failure.ofAnswer(answer, await exchange.text(MAX_ERROR_BYTES));
      return answer;
    });
  }

  /** Waits before the attempt after the `failed`th. @returns false when the signal has aborted. */
  pause(failed: number, signal: AbortSignal, atLeastMs = 0): Promise<boolean> {
    const longestMs = Math.min(FIRST_BACKOFF_MS * 2 ** failed, LONGEST_BACKOFF_MS);
    const delayMs = longestMs * (0.5 + this.#random() / 2);
    return sleep(this.clock, Math.max(delayMs, Math.min(atLeastMs, LONGEST_RETRY_AFTER_MS)), signal);
  }

  /** An object, or the bucket, as errors name it. */
  nameOf(key?: string): string {
    return key === undefined ? `Bucket ${this.#options.bucket}` : `Object ${this.#options.bucket}/${key}`;
  }

  async #untilAnswered<T>(
    request: S3Request,
    signal: AbortSignal,
    read: (exchange: S3Exchange) => Promise<T>,
  ): Promise<T> {
    this.#refuseUnnameable(request.key);
    for (let failed = 0; ; failed++) {
      try {
        return await this.#attempt(request, signal, read);
      } catch (error) {
        if (signal.aborted) throw this.#aborted(request, signal);
        if (!(error instanceof S3Failure)) throw error;
        if (!error.passes || failed + 1 === ATTEMPTS) throw this.#errorOf(request, error);
        if (!(await this.pause(failed, signal, error.retryAfterMs))) throw this.#aborted(request, signal);
      }
    }
  }

  async #attempt<T>(request: S3Request, signal: AbortSignal, read: (exchange: S3Exchange) => Promise<T>): Promise<T> {
    const { method, body, bodySha256, idleTimeoutMs = IDLE_TIMEOUT_MS } = request;
    const query = encodeQuery(request.query ?? {});
    const path = this.#path(request.key);
    const headers = signedHeaders(
      {
        method,
        path,
        query: request.query ?? {},
        headers: { ...request.headers, host: this.#endpoint.host },
        bodySha256: bodySha256 ?? (body === undefined ? EMPTY_SHA256 : createHash("sha256").update(body).digest("hex")),
      },
      { credentials: await this.#options.credentials(), region: this.#options.region, now: this.clock.now() },
    );
    if (method === "PUT" || method === "POST") headers["content-length"] = String(body?.length ?? 0);
    const options = {
      ...urlToHttpOptions(this.#endpoint),
      method,
      path: query === "" ? path : `${path}?${query}`,
      headers,
      agent: this.#agent,
    };
    const patience: Patience = { clock: this.clock, idleTimeoutMs, signal };
    const exchange = new S3Exchange(options, body, patience);
    try {
      return await read(exchange);
    } finally {
      exchange.release();
    }
  }

  #path(key?: string): string {
    const { pathname } = this.#endpoint;
    const object = key === undefined ? "" : `/${encodePath(key)}`;
    return `${pathname.replace(/[/]$/, "")}/${encodePath(this.#options.bucket)}${object}`;
  }

  get #agent(): HttpAgent {
    if (this.#pool !== undefined) return this.#pool;
    const { ca } = this.#options;
    const options = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, timeout: KEEP_ALIVE_MS };
    if (this.#endpoint.protocol === "http:") this.#pool = new HttpAgent(options);
    // Parsed once rather than for every connection, and not at all where the system's do, which Node shares.
    else if (ca === undefined) this.#pool = new HttpsAgent(options);
    else {
      const secureContext = createSecureContext({ ca: [...getCACertificates("default"), ca] });
      this.#pool = new HttpsAgent({ ...options, secureContext });
    }
    return this.#pool;
  }

  /** @throws {TerminalError} for a key that no object has. An empty one would be the bucket itself, to be removed, too. */
  #refuseUnnameable(key: string | undefined): void {
    if (key === "" || key?.isWellFormed() === false)
      throw new TerminalError("No object can have such a key", {
        reason: "ObjectStoreRefused",
        object: this.nameOf(key),
      });
  }

  #aborted({ operation, key }: S3Request, { reason: cause }: AbortSignal): OperatorError {
    return new RetryableError(`${operation} was ended on request`, {
      reason: "Aborted",
      object: this.nameOf(key),
      cause,
    });
  }

  #errorOf({ operation, key, commits }: S3Request, cause: S3Failure): OperatorError {
    const object = this.nameOf(key);
    const isMissing = cause.code === "NoSuchKey" || (operation === "HeadObject" && cause.status === 404);
    if (isMissing) return new ObjectNotFound(object, cause);
    const message = `${operation}: ${cause.message}`;
    if (!cause.passes) return new TerminalError(message, { reason: "ObjectStoreRefused", object, cause });
    const details = { reason: "ObjectStoreUnavailable", object, cause, retryAfterMs: cause.retryAfterMs };
    // Of ten attempts any may have been carried out, whatever the last was told.
    return commits === true ? new IndeterminateError(message, details) : new RetryableError(message, details);
  }
}

function isGood({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

function parseEndpoint(text: string): URL {
  const url = URL.parse(text);
  const isPlain = url !== null && `${url.username}${url.password}${url.search}${url.hash}` === "";
  if (!isPlain || !["http:", "https:"].includes(url.protocol))
    throw new TerminalError("An endpoint is https://host[:port][/path], or with http", {
      reason: "ObjectStoreRefused",
    });
  return url;
}
