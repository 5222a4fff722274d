// HTTP to one API server: pooled connections, one pool for calls and one for watches, so that long streams never hold up a write.
// Knows bytes, credentials and deadlines; nothing of kinds or objects.
import { StringDecoder } from "node:string_decoder";
import Pool from "undici/lib/dispatcher/pool.js";
import { type Clock, systemClock } from "../clock.ts";
import { TransportError } from "./api-error.ts";
import type { Connection, Credentials } from "./connection.ts";

export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly body: string;
}

/** An answer whose body is still coming in. `text` ends when the server ends it; leaving the loop early closes the connection. */
export interface HttpStream {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly text: AsyncGenerator<string, void, void>;
}

export interface TransportOptions {
  readonly userAgent?: string;
  readonly clock?: Clock;
  /** How many calls run at the same time, default 16; more wait. Watches have no limit. */
  readonly connections?: number;
}

/** How a call may end early. `timeoutMs` counts from now; for a stream it covers the time until the headers. */
export interface Limits {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
}

const CREDENTIALS_MAX_AGE_MS = 60_000; // as client-go does for projected tokens
const KEEP_ALIVE_MS = 60_000; // the API server closes idle connections after 90 s: we must be first, or a write is lost in between
const BUFFERED_TEXT_LIMIT = 1 << 20;

interface Pools {
  readonly credentials: Credentials;
  readonly readAtMs: number;
  readonly calls: Pool;
  readonly watches: Pool;
}

type Controller = Parameters<NonNullable<Handler["onRequestStart"]>>[0];
type Handler = Parameters<Pool["dispatch"]>[1];

/** Sends requests to one API server. `close` frees its sockets. */
export class Transport {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #connections: number;
  #pools: Promise<Pools> | undefined;
  #closed = false;

  constructor(connection: Connection, options: TransportOptions = {}) {
    this.#connection = connection;
    this.#clock = options.clock ?? systemClock;
    this.#userAgent = options.userAgent ?? "quorate";
    this.#connections = options.connections ?? 16;
  }

