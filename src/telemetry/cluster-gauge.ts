// Gauges of single clusters that are made anew at every scrape from what is known then: a series goes with what it tells.
import { Gauge, type Registry } from "prom-client";

/** What a gauge is called, what it says, and by what its series of one cluster are told apart. */
export interface GaugeText {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** One series. `key` is `namespace/name` of its cluster. */
export interface Row {
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Shows `rows()` at every scrape; of two rows with the same labels the later counts. */
export function clusterGauge(registry: Registry, text: GaugeText, rows: () => Iterable<Row>): void {
  const gauge = new Gauge({
    name: text.name,
    help: text.help,
    labelNames: ["namespace", "cluster", ...text.labelNames],
    registers: [],
    collect() {
      this.reset();
      for (const { key, labels, value } of rows()) this.set({ ...clusterLabels(key), ...labels }, value);
    },
  });
  // Forgets its series as soon as they were shown: a dozen of each of a thousand clusters are megabytes between two scrapes.
  const show = gauge.get.bind(gauge);
  gauge.get = async () => {
    const shown = await show();
    gauge.reset();
    return shown;
  };
  registry.registerMetric(gauge);
}

/** The labels, and fields of log lines, that name a cluster. @param key - `namespace/name`. */
export function clusterLabels(key: string): { readonly namespace: string; readonly cluster: string } {
  const [namespace = "", cluster = ""] = key.split("/");
  return { namespace, cluster };
}
