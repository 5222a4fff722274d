// Sends spans to a collector by OTLP over HTTP. A file of its own beside the programs: see tracer.ts, which alone may load it.
import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Context,
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer as OpenTelemetryTracer,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type IdGenerator, RandomIdGenerator, TracerProvider } from "@opentelemetry/sdk-trace";
import type { Logger } from "./logger.ts";
import type { EndedSpan, SpanInfo, Tracer, TracerOptions } from "./tracer.ts";

const EXPORT_TIMEOUT_MS = 5_000;
/** An agent that ends waits for nobody: what is younger than that is lost with it. */
const SEND_EVERY_MS = 1_000;
/** What exceeds it while the collector is away is dropped: traces never cost a member its memory. */
const MOST_QUEUED = 512;

interface Ids {
  readonly traceId: string;
  readonly spanId: string;
}

/** Random ids, but for the next span, which can be given one. */
class ChosenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  chosen: Ids | undefined;

  generateTraceId(): string {
    return this.chosen?.traceId ?? this.#random.generateTraceId();
  }

  generateSpanId(): string {
    return this.chosen?.spanId ?? this.#random.generateSpanId();
  }
}

/** Makes spans, and sends them in the background. */
export class OtlpTracer implements Tracer {
  readonly #present = new AsyncLocalStorage<Context>();
  readonly #ids = new ChosenIds();
  readonly #provider: TracerProvider;
  readonly #tracer: OpenTelemetryTracer;
  readonly #log: Logger;

  constructor({ url, resource, log }: TracerOptions & { readonly url: string }) {
    this.#log = log;
    const say = (reason: string): void => log.debug({ reason }, "Traces are not sent");
    const silent = (): void => undefined;
    diag.setLogger({ error: say, warn: say, info: silent, debug: silent, verbose: silent }, DiagLogLevel.WARN);
    const exporter = new OTLPTraceExporter({
      url: new URL("v1/traces", url.endsWith("/") ? url : `${url}/`).href,
      timeoutMillis: EXPORT_TIMEOUT_MS,
    });
    const processor = new BatchSpanProcessor({
      exporter,
      maxQueueSize: MOST_QUEUED,
      maxExportBatchSize: MOST_QUEUED / 4,
      scheduledDelayMillis: SEND_EVERY_MS,
    });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes(resource),
      idGenerator: this.#ids,
      spanProcessors: [processor],
    });
    this.#tracer = this.#provider.getTracer("quorate");
  }

  inTrace<T>(traceparent: string | undefined, span: SpanInfo, work: () => Promise<T>): Promise<T> {
    return this.#run(contextOf(traceparent) ?? ROOT_CONTEXT, span, work);
  }

  inSpan<T>(span: SpanInfo, work: () => Promise<T>): Promise<T> {
    return this.#run(this.#present.getStore() ?? ROOT_CONTEXT, span, work);
  }

  noteEnded(span: EndedSpan, traceparent?: string): void {
    const parent = this.#present.getStore() ?? contextOf(traceparent);
    if (parent !== undefined) this.#note(span, SpanKind.CLIENT, parent);
  }

  noteRoot(span: EndedSpan, traceparent: string): void {
    this.#ids.chosen = idsOf(traceparent);
    this.#note(span, SpanKind.INTERNAL, ROOT_CONTEXT);
    this.#ids.chosen = undefined;
  }

  async close(): Promise<void> {
    try {
      await this.#provider.shutdown();
    } catch (error) {
      this.#log.debug({ err: error }, "The last traces are not sent"); // the collector is away, which is nobody's trouble here
    }
  }

  async #run<T>(parent: Context, { name, attributes = {} }: SpanInfo, work: () => Promise<T>): Promise<T> {
    const span = this.#tracer.startSpan(name, { attributes: { ...attributes } }, parent);
    try {
      return await this.#present.run(trace.setSpan(parent, span), work);
    } catch (error) {
      fail(span, error instanceof Error ? error.name : "not an Error");
      throw error;
    } finally {
      span.end();
    }
  }

  #note({ name, attributes = {}, seconds, problem }: EndedSpan, kind: SpanKind, parent: Context): void {
    const endMs = Date.now();
    const startTime = endMs - seconds * 1000;
    const span = this.#tracer.startSpan(name, { attributes: { ...attributes }, startTime, kind }, parent);
    if (problem !== undefined) fail(span, problem);
    span.end(endMs);
  }
}

function idsOf(traceparent: string | undefined): Ids | undefined {
  const [, traceId, spanId] = traceparent?.split("-") ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}

function contextOf(traceparent: string | undefined): Context | undefined {
  const ids = idsOf(traceparent);
  if (ids === undefined) return undefined;
  return trace.setSpanContext(ROOT_CONTEXT, { ...ids, traceFlags: TraceFlags.SAMPLED, isRemote: true });
}

/** Messages of errors may hold what engines print; spans say the kind only. */
function fail(span: Span, problem: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: problem });
}
