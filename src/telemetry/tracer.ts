// Spans: what a change of a ClusterSpec led to, from the operator's passes to what engines are told. The library that sends them is
// loaded only where somebody asked for them.
import type { Logger } from "./logger.ts";

/** What a span is about. */
export interface SpanInfo {
  readonly name: string;
  readonly attributes?: Readonly<Record<string, string | number>>;
}

/** Something that has just ended. */
export interface EndedSpan extends SpanInfo {
  readonly seconds: number;
  /** What kind of failure it was; never what an engine or a server said, which may hold anything. */
  readonly problem?: string | undefined;
}

/** Takes notes of what this process does. Nothing of it ever fails or waits for the collector. */
export interface Tracer {
  /** Does work as a span of `traceparent`'s trace, or of a trace of its own. What it throws marks the span and is thrown on. */
  inTrace<T>(traceparent: string | undefined, span: SpanInfo, work: () => Promise<T>): Promise<T>;
  /** Does work as a part of the span that is present. */
  inSpan<T>(span: SpanInfo, work: () => Promise<T>): Promise<T>;
  /** Notes a part of the present span, or else of `traceparent`'s trace; without either nothing: most of what happens is no part of a change. */
  noteEnded(span: EndedSpan, traceparent?: string): void;
  /** Notes the span that `traceparent` itself names, to which all others of its trace belong. */
  noteRoot(span: EndedSpan, traceparent: string): void;
  /** Sends the rest, as far as the collector takes it. */
  close(): Promise<void>;
}

/** Where nobody asked for traces. */
export const NO_TRACES: Tracer = {
  inTrace: (_traceparent, _span, work) => work(),
  inSpan: (_span, work) => work(),
  noteEnded: () => undefined,
  noteRoot: () => undefined,
  close: () => Promise.resolve(),
};

/** Where spans go, and who sends them. */
export interface TracerOptions {
  /** Address of a collector that speaks OTLP over HTTP, such as http://collector:4318; undefined: there are no traces. */
  readonly url: string | undefined;
  /** What names this process; `service.name` is the program. */
  readonly resource: Readonly<Record<string, string>>;
  readonly log: Logger;
}

/** Opens the way to a collector. */
export async function openTracer({ url, resource, log }: TracerOptions): Promise<Tracer> {
  if (url === undefined) return NO_TRACES;
  const { OtlpTracer } = await import("./otlp.ts"); // costs memory and a tenth of a second: for those who want it
  return new OtlpTracer({ url, resource, log });
}
