/**
 * Messages between the agents of one cluster: HTTPS with mutual TLS, JSON, connections kept alive.
 * Also the two ways to notice at once that a member is gone: a request held open by its agent, and its init's port.
 */
import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { readFileSync } from "node:fs";
import { createServer, Agent, request, type Server } from "node:https";
import { connect } from "node:net";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { IntentMember } from "../api/agent-wire.ts";
import { listen, type Listener } from "../listener.ts";

/** Longest message taken; the largest real one is a few kilobytes. */
const MAX_BODY_BYTES = 256 * 1024;

/** Both sides are ours. */
const MIN_VERSION = "TLSv1.3";

/** Why a member could not be asked. `refused`: its host answered that nobody listens. `timeout`: nothing came back. */
export type PeerFailure = "refused" | "timeout" | "error";

/** A message that got no answer. */
export class PeerError extends Error {
  override readonly name = "PeerError";
  readonly failure: PeerFailure;

  constructor(failure: PeerFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** Certificate, key and authority, read anew from the mounted Secret for each new server or client context. */
export interface PeerIdentity {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Reads the identity from the folder that the peer Secret is mounted in. */
export function readPeerIdentity(folder: string): PeerIdentity {
  return {
    ca: readFileSync(join(folder, "ca.crt")),
    cert: readFileSync(join(folder, "tls.crt")),
    key: readFileSync(join(folder, "tls.key")),
  };
}

/** Asks the other members. All calls settle within their `timeoutMs`. */
export class PeerClient {
  readonly #serverName: string;
  readonly #lookup = cachedLookup();
  #identity: PeerIdentity;
  /** Made when it is needed: until then neither HTTPS nor the certificate costs the start of an agent anything. */
  #pool: Agent | undefined;

  /** @param serverName - A name that every member's certificate carries, whatever address the member is reached by. */
  constructor(identity: PeerIdentity, serverName: string) {
    this.#serverName = serverName;
    this.#identity = identity;
  }

  /** Uses a renewed certificate for connections from now on. Those that are open go on: a held one that ends is news of a death. */
  renew(identity: PeerIdentity): void {
    this.#identity = identity;
    this.#pool = undefined;
  }

  /**
   * Sends one message.
   *
   * @returns the parsed JSON answer; its shape is for the caller to check.
   * @throws {PeerError}
   */
  send(member: IntentMember, body: unknown, timeoutMs: number): Promise<unknown> {
    return this.#call(member, { method: "POST", path: "/v1/message", body: JSON.stringify(body), timeoutMs });
  }

  /** Holds a request open until the member's agent or its host ends it, or `signal` aborts. Never rejects. */
  hold(member: IntentMember, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const call = request({ ...this.#target(member), method: "GET", path: "/v1/hold", signal, agent: this.#agent });
      call.setSocketKeepAlive(true, 1000);
      call.on("response", (response) => response.resume().on("close", () => resolve()));
      call.on("error", () => resolve());
      call.on("close", () => resolve());
      call.end();
    });
  }

  close(): void {
    this.#pool?.destroy();
  }

  get #agent(): Agent {
    this.#pool ??= new Agent({
      ...this.#identity,
      keepAlive: true,
      maxSockets: 8,
      servername: this.#serverName,
      minVersion: MIN_VERSION,
    });
    return this.#pool;
  }

  #target(member: IntentMember): { host: string; port: number; lookup: ReturnType<typeof cachedLookup> } {
    return { host: member.host, port: member.agentPort, lookup: this.#lookup };
  }

  #call(
    member: IntentMember,
    options: { method: string; path: string; body: string; timeoutMs: number },
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = request({
        ...this.#target(member),
        method: options.method,
        path: options.path,
        agent: this.#agent,
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(options.body) },
      });
      const timer = setTimeout(
        () => call.destroy(new PeerError("timeout", `${member.name} did not answer`)),
        options.timeoutMs,
      );
      const settle = (error: Error | undefined, value?: unknown): void => {
        clearTimeout(timer);
        if (error === undefined) resolve(value);
        else
          reject(
            error instanceof PeerError ? error : new PeerError(failureOf(error), `${member.name}: ${error.message}`),
          );
      };
      call.on("error", settle);
      call.on("response", (response) => {
        readJson(response).then(
          (value) =>
            response.statusCode === 200
              ? settle(undefined, value)
              : settle(new PeerError("error", `${member.name} answered ${response.statusCode}`)),
          (error: Error) => settle(error),
        );
      });
      call.end(options.body);
    });
  }
}

/**
 * Whether the member's init still listens. Init is the first process of its container: with it, all others are gone.
 *
 * @returns `refused` only when the member's own host says that nobody listens there.
 */
export function probeInit(member: IntentMember, timeoutMs: number): Promise<"alive" | PeerFailure> {
  return new Promise((resolve) => {
    const socket = connect({ host: member.host, port: member.initPort });
    const end = (result: "alive" | PeerFailure): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end("timeout"), timeoutMs);
    socket.on("connect", () => end("alive"));
    socket.on("error", (error) => end(failureOf(error)));
  });
}

/** Answers the other members' messages. */
export class PeerServer {
  readonly #answer: (body: unknown) => Promise<unknown>;
  #identity: PeerIdentity;
  #server: Server | undefined;

  /** @param answer - Given the parsed body, returns what to send back; a rejection becomes status 500. */
  constructor(identity: PeerIdentity, answer: (body: unknown) => Promise<unknown>) {
    this.#identity = identity;
    this.#answer = answer;
  }

  /** Uses a renewed certificate for connections from now on. */
  renew(identity: PeerIdentity): void {
    this.#identity = identity;
    this.#server?.setSecureContext({ ...identity, minVersion: MIN_VERSION });
  }

  listen(port: number, host?: string): Promise<Listener> {
    const server = createServer(
      { ...this.#identity, requestCert: true, rejectUnauthorized: true, minVersion: MIN_VERSION },
      (incoming, response) => {
        if (incoming.method === "GET" && incoming.url === "/v1/hold") return;
        if (incoming.method !== "POST" || incoming.url !== "/v1/message")
          return reply(response, 404, { error: "unknown path" });
        readJson(incoming)
          .then(this.#answer)
          .then(
            (value) => reply(response, 200, value),
            (error: Error) => reply(response, 500, { error: error.message }),
          );
      },
    );
    server.requestTimeout = 0;
    server.keepAliveTimeout = 60_000;
    this.#server = server;
    return listen(server, port, host);
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

async function readJson(stream: IncomingMessage): Promise<unknown> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) {
    text += chunk as string;
    if (text.length > MAX_BODY_BYTES) throw new PeerError("error", "message too long");
  }
  return JSON.parse(text) as unknown;
}

function failureOf(error: Error): PeerFailure {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (code === "ECONNREFUSED") return "refused";
  if (code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH") return "timeout";
  return "error";
}

/**
 * A name look-up that falls back to the last address when DNS does not answer: a failover must not depend on DNS.
 * A fresh answer is asked for on every new connection, because a re-created pod has another address.
 */
function cachedLookup(): typeof dnsLookup {
  const last = new Map<string, LookupAddress[]>();
  const lookup = (
    host: string,
    options: { all?: boolean },
    callback: (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void,
  ): void => {
    dnsLookup(host, { all: true }, (error, addresses) => {
      if (error === null) last.set(host, addresses);
      const known = error === null ? addresses : last.get(host);
      const [first] = known ?? [];
      if (known === undefined || first === undefined) callback(error, "");
      else if (options.all === true) callback(null, known);
      else callback(null, first.address, first.family);
    });
  };
  return lookup as typeof dnsLookup;
}
