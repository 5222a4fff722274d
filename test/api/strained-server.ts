// A proxy in front of a real API server that lets it look overloaded or behind: it refuses, answers late or not at all, comes and goes,
// and its watches stutter, fall silent, break, or begin where it was long ago. Real requests, real answers; only their number, their time,
// their connections and the versions that they ask for are tampered with.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Agent, createServer, request, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex, Readable, Transform } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlPlane } from "./harness.ts";
import { DoubledLines, HeldBytes, isWatch, TornStream, travelled } from "./watch-tampering.ts";

/** What is wrong with it. */
export type Strain =
  | { readonly kind: "None" }
  /** All above so many requests a second are refused with 429, as API Priority and Fairness does when its queues are full. */
  | { readonly kind: "Throttled"; readonly perSecond: number }
  /** Every request waits before it is looked at. */
  | { readonly kind: "Slow"; readonly delayMs: number }
  /** Every connection is cut and none is taken, again and again. */
  | { readonly kind: "Flapping"; readonly upMs: number; readonly downMs: number }
  /** One in so many writes is carried out, and its connection ends before the answer. */
  | { readonly kind: "Unanswered"; readonly oneIn: number }
  /** What watches have to say is kept until it is well again; then it comes at once. */
  | { readonly kind: "Held" }
  /** Every watch breaks so long after it was opened, in the middle of an event. */
  | { readonly kind: "Torn"; readonly afterMs: number }
  /** Watches say everything twice. */
  | { readonly kind: "Doubled" }
  /** Lists are as of this version, and watches begin there, as those of a server of several that is behind (Sieve, OSDI 2022). */
  | { readonly kind: "Behind"; readonly version: string };

/** One request that came through. Connections that were refused are none. */
export interface StrainedRequest {
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
}

const TOO_MANY = { kind: "Status", apiVersion: "v1", status: "Failure", code: 429, reason: "TooManyRequests" };
/** What a server says that cannot list as a watch: its client asks for pages instead. */
const NO_STREAM = { kind: "Status", apiVersion: "v1", status: "Failure", code: 422, reason: "Invalid" };

/**
 * The proxy. Shows the API server's own certificate. Whoever has a token is handed on with it; everybody else asks in the name of the
 * administrator.
 */
export class StrainedServer {
  /** All requests so far, in order. */
  readonly requests: StrainedRequest[] = [];
  /** How often it came back since it flaps. */
  comings = 0;
  /** How many watches, lists and answers it has tampered with under the present strain. */
  tampered = 0;
  readonly #target: URL;
  readonly #agent: Agent;
  readonly #plainAgent: Agent;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  readonly #held = new Set<HeldBytes>();
  #strain: Strain = { kind: "None" };
  #allowance = { tokens: 0, atMs: 0 };
  #isDown = false;
  #writes = 0;
  #flapping = new AbortController();