  /** Sends a request and reads the whole answer. @throws {TransportError} without a complete answer. */
  async call(request: HttpRequest, limits: Limits): Promise<HttpAnswer> {
    const exchange = new Exchange(this.#clock, limits);
    await this.#dispatch("calls", request, exchange);
    const head = await exchange.head;
    let body = "";
    for await (const text of exchange.text()) body += text;
    return { ...head, body };
  }

  /** Sends a request and returns as soon as the headers are there. @throws {TransportError} without headers. */
  async stream(request: HttpRequest, limits: Limits): Promise<HttpStream> {
    const exchange = new Exchange(this.#clock, limits);
    await this.#dispatch("watches", request, exchange);
    const head = await exchange.head;
    exchange.dropDeadline();
    return { ...head, text: exchange.text() };
  }

  /** Forgets the credentials read so far; for use after a 401. */
  refreshCredentials(): void {
    const known = this.#pools;
    if (known === undefined) return;
    this.#pools = known.then((pools) => ({ ...pools, readAtMs: Number.NEGATIVE_INFINITY }));
    this.#pools.catch(() => undefined); // whoever uses it next sees the failure
  }

  /** Breaks off everything that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    const pools = await this.#pools?.catch(() => undefined);
    this.#pools = undefined;
    await Promise.all([pools?.calls.destroy(), pools?.watches.destroy()]);
  }

  async #dispatch(pool: "calls" | "watches", request: HttpRequest, exchange: Exchange): Promise<void> {
    try {
      const pools = await this.#current();
      const { authorization, serverName } = pools.credentials;
      pools[pool].dispatch(
        {
          method: request.method,
          path: request.path,
          body: request.body ?? null,
          headers: {
            accept: "application/json",
            "user-agent": this.#userAgent,
            ...(request.contentType === undefined ? {} : { "content-type": request.contentType }),
            ...(authorization === undefined ? {} : { authorization }),
          },
          headersTimeout: 0, // the exchange has one deadline for all of it
          bodyTimeout: 0,
          ...(serverName === undefined ? {} : { servername: serverName }),
        },
        exchange,
      );
    } catch (error) {
      exchange.fail(codeOf(error));
    }
  }

  async #current(): Promise<Pools> {
    if (this.#closed) throw new TransportError("CLOSED", false);
    const known = await this.#pools?.catch(() => undefined);
    if (known !== undefined && this.#clock.monotonicMs() - known.readAtMs < CREDENTIALS_MAX_AGE_MS) return known;
    // Several calls may come here at the same time: the first one reads, the others wait for it.
    const refreshed = this.#refreshing ?? this.#refresh(known);
    this.#refreshing = refreshed;
    try {
      return await refreshed;
    } finally {
      this.#refreshing = undefined;
    }
  }

  #refreshing: Promise<Pools> | undefined;

  async #refresh(known: Pools | undefined): Promise<Pools> {
    let credentials: Credentials;
    try {
      credentials = await this.#connection.credentials();
    } catch (error) {
      // A projected token is replaced by a rename, and an exec plugin may fail once: the old credentials may still do.
      if (known === undefined) throw new TransportError(codeOf(error), false);
      credentials = known.credentials;
    }
    const readAtMs = this.#clock.monotonicMs();
    if (known !== undefined && sameTls(known.credentials, credentials)) {
      return this.#keep({ ...known, credentials, readAtMs });
    }
    const tls = {
      ca: credentials.ca,
      cert: credentials.cert,
      key: credentials.key,
      rejectUnauthorized: credentials.skipTlsVerify !== true,
      keepAliveInitialDelay: 15_000,
      timeout: 10_000,
    };
    // HTTP/1.1: a half-open HTTP/2 connection would take all watches down at once and has no ping in undici.
    const shared = { connect: tls, allowH2: false, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS };
    const calls = new Pool(this.#connection.server, { ...shared, connections: this.#connections });
    const watches = new Pool(this.#connection.server, shared);
    // Let running calls end on the old certificates; watches are cut, their reflectors resume on the new ones.
    void known?.calls.close().catch(() => undefined);
    void known?.watches.destroy().catch(() => undefined);
    return this.#keep({ credentials, readAtMs, calls, watches });
  }

  #keep(pools: Pools): Pools {
    this.#pools = Promise.resolve(pools);
    return pools;
  }
}

type Head = Pick<HttpAnswer, "status" | "retryAfterMs">;

/** One request and its answer, from undici's callbacks to a promise and a generator. */
class Exchange implements Handler {
  readonly head: Promise<Head>;
  readonly #resolveHead: (head: Head) => void;
  readonly #rejectHead: (error: TransportError) => void;
  readonly #decoder = new StringDecoder("utf8");
  readonly #cancelDeadline: () => void;
  readonly #removeAbort: () => void;
  #controller: Controller | undefined;
  #chunks: string[] = [];
  #buffered = 0;
  #ended = false;
  #failure: TransportError | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, limits: Limits) {
    const { promise, resolve, reject } = Promise.withResolvers<Head>();
    this.head = promise;
    this.#resolveHead = resolve;
    this.#rejectHead = reject;
    promise.catch(() => undefined); // awaited by the caller, but only after the dispatch
    const { signal } = limits;
    const onAbort = () => this.fail("ABORTED");
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#removeAbort = () => signal?.removeEventListener("abort", onAbort);
    this.#cancelDeadline = clock.schedule(limits.timeoutMs, () => this.fail("DEADLINE"));
    if (signal?.aborted === true) this.fail("ABORTED");
  }

  /** Lets the rest of the answer take as long as it likes. */
  dropDeadline(): void {
    this.#cancelDeadline();
  }

  /** Ends the exchange; a request that was not sent yet never will be. The first failure counts. */
  fail(code: string): void {
    if (this.#ended) return;
    this.#failure = new TransportError(code, this.#controller !== undefined);
    this.#finish();
    this.#rejectHead(this.#failure);
    this.#controller?.abort(this.#failure);
  }

  /** The body in pieces, decoded. */
  async *text(): AsyncGenerator<string, void, void> {
    try {
      for (;;) {
        const chunks = this.#chunks;
        this.#chunks = [];
        this.#buffered = 0;
        if (this.#controller?.paused === true) this.#controller.resume();
        yield* chunks;
        if (this.#chunks.length > 0) continue;
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.fail("CLOSED"); // nothing happens when the answer is complete
    }
  }

  onRequestStart(controller: Controller): void {
    // Called before the first byte is written: whatever failed earlier was never sent.
    if (this.#ended) controller.abort(new TransportError("CLOSED", false));
    else this.#controller = controller;
  }

  onResponseStart(
    _controller: Controller,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#resolveHead({ status, retryAfterMs: parseRetryAfter(headers["retry-after"]) });
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    const text = this.#decoder.write(chunk);
    this.#chunks.push(text);
    this.#buffered += text.length;
    if (this.#buffered > BUFFERED_TEXT_LIMIT) controller.pause();
    this.#signalReader();
  }

  onResponseEnd(): void {
    this.#finish();
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.fail(codeOf(error));
  }

  #finish(): void {
    this.#ended = true;
    this.#cancelDeadline();
    this.#removeAbort();
    this.#signalReader();
  }

  #signalReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function sameTls(a: Credentials, b: Credentials): boolean {
  return a.ca === b.ca && a.cert === b.cert && a.key === b.key && a.skipTlsVerify === b.skipTlsVerify;
}

/** The errno or undici code of an error; never its message, which may quote what was sent. */
function codeOf(error: unknown): string {
  if (error instanceof TransportError) return error.code;
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]); // several addresses tried
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : error instanceof Error ? error.name : "UNKNOWN";
}

/** Seconds only: the API server sends no dates. */
function parseRetryAfter(header: string | string[] | undefined): number | undefined {
  if (typeof header !== "string" || !/^[0-9]+$/.test(header)) return undefined;
  return Number(header) * 1000;
}
