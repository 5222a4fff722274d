// The values of the Helm chart: schema, defaults and documentation in one.
import { z } from "zod";

const image = (repository: string, what: string) =>
  z
    .strictObject({
      repository: z.string().min(1).default(repository).describe("Name of the image, with its registry."),
      tag: z.string().default("").describe("Tag; the chart's appVersion when empty."),
      digest: z
        .string()
        .regex(/^(sha256:[0-9a-f]{64})?$/)
        .default("")
        .describe("Digest, such as sha256:0123…; wins over the tag."),
    })
    .prefault({})
    .describe(what);

const labels = z.record(z.string(), z.string());
const anything = z.looseObject({});

const Monitor = (kind: string, what: string) =>
  z
    .strictObject({
      enabled: z.boolean().default(false).describe(`Create a ${kind}; the Prometheus Operator must be there.`),
      labels: labels.default({}).describe("Labels by which your Prometheus selects it."),
      intervalSeconds: z.int().min(1).max(300).default(15).describe("Seconds between two scrapes."),
    })
    .prefault({})
    .describe(`${kind} for ${what}.`);

/** The tolerations that every Deployment has, with a shorter wait: 30 s away from a lost node instead of 300 s. */
const SOON_AWAY = ["not-ready", "unreachable"].map((condition) => ({
  key: `node.kubernetes.io/${condition}`,
  operator: "Exists",
  effect: "NoExecute",
  tolerationSeconds: 30,
}));