  private constructor(
    target: URL,
    { administrator, plain }: { readonly administrator: Agent; readonly plain: Agent },
    identity: { readonly cert: string; readonly key: string },
  ) {
    this.#target = target;
    this.#agent = administrator;
    this.#plainAgent = plain;
    this.#server = createServer(identity, (asked, answer) => void this.#serve(asked, answer));
    this.#server.on("connection", (socket) => {
      if (this.#isDown) socket.destroy();
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Starts it in front of `plane`, healthy. */
  static async start(plane: ControlPlane): Promise<StrainedServer> {
    const [ca, cert, key] = await Promise.all(["ca.crt", "admin.crt", "admin.key"].map((name) => plane.pem(name)));
    const agents = {
      administrator: new Agent({ ca, cert, key, keepAlive: true }),
      plain: new Agent({ ca, keepAlive: true }),
    };
    const identity = { cert: await plane.pem("server.crt"), key: await plane.pem("server.key") };
    const strained = new StrainedServer(new URL(plane.server), agents, identity);
    await new Promise<void>((resolve) => strained.#server.listen(0, "127.0.0.1", resolve));
    return strained;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `https://127.0.0.1:${port}`;
  }

  /** From now on it behaves like this; `None` heals it. Watches that are open are tampered with as they were opened: cut them first. */
  suffer(strain: Strain): void {
    this.#strain = strain;
    for (const held of this.#held) held.release();
    this.#held.clear();
    this.#flapping.abort();
    this.#flapping = new AbortController();
    this.#isDown = false;
    this.comings = 0;
    this.tampered = 0;
    if (strain.kind === "Throttled") this.#allowance = { tokens: strain.perSecond, atMs: performance.now() };
    if (strain.kind === "Flapping") void this.#flap(strain, this.#flapping.signal);
  }

  async stop(): Promise<void> {
    this.suffer({ kind: "None" });
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#agent.destroy();
    this.#plainAgent.destroy();
  }

  async #flap({ upMs, downMs }: { readonly upMs: number; readonly downMs: number }, signal: AbortSignal) {
    while (!signal.aborted) {
      this.#isDown = true;
      this.cut();
      await sleep(downMs);
      if (signal.aborted) return;
      this.#isDown = false;
      this.comings += 1;
      await sleep(upMs);
    }
  }

  /** Ends every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = "GET", url: path = "/" } = asked;
    this.requests.push({ atMs: performance.now(), method, path });
    if (this.#strain.kind === "Throttled" && !this.#mayPass(this.#strain.perSecond)) {
      asked.resume();
      answer.writeHead(429, { "content-type": "application/json", "retry-after": "1" }).end(JSON.stringify(TOO_MANY));
      return;
    }
    if (this.#strain.kind === "Slow") await sleep(this.#strain.delayMs);
    if (answer.destroyed) return;
    const strain = this.#strain;
    const asks = strain.kind === "Behind" && method === "GET" ? travelled(path, strain.version) : path;
    if (asks !== path) this.tampered += 1;
    if (asks === undefined) {
      asked.resume();
      answer.writeHead(422, { "content-type": "application/json" }).end(JSON.stringify(NO_STREAM));
    } else {
      this.#forward(asked, answer, { method, path: asks });
    }
  }

  #forward(
    asked: IncomingMessage,
    answer: ServerResponse,
    to: { readonly method: string; readonly path: string },
  ): void {
    const { hostname, port } = this.#target;
    const headers = { ...asked.headers, host: this.#target.host };
    const agent = asked.headers.authorization === undefined ? this.#agent : this.#plainAgent;
    const forwarded = request({ ...to, hostname, port, headers, agent }, (answered) => {
      if (to.method !== "GET" && this.#leavesUnanswered()) {
        answered.resume();
        answer.destroy();
        return;
      }
      answer.writeHead(answered.statusCode ?? 502, answered.headers);
      answer.flushHeaders(); // a watch is open before its first event
      const heard = isWatch(to.path) ? this.#asHeard(answered) : answered;
      heard.once("error", () => answer.destroy());
      heard.pipe(answer);
    });
    forwarded.once("error", () => answer.destroy()); // also when the client left first
    answer.once("close", () => forwarded.destroy());
    asked.pipe(forwarded);
  }

  #leavesUnanswered(): boolean {
    if (this.#strain.kind !== "Unanswered") return false;
    this.#writes += 1;
    if (this.#writes % this.#strain.oneIn !== 0) return false;
    this.tampered += 1;
    return true;
  }

  /** A watch as it is heard under the present strain. */
  #asHeard(watch: IncomingMessage): Readable {
    const strained = this.#strainedStream();
    if (strained === undefined) return watch;
    this.tampered += 1;
    return watch.pipe(strained);
  }

  #strainedStream(): Transform | undefined {
    switch (this.#strain.kind) {
      case "Held": {
        const held = new HeldBytes();
        this.#held.add(held);
        return held;
      }
      case "Torn":
        return new TornStream(this.#strain.afterMs);
      case "Doubled":
        return new DoubledLines();
      default:
        return undefined;
    }
  }

  #mayPass(perSecond: number): boolean {
    const nowMs = performance.now();
    const earned = ((nowMs - this.#allowance.atMs) / 1000) * perSecond;
    const tokens = Math.min(perSecond, this.#allowance.tokens + earned);
    const passes = tokens >= 1;
    this.#allowance = { tokens: passes ? tokens - 1 : tokens, atMs: nowMs };
    return passes;
  }
}

/** The most requests that came within one second. */
export function busiestSecond(requests: readonly StrainedRequest[]): number {
  let most = 0;
  let from = 0;
  for (const [at, { atMs }] of requests.entries()) {
    while (atMs - (requests[from]?.atMs ?? atMs) >= 1000) from += 1;
    most = Math.max(most, at - from + 1);
  }
  return most;
}
