/** Answers the API server about ClusterSpecs that are about to be stored. Whether it answers at all decides nothing: it may be away. */
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ClusterSpec, ClusterSpec as ClusterSpecSchema } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";
import { listen, type Listener } from "../listener.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type AdmissionRequest, AdmissionReview, toReview } from "./admission-review.ts";
import { type Judgement, judgeProposal, type Proposal } from "./judge.ts";

/** Where the API server asks. */
export const WEBHOOK_PATH = "/v1/clusterspecs";

/** The largest object that the API server stores has 1.5 MiB; a question holds two. */
const MAX_BODY_BYTES = 4 * 2 ** 20;

/**
 * Longer than the API server keeps a connection that it does not use, 90 s: whoever asks at the moment in which the other side ends
 * the connection gets no answer, and does not ask again.
 */
const KEEP_ALIVE_MS = 120_000;

/** As long as the API server waits for an answer. */
const LAST_ANSWERS_MS = 3000;

/** Certificate and key that are shown to the API server, as PEM. */
export interface ServerIdentity {
  readonly cert: string;
  readonly key: string;
}

export interface WebhookServerOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly identity: ServerIdentity;
  /** The Engine of this name as it is now; undefined when there is none. */
  readonly engineOf: (name: string) => Promise<EngineSpec | undefined>;
  readonly log: Pick<Logger, "warn">;
}

/** A running server. */
export class WebhookServer {
  readonly #server: Server;
  readonly #unanswered: ReadonlySet<ServerResponse>;
  readonly #listener: Listener;

  private constructor(parts: {
    readonly server: Server;
    readonly unanswered: ReadonlySet<ServerResponse>;
    readonly listener: Listener;
  }) {
    this.#server = parts.server;
    this.#unanswered = parts.unanswered;
    this.#listener = parts.listener;
  }

  static async start(options: WebhookServerOptions): Promise<WebhookServer> {
    const about = { ...options.identity, minVersion: "TLSv1.3", keepAliveTimeout: KEEP_ALIVE_MS } as const;
    const unanswered = new Set<ServerResponse>();
    const server = createServer(about, (request, response) => {
      unanswered.add(response);
      response.once("close", () => unanswered.delete(response));
      answer(options, request, response).catch((error: unknown) => {
        options.log.warn({ err: error }, "An admission request could not be judged; the API server goes on without");
        if (response.headersSent) response.destroy();
        else send(response, 500, { error: "it could not be judged" });
      });
    });
    return new WebhookServer({ server, unanswered, listener: await listen(server, options.port) });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Shows another certificate to connections from now on; those that are open go on. */
  renew(identity: ServerIdentity): void {
    this.#server.setSecureContext({ ...identity, minVersion: "TLSv1.3" });
  }

  /** Takes no more questions, answers those that it was asked, and ends. */
  close(): Promise<void> {
    // So that nobody asks again on a connection that ends with its answer.
    for (const response of this.#unanswered) if (!response.headersSent) response.setHeader("connection", "close");
    return this.#listener.close(LAST_ANSWERS_MS);
  }
}

async function answer(
  options: WebhookServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path] = (request.url ?? "").split("?"); // the API server adds its timeout
  if (request.method !== "POST" || path !== WEBHOOK_PATH)
    return send(response, 404, { error: `there is only POST ${WEBHOOK_PATH}` });
  const asked = AdmissionReview.safeParse(JSON.parse(await bodyOf(request)));
  if (!asked.success) return send(response, 400, { error: "it is no AdmissionReview of admission.k8s.io/v1" });
  const { request: question } = asked.data;
  send(response, 200, toReview(question.uid, await judge(options, question)));
}

async function judge({ engineOf }: WebhookServerOptions, question: AdmissionRequest): Promise<Judgement> {
  const cluster = understood(question.object);
  // What cannot be understood is of another version; what is on its way out is no more to be mended.
  if (cluster === undefined || isBeingDeleted(question.object)) return { warnings: [] };
  const before = understood(question.oldObject);
  const withEngine = async (one: ClusterSpec): Promise<Proposal> => ({
    cluster: one,
    engine: await engineOf(one.spec.engine.name),
  });
  return judgeProposal(await withEngine(cluster), before === undefined ? undefined : await withEngine(before));
}

function understood(object: unknown): ClusterSpec | undefined {
  return ClusterSpecSchema.safeParse(object).data;
}

function isBeingDeleted(object: unknown): boolean {
  const { metadata } = object as { readonly metadata?: { readonly deletionTimestamp?: string } };
  return metadata?.deletionTimestamp !== undefined;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error(`the question has more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function send(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
