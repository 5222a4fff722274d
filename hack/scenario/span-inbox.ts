/** Where spans arrive in tests: a server that takes OTLP over HTTP as JSON and keeps what it is sent. */
import { createServer, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import * as z from "zod";
import { listen, type Listener } from "../../src/listener.ts";

const Value = z.object({ stringValue: z.string().optional(), intValue: z.coerce.string().optional() });
const Attributes = z
  .array(z.object({ key: z.string(), value: Value }))
  .default([])
  .transform((pairs) => new Map(pairs.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? ""])));
const nanoseconds = z.coerce.string().transform(BigInt);
const SpanJson = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().default(""),
  name: z.string(),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes: Attributes,
  status: z.object({ code: z.int().default(0), message: z.string().default("") }).prefault({}),
});
/** The part of ExportTraceServiceRequest that tests look at. */
const Export = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: Attributes }).prefault({}),
      scopeSpans: z.array(z.object({ spans: z.array(SpanJson) })),
    }),
  ),
});

/** A span as it arrived. `resource` says who sent it. */
export type ArrivedSpan = z.infer<typeof SpanJson> & { readonly resource: ReadonlyMap<string, string> };

/** Keeps spans. */
export class SpanInbox {
  readonly spans: readonly ArrivedSpan[];
  readonly #listener: Listener;
  readonly #host: string;

  private constructor(listener: Listener, host: string, spans: ArrivedSpan[]) {
    this.#listener = listener;
    this.#host = host;
    this.spans = spans;
  }

  static async open(host = "127.0.0.1"): Promise<SpanInbox> {
    const spans: ArrivedSpan[] = [];
    const server = createServer((request, response) => {
      receive(request, spans)
        .then((status) => response.writeHead(status, { "content-type": "application/json" }).end("{}"))
        .catch(() => response.destroy());
    });
    return new SpanInbox(await listen(server, 0, host), host, spans);
  }

  /** What an exporter is given. */
  get url(): string {
    return `http://${this.#host}:${this.#listener.port}`;
  }

  named(name: string): ArrivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  close(): Promise<void> {
    return this.#listener.close();
  }
}

/** Keeps what a request brings. @returns the status of the answer. */
async function receive(request: IncomingMessage, spans: ArrivedSpan[]): Promise<number> {
  const parsed = Export.safeParse(await json(request));
  if (request.url !== "/v1/traces" || !parsed.success) return 400;
  for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
    const arrived = scopeSpans.flatMap((scope) => scope.spans);
    spans.push(...arrived.map((span) => ({ ...span, resource: resource.attributes })));
  }
  return 200;
}
