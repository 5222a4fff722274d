/** The agent's part of the trace of a change: what it does soon after the change, and what it has the engine do. */
import { ANNOTATION_TRACEPARENT, ANNOTATION_TRACES_TO } from "../api/names.ts";
import { whileChanging } from "../api/traceparent.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { NO_TRACES, openTracer, type Tracer } from "../telemetry/tracer.ts";
import { type ActionName, ROUTINE } from "./engine/driver.ts";

/** What following the operator's word on traces needs. */
export interface ChangeTraceOptions {
  /** What names this member. */
  readonly resource: Readonly<Record<string, string>>;
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
  /** Opens the way to a collector; the real one when absent. */
  readonly open?: typeof openTracer;
}

/** Follows the operator's word on whether, where and for which change there are traces. */
export class ChangeTrace {
  readonly #options: ChangeTraceOptions;
  #tracer: Tracer = NO_TRACES;
  #traceparent: string | undefined;
  #url: string | undefined;
  #opened: Promise<void> = Promise.resolve();

  constructor(options: ChangeTraceOptions) {
    this.#options = options;
  }

  /** Takes the annotations of the intent. */
  follow(annotations: Readonly<Record<string, string>>): void {
    const { [ANNOTATION_TRACEPARENT]: traceparent, [ANNOTATION_TRACES_TO]: url } = annotations;
    this.#traceparent = traceparent;
    if (url === this.#url) return;
    this.#url = url;
    this.#opened = this.#opened
      .then(() => this.#sendTo(url))
      .catch((error: unknown) => this.#options.log.warn({ err: error }, "There are no traces"));
  }

  /** Does what the protocol asks for, as a part of the present change; long after it as a trace of its own. */
  within<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#tracer.inTrace(this.#change(), { name }, work);
  }

  /** An action of the engine has ended. */
  acted(action: ActionName, seconds: number, ok: boolean): void {
    if (ROUTINE.has(action)) return;
    this.#tracer.noteEnded({ name: `engine ${action}`, seconds, problem: ok ? undefined : "failed" }, this.#change());
  }

  async #sendTo(url: string | undefined): Promise<void> {
    const before = this.#tracer;
    this.#tracer = NO_TRACES;
    await before.close();
    const { open = openTracer, resource, log } = this.#options;
    this.#tracer = await open({ url, resource, log });
  }

  #change(): string | undefined {
    return this.#tracer === NO_TRACES
      ? undefined
      : whileChanging(this.#traceparent, this.#options.clock.now().getTime());
  }
}
