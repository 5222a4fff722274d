// Counters of single clusters. Between scrapes each is a few numbers; series with their labels are made when they are shown.
import { Counter, type Registry } from "prom-client";
import { clusterLabels, type GaugeText } from "./cluster-gauge.ts";

/** What is counted of each cluster, by the value of one label. Keys are `namespace/name`. */
export interface ClusterCounter<V extends string> {
  /** The cluster is there: so are its counts, at zero at first. A counter that appears with 1 looks as if nothing had happened. */
  readonly known: (key: string) => void;
  readonly add: (key: string, value: V, count?: number) => void;
  /** The cluster is gone, and with it its counts. */
  readonly gone: (key: string) => void;
}

/** Makes a counter whose series of one cluster are told apart by `label`, which has one of `values`. */
export function clusterCounter<V extends string>(
  registry: Registry,
  text: Omit<GaugeText, "labelNames">,
  label: string,
  values: readonly V[],
): ClusterCounter<V> {
  const counts = new Map<string, number[]>();
  const countsOf = (key: string): number[] => {
    const known = counts.get(key) ?? values.map(() => 0);
    counts.set(key, known);
    return known;
  };
  const counter = new Counter({
    ...text,
    labelNames: ["namespace", "cluster", label],
    registers: [],
    collect() {
      for (const [key, own] of counts) {
        const labels = clusterLabels(key);
        for (const [at, value] of values.entries()) this.inc({ ...labels, [label]: value }, own[at] ?? 0);
      }
    },
  });
  const show = counter.get.bind(counter);
  counter.get = async () => {
    counter.reset();
    const shown = await show();
    counter.reset();
    return shown;
  };
  registry.registerMetric(counter);
  return {
    known: (key) => void countsOf(key),
    add: (key, value, count = 1) => {
      const own = countsOf(key);
      const at = values.indexOf(value);
      own[at] = (own[at] ?? 0) + count;
    },
    gone: (key) => void counts.delete(key),
  };
}
