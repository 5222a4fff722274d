/** A histogram that somebody else counts: prom-client's own takes single observations only. */
import type { Metric, Registry } from "prom-client";
import type { RequestDurations } from "../api/engine-observation.ts";

/** One series of a histogram: a bucket, the sum, or the count. */
interface Part {
  readonly metricName: string;
  readonly labels: { readonly le?: string };
  readonly value: number;
}

/** Adds up what it is told, under the bounds that come with it; has no series before that. */
export class CountedHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly #within = new Map<string, number>();
  #seconds = 0;
  #requests = 0;

  constructor(name: string, help: string, registry: Registry) {
    this.name = name;
    this.help = help;
    // Of a metric the registry wants the name, and what `get` resolves to.
    registry.registerMetric(this as unknown as Metric);
  }

  /** Adds what was counted since the last time. */
  add({ seconds, requests, within }: RequestDurations): void {
    for (const [bound, count] of Object.entries(within)) {
      this.#within.set(bound, (this.#within.get(bound) ?? 0) + count);
    }
    this.#seconds += seconds;
    this.#requests += requests;
  }

  /** What the registry prints. */
  get(): Promise<{ name: string; help: string; type: string; values: readonly Part[] }> {
    const { name, help, type } = this;
    const part = (suffix: string, value: number, le?: string): Part => ({
      metricName: `${name}_${suffix}`,
      labels: le === undefined ? {} : { le },
      value,
    });
    const bounds = [...this.#within].toSorted(([a], [b]) => Number(a) - Number(b));
    const values = [
      ...bounds.map(([bound, count]) => part("bucket", count, bound)),
      part("bucket", this.#requests, "+Inf"),
      part("sum", this.#seconds),
      part("count", this.#requests),
    ];
    return Promise.resolve({ name, help, type, values: bounds.length === 0 ? [] : values });
  }
}
