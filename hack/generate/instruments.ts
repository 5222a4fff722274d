// The instruments of both programs, made as the programs make them, for whatever must know every metric there is.
import type { Metric, Registry } from "prom-client";
import { agentMetrics, usageMetrics } from "../../src/agent/metrics.ts";
import { requestMetrics } from "../../src/agent/requests.ts";
import { shardMetrics } from "../../src/agent/slot-load.ts";
import { Controller } from "../../src/controller/controller.ts";
import type { KubeApi } from "../../src/kube/api.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { apiCallMetrics, leadershipMetrics } from "../../src/telemetry/metrics.ts";

/** Labels that every series of an agent carries. */
export const AGENT_LABELS = ["namespace", "cluster", "member", "node"] as const;

/** One metric, as far as one can know it before it has a value. */
export interface Instrument {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram" | "summary";
  /** Beside AGENT_LABELS, for those of agents. */
  readonly labels: readonly string[];
}

/** All of one agent, in the order in which it shows them. */
export function agentInstruments(): readonly Instrument[] {
  const { registry } = agentMetrics({ cluster: "", namespace: "", member: "", node: "" });
  usageMetrics(registry);
  shardMetrics(registry);
  requestMetrics(registry);
  return instrumentsOf(registry);
}

/** All of the operator, but for those that prom-client has for any Node process. */
export function operatorInstruments(): readonly Instrument[] {
  const registry = new ClusterRegistry();
  apiCallMetrics(registry);
  leadershipMetrics(registry, () => false);
  const api = {} as KubeApi; // nothing is called before the controller runs
  const log = createLogger({ program: "generate", version: "0" });
  const controller = new Controller({ api, registry, log, settings: { agentImage: "" }, instance: "generate" });
  if (controller.stores.isSynced) throw new Error("the controller runs: it must not, here");
  return [
    ...instrumentsOf(registry),
    ...registry.families.map(({ name, help, type, labels }) => ({
      name,
      help,
      type,
      labels: ["namespace", "cluster", ...labels],
    })),
  ];
}

const TYPES: Readonly<Record<string, Instrument["type"]>> = {
  Counter: "counter",
  Gauge: "gauge",
  Histogram: "histogram",
  CountedHistogram: "histogram",
  Summary: "summary",
};

/** prom-client keeps labels and type of a metric to itself, so they are read from its fields. */
function instrumentsOf(registry: Registry): readonly Instrument[] {
  return registry.getMetricsAsArray().map((metric) => {
    const {
      name,
      help,
      labelNames = [],
    } = metric as unknown as Pick<Instrument, "name" | "help"> & {
      readonly labelNames?: readonly string[];
    };
    const type = TYPES[(metric as unknown as Metric).constructor.name];
    if (type === undefined) throw new Error(`${name} is of a type that docs/metrics.md does not know`);
    return { name, help, type, labels: labelNames };
  });
}
