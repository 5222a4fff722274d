/** What Prometheus' operator makes of a PodMonitor, as far as ours say something: with it a Prometheus without that operator scrapes the same. */
import * as z from "zod";

const PodMonitor = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string() }),
  spec: z.strictObject({
    namespaceSelector: z.strictObject({ any: z.literal(true) }).optional(),
    selector: z.strictObject({
      matchLabels: z.record(z.string(), z.string()).default({}),
      matchExpressions: z.array(z.strictObject({ key: z.string(), operator: z.literal("Exists") })).default([]),
    }),
    podMetricsEndpoints: z.array(
      z.strictObject({ port: z.string(), path: z.string(), interval: z.string(), honorLabels: z.boolean() }),
    ),
  }),
});

/** One rule of Prometheus about the labels of a target. */
interface Relabelling {
  readonly source_labels?: readonly string[];
  readonly regex?: string;
  readonly action?: "keep" | "drop";
  readonly target_label?: string;
  readonly replacement?: string;
}

/** A scrape job of Prometheus. */
export interface ScrapeJob {
  readonly job_name: string;
  readonly scrape_interval: string;
  readonly metrics_path: string;
  readonly honor_labels: boolean;
  readonly http_sd_configs: readonly object[];
  readonly relabel_configs: readonly Relabelling[];
}

/** A label's key as Prometheus writes it in names. */
export const labelOf = (key: string): string => key.replaceAll(/[^a-zA-Z0-9_]/g, "_");
const keep = (source_labels: readonly string[], regex: string): Relabelling => ({
  source_labels,
  regex,
  action: "keep",
});
const copy = (source: string, target_label: string): Relabelling => ({ source_labels: [source], target_label });

/**
 * The scrape jobs that a PodMonitor stands for, one for each of its endpoints.
 *
 * @param discovery - Where Prometheus is told of all pods, in its own words.
 * @throws when the PodMonitor says something that is not known here: it would be left out in silence.
 */
export function scrapeJobs(podMonitor: unknown, discovery: object): readonly ScrapeJob[] {
  const { metadata, spec } = PodMonitor.parse(podMonitor);
  const { matchLabels, matchExpressions } = spec.selector;
  const isOfAny = spec.namespaceSelector?.any === true;
  const selected = [
    ...(isOfAny ? [] : [keep(["__meta_kubernetes_namespace"], metadata.namespace)]),
    ...Object.entries(matchLabels).map(([key, value]) =>
      keep(
        [`__meta_kubernetes_pod_label_${labelOf(key)}`, `__meta_kubernetes_pod_labelpresent_${labelOf(key)}`],
        `(${value});true`,
      ),
    ),
    ...matchExpressions.map(({ key }) => keep([`__meta_kubernetes_pod_labelpresent_${labelOf(key)}`], "true")),
  ];
  return spec.podMetricsEndpoints.map(({ port, path, interval, honorLabels }, at) => ({
    job_name: `podMonitor/${metadata.namespace}/${metadata.name}/${at}`,
    scrape_interval: interval,
    metrics_path: path,
    honor_labels: honorLabels,
    http_sd_configs: [discovery],
    relabel_configs: [
      { source_labels: ["__meta_kubernetes_pod_phase"], regex: "(Failed|Succeeded)", action: "drop" },
      ...selected,
      keep(["__meta_kubernetes_pod_container_port_name"], port),
      copy("__meta_kubernetes_namespace", "namespace"),
      copy("__meta_kubernetes_pod_container_name", "container"),
      copy("__meta_kubernetes_pod_name", "pod"),
      { target_label: "job", replacement: `${metadata.namespace}/${metadata.name}` },
      { target_label: "endpoint", replacement: port },
    ],
  }));
}