/** The schema of the chart's values. @param engines - Names of the built-in engines. */
export function chartValues(engines: readonly string[]) {
  return z.strictObject({
    watch: z
      .enum(["AllNamespaces", "ReleaseNamespace"])
      .default("AllNamespaces")
      .describe(
        "Which clusters the operator looks after. AllNamespaces needs a ClusterRole; with ReleaseNamespace a Role in the release's namespace is enough, beside reading Engines, Nodes, StorageClasses, PriorityClasses and PersistentVolumes, which lie in no namespace.",
      ),
    image: image("quorate/operator", "Image of the operator."),
    agentImage: image(
      "quorate/agent",
      "Image of the agent that is copied into members' pods; keep it at the operator's version.",
    ),
    imagePullPolicy: z
      .enum(["Always", "IfNotPresent", "Never"])
      .default("IfNotPresent")
      .describe("When nodes fetch the image."),
    imagePullSecrets: z
      .array(z.strictObject({ name: z.string().min(1) }))
      .default([])
      .describe("Secrets in the release's namespace with which nodes fetch the image, such as [{name: registry}]."),
    replicas: z
      .int()
      .min(1)
      .max(5)
      .default(1)
      .describe(
        "Replicas of the operator. One is enough: clusters fail over without it. With two, one takes over within seconds when a node is lost.",
      ),
    engines: z
      .array(z.enum(engines as [string, ...string[]]))
      .default([...engines])
      .describe("Built-in Engines to install. Leave one out to keep an Engine of your own under that name."),
    crds: z
      .strictObject({
        check: z
          .boolean()
          .default(true)
          .describe("Refuse to install or upgrade beside CRDs of another version, and say which command updates them."),
      })
      .prefault({})
      .describe("CustomResourceDefinitions. Helm installs them once and never changes or deletes them."),
    resources: anything
      .default({
        requests: { cpu: "100m", memory: "128Mi" },
        limits: { memory: "256Mi" },
      })
      .describe(
        "Resources of the operator; 200 clusters need 171 MiB. No CPU limit: throttling looks like a slow API server.",
      ),
    nodeSelector: labels.default({}).describe("Labels of nodes that the operator may run on."),
    tolerations: z.array(anything).default(SOON_AWAY).describe("Tolerations of the operator."),
    podLabels: labels.default({}).describe("Labels added to the operator's pod."),
    podAnnotations: labels.default({}).describe("Annotations added to the operator's pod."),
    serviceAccountAnnotations: labels.default({}).describe("Annotations of the operator's ServiceAccount."),
    logLevel: z.enum(["debug", "info", "warn", "error"]).default("info").describe("Least level of log lines."),
    prometheusUrl: z
      .string()
      .regex(/^(https?:\/\/.+)?$/)
      .default("")
      .describe(
        "Address of a Prometheus, such as http://prometheus.monitoring:9090. Error budgets and analyses of canaries then use its history; without it only the agents are asked.",
      ),
    tracesUrl: z
      .string()
      .regex(/^(https?:\/\/[^@]+)?$/)
      .default("")
      .describe(
        "Address of a collector that takes OTLP over HTTP, such as http://collector.monitoring:4318, without a password. Operator and members then send traces there (docs/traces.md); there are none when empty.",
      ),
    networkPolicy: z
      .strictObject({
        enabled: z.boolean().default(true).describe("Admit only connections to the port of metrics and probes."),
        from: z
          .array(anything)
          .default([])
          .describe("Peers that may read metrics, as in a NetworkPolicy's ingress.from; everybody when empty."),
      })
      .prefault({})
      .describe("NetworkPolicy of the operator's pod."),
    podMonitor: Monitor("PodMonitor", "the operator's metrics"),
    serviceMonitor: Monitor("ServiceMonitor", "the operator's metrics"),
    memberMonitor: Monitor("PodMonitor", "the metrics of all clusters' members"),
    prometheusRule: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe("Create a PrometheusRule, once per Kubernetes cluster; the Prometheus Operator must be there."),
        labels: labels
          .default({})
          .describe(
            "Labels by which your Prometheus selects rules; those that the operator keeps beside clusters with objectives get them, too.",
          ),
      })
      .prefault({})
      .describe("Recording rules and alerts that all clusters share."),
    dashboards: z
      .strictObject({
        enabled: z.boolean().default(false).describe("Create a ConfigMap for each dashboard."),
        labels: labels
          .default({ grafana_dashboard: "1" })
          .describe("Labels by which Grafana's sidecar finds dashboards."),
        annotations: labels
          .default({})
          .describe("Annotations, such as the one that names the folder in Grafana: grafana_folder: quorate."),
      })
      .prefault({})
      .describe("Grafana dashboards: executive, on call, debug. They show what the rules record."),
    runbooksUrl: z
      .string()
      .regex(/^(https?:\/\/.+)?$/)
      .default("")
      .describe(
        "Address of the folder where you keep the runbooks of docs/runbooks, for the links in alerts, such as https://git.example.com/quorate/src/branch/main/docs/runbooks. When empty alerts name the page by its path in quorate's repository.",
      ),
    flowSchema: z
      .strictObject({
        enabled: z.boolean().default(true).describe("Install them; once per Kubernetes cluster."),
      })
      .prefault({})
      .describe("FlowSchema and priority level that keep leases and routes from queuing behind other requests."),
    admissionPolicies: z
      .strictObject({
        enabled: z.boolean().default(true).describe("Install them; once per Kubernetes cluster."),
      })
      .prefault({})
      .describe("Policies by which the API server refuses to lower an epoch, and warns of even numbers of members."),
    webhook: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe("Let the API server ask the operator before it stores a ClusterSpec."),
      })
      .prefault({})
      .describe(
        "Refuses ClusterSpecs that their Engine cannot run, with the field and the fix, and warns of what clusters die of. Everything passes while the operator is away.",
      ),
    priorityClass: z
      .strictObject({
        create: z.boolean().default(true).describe("Create the PriorityClass; once per Kubernetes cluster."),
        name: z.string().default("quorate-operator").describe("PriorityClass of the operator's pod; none when empty."),
        value: z.int().min(0).max(1_000_000_000).default(1_000_000).describe("Priority, when it is created here."),
      })
      .prefault({})
      .describe("Priority of the operator's pod over others when nodes are full."),
    global: anything.default({}).describe("Values of a chart that this one is part of; not used."),
  });
}

/** Values with every default filled in. */
export type ChartValues = z.output<ReturnType<typeof chartValues>>;

interface ValueSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly type?: string;
  readonly properties?: Readonly<Record<string, ValueSchema>>;
}

/** One value: its path, what may stand there and what stands there by default. */
export interface ValueRow {
  readonly path: string;
  readonly isGroup: boolean;
  readonly description: string;
  readonly default: unknown;
  readonly choices: readonly unknown[];
}

/** The chart's values.schema.json. */
export function valuesSchema(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { target: "draft-7", io: "input" });
}

/** Every value in the order of the schema, groups before what is in them. */
export function valueRows(schema: z.ZodType): readonly ValueRow[] {
  return rowsOf(valuesSchema(schema), "");
}

function rowsOf(schema: ValueSchema, prefix: string): ValueRow[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const path = `${prefix}${name}`;
    const isGroup = value.properties !== undefined && Object.keys(value.properties).length > 0;
    const { description = "", enum: choices = [] } = value;
    return [{ path, isGroup, description, default: value.default, choices }, ...rowsOf(value, `${path}.`)];
  });
}
