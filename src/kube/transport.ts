// HTTP to one API server: pooled connections, one pool for calls and one for watches, so that long streams never hold up a write.
// Knows bytes, credentials and deadlines; nothing of kinds or objects.
import * as http from "node:http";
import * as https from "node:https";
import type { Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { urlToHttpOptions } from "node:url";
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

/** Reads a body. @returns undefined when it is no JSON: a proxy's page, or an answer cut short. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const CREDENTIALS_MAX_AGE_MS = 60_000; // as client-go does for projected tokens
const KEEP_ALIVE_MS = 60_000; // the API server closes idle connections after 90 s: we must be first, or a write is lost in between
const KEEP_ALIVE_PROBE_MS = 15_000; // of TCP, on idle connections

/** Connections that share one set of credentials. */
interface Pools {
  readonly credentials: Credentials;
  readonly readAtMs: number;
  readonly calls: http.Agent;
  readonly watches: http.Agent;
}

/** Sends requests to one API server. `close` frees its sockets. */
export class Transport {
  readonly #connection: Connection;
  readonly #server: URL;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #connections: number;
  readonly #underWay = new Set<Exchange>();
  #pools: Pools | undefined;
  #refreshing: Promise<Pools> | undefined;
  #closed = false;

  constructor(connection: Connection, options: TransportOptions = {}) {
    this.#connection = connection;
    this.#server = new URL(connection.server);
    this.#clock = options.clock ?? systemClock;
    this.#userAgent = options.userAgent ?? "quorate";
    this.#connections = options.connections ?? 16;
  }

  /** Sends a request and reads the whole answer. @throws {TransportError} without a complete answer. */
  async call(request: HttpRequest, limits: Limits): Promise<HttpAnswer> {
    const exchange = this.#begin("calls", request, limits);
    const head = await exchange.head;
    let body = "";
    for await (const text of exchange.text()) body += text;
    return { ...head, body };
  }

  /** Sends a request and returns as soon as the headers are there. @throws {TransportError} without headers. */
  async stream(request: HttpRequest, limits: Limits): Promise<HttpStream> {
    const exchange = this.#begin("watches", request, limits);
    const head = await exchange.head;
    exchange.dropDeadline();
    return { ...head, text: exchange.text() };
  }

  /** Forgets the credentials read so far; for use after a 401. */
  refreshCredentials(): void {
    if (this.#pools !== undefined) this.#pools = { ...this.#pools, readAtMs: Number.NEGATIVE_INFINITY };
  }

  /** Breaks off everything that is under way. */
  close(): void {
    this.#closed = true;
    for (const exchange of this.#underWay) exchange.fail("CLOSED");
    this.#pools?.calls.destroy();
    this.#pools?.watches.destroy();
    this.#pools = undefined;
  }

  #begin(pool: "calls" | "watches", request: HttpRequest, limits: Limits): Exchange {
    const exchange = new Exchange(this.#clock, limits, this.#underWay);
    void this.#send(pool, request, exchange);
    return exchange;
  }

  async #send(pool: "calls" | "watches", request: HttpRequest, exchange: Exchange): Promise<void> {
    try {
      const pools = await this.#current();
      if (exchange.hasEnded) return;
      const { method, path, contentType, body } = request;
      const { authorization, serverName } = pools.credentials;
      const server = urlToHttpOptions(this.#server);
      const options: https.RequestOptions = {
        ...server,
        path: `${this.#server.pathname.replace(/[/]$/, "")}${path}`,
        method,
        agent: pools[pool],
        headers: {
          accept: "application/json",
          "user-agent": this.#userAgent,
          ...(contentType === undefined ? {} : { "content-type": contentType }),
          ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }), // Node sends none with DELETE
          ...(authorization === undefined ? {} : { authorization }),
        },
        ...(serverName === undefined ? {} : { servername: serverName }),
      };
      const sent = this.#server.protocol === "https:" ? https.request(options) : http.request(options);
      exchange.follow(sent);
      sent.end(body);
    } catch (error) {
      exchange.fail(codeOf(error));
    }
  }

  async #current(): Promise<Pools> {
    if (this.#closed) throw new TransportError("CLOSED", false);
    const known = this.#pools;
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

  async #refresh(known: Pools | undefined): Promise<Pools> {
    let credentials: Credentials;
    try {
      credentials = await this.#connection.credentials();
    } catch (error) {
      // A projected token is replaced by a rename, and an exec plugin may fail once: the old credentials may still do.
      if (known === undefined) throw new TransportError(codeOf(error), false);
      credentials = known.credentials;
    }
    if (this.#closed) throw new TransportError("CLOSED", false);
    const readAtMs = this.#clock.monotonicMs();
    if (known !== undefined && sameTls(known.credentials, credentials)) {
      this.#pools = { ...known, credentials, readAtMs };
      return this.#pools;
    }
    const calls = this.#pool(credentials, this.#connections);
    const watches = this.#pool(credentials, Number.POSITIVE_INFINITY);
    // Let running calls end on the old certificates; watches are cut, their reflectors resume on the new ones.
    if (known !== undefined) retire(known.calls);
    known?.watches.destroy();
    this.#pools = { credentials, readAtMs, calls, watches };
    return this.#pools;
  }

  #pool({ ca, cert, key, skipTlsVerify }: Credentials, maxSockets: number): http.Agent {
    const options: http.AgentOptions = {
      keepAlive: true,
      keepAliveMsecs: KEEP_ALIVE_PROBE_MS,
      timeout: KEEP_ALIVE_MS, // of idle connections; an exchange has one deadline for all of it
      maxSockets,
    };
    if (this.#server.protocol !== "https:") return new http.Agent(options);
    const secureContext = createSecureContext({ ca, cert, key }); // parsed once rather than for every connection
    return new https.Agent({ ...options, secureContext, rejectUnauthorized: skipTlsVerify !== true });
  }
}

/** Closes connections as they become idle; what runs or waits there ends first. */
function retire(agent: http.Agent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

type Head = Pick<HttpAnswer, "status" | "retryAfterMs">;

/** One request and its answer, from Node's events to a promise and a generator. */
class Exchange {
  readonly head: Promise<Head>;
  readonly #resolveHead: (head: Head) => void;
  readonly #rejectHead: (error: TransportError) => void;
  readonly #cancelDeadline: () => void;
  readonly #removeAbort: () => void;
  readonly #underWay: Set<Exchange>;
  #request: http.ClientRequest | undefined;
  #answer: http.IncomingMessage | undefined;
  /** Whether any byte of the request may have left this machine. */
  #sent = false;
  #ended = false;
  #failure: TransportError | undefined;

  constructor(clock: Clock, limits: Limits, underWay: Set<Exchange>) {
    const { promise, resolve, reject } = Promise.withResolvers<Head>();
    this.head = promise;
    this.#resolveHead = resolve;
    this.#rejectHead = reject;
    this.#underWay = underWay.add(this);
    const { signal } = limits;
    const onAbort = () => this.fail("ABORTED");
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#removeAbort = () => signal?.removeEventListener("abort", onAbort);
    this.#cancelDeadline = clock.schedule(limits.timeoutMs, () => this.fail("DEADLINE"));
    if (signal?.aborted === true) this.fail("ABORTED");
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Takes what becomes of `request` as its own. */
  follow(request: http.ClientRequest): void {
    this.#request = request;
    request.on("socket", (socket) => whenConnected(request, socket, () => void (this.#sent = true)));
    request.on("error", (error) => this.fail(codeOf(error)));
    request.on("response", (answer) => {
      this.#answer = answer.setEncoding("utf8");
      answer.on("error", (error) => this.fail(codeOf(error))); // also when nobody reads the body yet
      this.#resolveHead({
        status: answer.statusCode ?? 0,
        retryAfterMs: parseRetryAfter(answer.headers["retry-after"]),
      });
    });
  }

  /** Lets the rest of the answer take as long as it likes. */
  dropDeadline(): void {
    this.#cancelDeadline();
  }

  /** Ends the exchange; a request that was not sent yet never will be. The first failure counts. */
  fail(code: string): void {
    if (this.#ended) return;
    this.#failure = new TransportError(code, this.#sent);
    this.#finish();
    this.#rejectHead(this.#failure);
    (this.#answer ?? this.#request)?.destroy(this.#failure);
  }

  /** The body in pieces, decoded. For use once, after the head. */
  async *text(): AsyncGenerator<string, void, void> {
    try {
      for await (const text of this.#answer ?? []) yield text as string;
      this.#finish();
    } catch (error) {
      this.fail(codeOf(error));
      throw this.#failure;
    } finally {
      this.fail("CLOSED"); // nothing happens when the answer is complete
    }
  }

  #finish(): void {
    this.#ended = true;
    this.#cancelDeadline();
    this.#removeAbort();
    this.#underWay.delete(this);
  }
}

/** Sockets over which a request has gone out. Node tells it of one taken from the idle ones, not of one a request waited for. */
const CONNECTED = new WeakSet<Socket>();

/** Calls `then` as soon as bytes of `request` may go out: not before the server has proved who it is. */
function whenConnected(request: http.ClientRequest, socket: Socket, then: () => void): void {
  if (request.reusedSocket || CONNECTED.has(socket)) {
    then();
    return;
  }
  socket.once("encrypted" in socket ? "secureConnect" : "connect", () => {
    CONNECTED.add(socket);
    then();
  });
}

function sameTls(a: Credentials, b: Credentials): boolean {
  return a.ca === b.ca && a.cert === b.cert && a.key === b.key && a.skipTlsVerify === b.skipTlsVerify;
}

/** The errno or other code of an error; never its message, which may quote what was sent. */
function codeOf(error: unknown): string {
  if (error instanceof TransportError) return error.code;
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]); // several addresses tried
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : error instanceof Error ? error.name : "UNKNOWN";
}

/** Seconds only: the API server sends no dates. */
function parseRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined || !/^[0-9]+$/.test(header)) return undefined;
  return Number(header) * 1000;
}
