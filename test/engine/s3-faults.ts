/** Stands between a client and an S3 server, and does to single requests what networks and busy stores do. */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { listen, type Listener } from "../../src/listener.ts";

/** What becomes of one request; nothing special when undefined. */
export type Fault =
  /** Answered in the server's place, which never hears of it. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body?: string;
      readonly headers?: Record<string, string>;
    }
  /** The connection is cut before the server hears of it. */
  | { readonly kind: "cut" }
  /** The server does it; the connection is cut instead of its answer. */
  | { readonly kind: "lose-answer" }
  /** The server's answer is cut after so many bytes of its body. */
  | { readonly kind: "cut-answer"; readonly afterBytes: number }
  /** The server's answer stops after so many bytes of its body, and its connection stays. */
  | { readonly kind: "stall-answer"; readonly afterBytes: number }
  /** Nothing comes, and nothing ends. */
  | { readonly kind: "silence" };

/** One request, as `GET /bucket/key?query`. */
export type Script = (request: string) => Fault | undefined;

/** Between client and server; plain HTTP. */
export class S3Faults {
  /** Asked for each request as it begins. */
  script: Script = () => undefined;
  /** All requests so far, whatever became of them. */
  readonly requests: string[] = [];
  readonly #server: URL;
  #listener: Listener | undefined;

  private constructor(server: URL) {
    this.#server = server;
  }

  /** @param endpoint - Of the server. */
  static async before(endpoint: string): Promise<S3Faults> {
    const faults = new S3Faults(new URL(endpoint));
    const server = createServer((asked, answer) => faults.#pass(asked, answer));
    faults.#listener = await listen(server, 0, "127.0.0.1");
    return faults;
  }

  /** Where clients ask. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#listener?.port}`;
  }

  async close(): Promise<void> {
    await this.#listener?.close();
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const { method = "", url = "", headers } = asked;
    this.requests.push(`${method} ${url}`);
    const fault = this.script(`${method} ${url}`);
    asked.on("error", () => undefined);
    answer.on("error", () => undefined);
    if (fault?.kind === "cut") asked.socket.destroy();
    if (fault?.kind === "answer") {
      asked.resume().on("end", () => answer.writeHead(fault.status, fault.headers).end(fault.body));
    }
    if (fault !== undefined && ["cut", "answer", "silence"].includes(fault.kind)) return;
    const { hostname, port } = this.#server;
    // The host stays the one that was signed.
    const passed = request({ hostname, port, method, path: url, headers, agent: false }, (received) => {
      if (fault?.kind === "lose-answer") received.resume().on("end", () => asked.socket.destroy());
      else this.#answer(received, answer, fault);
    });
    passed.on("error", () => asked.socket.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }

  #answer(received: IncomingMessage, answer: ServerResponse, fault: Fault | undefined): void {
    answer.writeHead(received.statusCode ?? 502, received.headers);
    answer.flushHeaders();
    let left = fault !== undefined && "afterBytes" in fault ? fault.afterBytes : Number.POSITIVE_INFINITY;
    received.on("error", () => left > 0 && answer.destroy());
    received.on("data", (chunk: Buffer) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (left > 0) {
        if (!answer.write(part)) received.pause();
        return;
      }
      received.destroy();
      answer.write(part, () => (fault?.kind === "stall-answer" ? undefined : answer.destroy()));
    });
    answer.on("drain", () => received.resume());
    received.on("end", () => answer.end());
  }
}
