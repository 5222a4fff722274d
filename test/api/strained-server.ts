// A proxy in front of a real API server that lets it look overloaded: it refuses, answers late, or comes and goes. Real requests,
// real answers; only their number, their time and their connections are tampered with.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Agent, createServer, request, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlPlane } from "./harness.ts";

/** What is wrong with it. */
export type Strain =
  | { readonly kind: "None" }
  /** All above so many requests a second are refused with 429, as API Priority and Fairness does when its queues are full. */
  | { readonly kind: "Throttled"; readonly perSecond: number }
  /** Every request waits before it is looked at. */
  | { readonly kind: "Slow"; readonly delayMs: number }
  /** Every connection is cut and none is taken, again and again. */
  | { readonly kind: "Flapping"; readonly upMs: number; readonly downMs: number };

/** One request that came through. Connections that were refused are none. */
export interface StrainedRequest {
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
}

const TOO_MANY = { kind: "Status", apiVersion: "v1", status: "Failure", code: 429, reason: "TooManyRequests" };

/** The proxy. Shows the API server's own certificate, and asks everything in the name of its administrator. */
export class StrainedServer {
  /** All requests so far, in order. */
  readonly requests: StrainedRequest[] = [];
  /** How often it came back since it flaps. */
  comings = 0;
  readonly #target: URL;
  readonly #agent: Agent;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  #strain: Strain = { kind: "None" };
  #allowance = { tokens: 0, atMs: 0 };
  #isDown = false;
  #flapping = new AbortController();

  private constructor(target: URL, agent: Agent, identity: { readonly cert: string; readonly key: string }) {
    this.#target = target;
    this.#agent = agent;
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
    const agent = new Agent({ ca, cert, key, keepAlive: true });
    const identity = { cert: await plane.pem("server.crt"), key: await plane.pem("server.key") };
    const strained = new StrainedServer(new URL(plane.server), agent, identity);
    await new Promise<void>((resolve) => strained.#server.listen(0, "127.0.0.1", resolve));
    return strained;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `https://127.0.0.1:${port}`;
  }

  /** From now on it behaves like this; `None` heals it. */
  suffer(strain: Strain): void {
    this.#strain = strain;
    this.#flapping.abort();
    this.#flapping = new AbortController();
    this.#isDown = false;
    this.comings = 0;
    if (strain.kind === "Throttled") this.#allowance = { tokens: strain.perSecond, atMs: performance.now() };
    if (strain.kind === "Flapping") void this.#flap(strain, this.#flapping.signal);
  }

  async stop(): Promise<void> {
    this.suffer({ kind: "None" });
    this.#cut();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#agent.destroy();
  }

  async #flap({ upMs, downMs }: { readonly upMs: number; readonly downMs: number }, signal: AbortSignal) {
    while (!signal.aborted) {
      this.#isDown = true;
      this.#cut();
      await sleep(downMs);
      if (signal.aborted) return;
      this.#isDown = false;
      this.comings += 1;
      await sleep(upMs);
    }
  }

  #cut(): void {
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
    if (!answer.destroyed) this.#forward(asked, answer, { method, path });
  }

  #forward(
    asked: IncomingMessage,
    answer: ServerResponse,
    to: { readonly method: string; readonly path: string },
  ): void {
    const { hostname, port } = this.#target;
    const headers = { ...asked.headers, host: this.#target.host };
    const forwarded = request({ ...to, hostname, port, headers, agent: this.#agent }, (answered) => {
      answer.writeHead(answered.statusCode ?? 502, answered.headers);
      answer.flushHeaders(); // a watch is open before its first event
      answered.pipe(answer);
    });
    forwarded.once("error", () => answer.destroy()); // also when the client left first
    answer.once("close", () => forwarded.destroy());
    asked.pipe(forwarded);
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
