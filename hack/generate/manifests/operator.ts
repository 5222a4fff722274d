// The operator itself: account, Deployment, and what protects and exposes its pod.
import { commonLabels, OPERATOR, sharedLabels } from "./labels.ts";
import {
  Block,
  Commented,
  type Condition,
  type Manifest,
  merged,
  NAMESPACE,
  ONE_NAMESPACE,
  Setting,
  type Tree,
  When,
} from "./tree.ts";
import type { ChartValues } from "./values.ts";
import { WEBHOOK_NAME, WEBHOOK_PORT, WITH_WEBHOOK } from "./webhook.ts";

const metadata = { name: OPERATOR, namespace: NAMESPACE, labels: commonLabels() };
const HTTP = 8080;

function image(key: "image" | "agentImage"): Setting {
  return new Setting(`include "quorate.image" (list .Values.${key} .Chart) | quote`, (values) => {
    const { repository, tag, digest } = values[key];
    return digest === "" ? `${repository}:${tag}` : `${repository}@${digest}`;
  });
}

function text(path: string, plain: Setting["plain"]): Setting {
  return new Setting(`.Values.${path} | quote`, plain);
}

function isSet(path: string, plain: (values: ChartValues) => string): Condition {
  return { expression: `.Values.${path}`, plain: (values) => plain(values) !== "" };
}

/** `name=value`, separated by commas, as the operator reads labels; the chart has the same as a template. */
function pairs(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

/** The namespace of the operator, for kustomize; Helm makes it by --create-namespace. */
export function namespace(): Manifest {
  const labels = {
    ...sharedLabels(),
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
  };
  return { tree: { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE, labels } } };
}

/** The operator's account. */
export function serviceAccount(): Manifest {
  const annotations = new Block(".Values.serviceAccountAnnotations", (values) => values.serviceAccountAnnotations);
  return { tree: { apiVersion: "v1", kind: "ServiceAccount", metadata: { ...metadata, annotations } } };
}

const ENVIRONMENT: readonly Tree[] = [
  new Commented("What is copied into members' pods; of the same version as the operator.", {
    name: "QUORATE_AGENT_IMAGE",
    value: image("agentImage"),
  }),
  { name: "QUORATE_LOG_LEVEL", value: text("logLevel", (values) => values.logLevel) },
  new When(ONE_NAMESPACE, {
    name: "QUORATE_WATCH_NAMESPACE",
    valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } },
  }),
  new When(
    isSet("prometheusUrl", (values) => values.prometheusUrl),
    { name: "QUORATE_PROMETHEUS_URL", value: text("prometheusUrl", (values) => values.prometheusUrl) },
  ),
  new When(
    isSet("tracesUrl", (values) => values.tracesUrl),
    { name: "QUORATE_TRACES_URL", value: text("tracesUrl", (values) => values.tracesUrl) },
  ),
  new When(
    isSet("runbooksUrl", (values) => values.runbooksUrl),
    { name: "QUORATE_RUNBOOKS_URL", value: text("runbooksUrl", (values) => values.runbooksUrl) },
  ),
  new When(
    isSet("prometheusRule.labels", (values) => pairs(values.prometheusRule.labels)),
    {
      name: "QUORATE_RULE_LABELS",
      value: new Setting('include "quorate.pairs" .Values.prometheusRule.labels | quote', (values) =>
        pairs(values.prometheusRule.labels),
      ),
    },
  ),
  new When(WITH_WEBHOOK, { name: "QUORATE_WEBHOOK_PORT", value: String(WEBHOOK_PORT) }),
  new When(WITH_WEBHOOK, { name: "QUORATE_WEBHOOK_CONFIGURATION", value: WEBHOOK_NAME }),
  new Commented("The status page: kubectl port-forward reaches it, nothing else does.", {
    name: "QUORATE_STATUS_ADDRESS",
    value: "127.0.0.1:8081",
  }),
  new Commented(
    `Most of what the operator allocates lives for one pass: a small young generation collects it early. The old one may have half of the
container's memory, and the other half is for the rest of the process; without that Node begins to save when there is nothing left,
and 2,000 clusters were too much for 256 MiB.`,
    { name: "NODE_OPTIONS", value: "--max-semi-space-size=4 --max-old-space-size-percentage=50" },
  ),
  new Commented(
    "One arena for all threads, which allocate little outside of V8's heap, and what is free goes back to the kernel.",
    {
      name: "GLIBC_TUNABLES",
      value: "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=131072",
    },
  ),
];

const CONTAINER: Tree = {
  name: "operator",
  image: image("image"),
  imagePullPolicy: new Setting(".Values.imagePullPolicy", (values) => values.imagePullPolicy),
  env: ENVIRONMENT,
  ports: [
    new Commented("Metrics and probes.", { name: "http", containerPort: HTTP }),
    new When(WITH_WEBHOOK, { name: "webhook", containerPort: WEBHOOK_PORT }),
  ],
  startupProbe: { httpGet: { path: "/livez", port: "http" }, periodSeconds: 1, failureThreshold: 60 },
  livenessProbe: { httpGet: { path: "/livez", port: "http" }, periodSeconds: 10, timeoutSeconds: 5 },
  readinessProbe: { httpGet: { path: "/readyz", port: "http" }, periodSeconds: 5, timeoutSeconds: 5 },
  resources: new Block(".Values.resources", (values) => values.resources),
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    runAsUser: 65532,
    runAsGroup: 65532,
    capabilities: { drop: ["ALL"] },
  },
};

const SPREAD: readonly Tree[] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map((topologyKey) => ({
  maxSkew: 1,
  topologyKey,
  whenUnsatisfiable: "ScheduleAnyway",
  labelSelector: { matchLabels: commonLabels() },
}));

const POD: Tree = {
  serviceAccountName: OPERATOR,
  imagePullSecrets: new Block(".Values.imagePullSecrets", (values) => values.imagePullSecrets),
  priorityClassName: new When(
    isSet("priorityClass.name", (values) => values.priorityClass.name),
    text("priorityClass.name", (values) => values.priorityClass.name),
  ),
  terminationGracePeriodSeconds: 30,
  securityContext: {
    runAsNonRoot: true,
    runAsUser: 65532,
    runAsGroup: 65532,
    seccompProfile: { type: "RuntimeDefault" },
  },
  nodeSelector: new Block(".Values.nodeSelector", (values) => values.nodeSelector),
  tolerations: new Block(".Values.tolerations", (values) => values.tolerations),
  topologySpreadConstraints: SPREAD,
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 100,
          podAffinityTerm: { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: commonLabels() } },
        },
      ],
    },
  },
  containers: [CONTAINER],
};

/** The Deployment. One replica is enough: a second one would only wait for the lease, and clusters fail over without any. */
export function deployment(): Manifest {
  const podLabels = new Block(".Values.podLabels", (values) => values.podLabels);
  const template: Tree = {
    metadata: {
      labels: merged(commonLabels(), podLabels),
      annotations: merged(
        { "kubectl.kubernetes.io/default-container": "operator" },
        new Block(".Values.podAnnotations", (values) => values.podAnnotations),
      ),
    },
    spec: POD,
  };
  return {
    tree: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        replicas: new Setting(".Values.replicas", ({ replicas }) => replicas),
        revisionHistoryLimit: 3,
        selector: { matchLabels: commonLabels() },
        template,
      },
    },
  };
}

/** Drains move one replica at a time; a single one may always be moved, and so may one that does not work. */
export function disruptionBudget(): Manifest {
  const selector = { matchLabels: commonLabels() };
  const spec = { maxUnavailable: 1, unhealthyPodEvictionPolicy: "AlwaysAllow", selector };
  return { tree: { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata, spec } };
}

/** Where metrics are read. */
export function service(): Manifest {
  const ports = [
    { name: "http", port: HTTP, targetPort: "http" },
    new When(WITH_WEBHOOK, { name: "webhook", port: 443, targetPort: "webhook" }),
  ];
  const spec = { selector: commonLabels(), ports };
  return { tree: { apiVersion: "v1", kind: "Service", metadata, spec } };
}

/** Who may connect to the operator. It connects to the API server and to members, whose addresses nobody knows beforehand. */
export function networkPolicy(): Manifest {
  const spec = {
    podSelector: { matchLabels: commonLabels() },
    policyTypes: ["Ingress", "Egress"],
    ingress: [
      {
        ports: [{ port: "http" }],
        from: new Block(".Values.networkPolicy.from", (values) => values.networkPolicy.from),
      },
      new When(
        { expression: ".Values.networkPolicy.from", plain: (values) => values.networkPolicy.from.length > 0 },
        new Commented("The pod of `helm test`.", {
          ports: [{ port: "http" }],
          from: [{ podSelector: { matchLabels: { ...commonLabels(), "app.kubernetes.io/component": "test" } } }],
        }),
      ),
      new When(WITH_WEBHOOK, { ports: [{ port: "webhook" }] }),
    ],
    egress: [new Commented("The API server, members' agents, Prometheus.", {})],
  };
  return {
    condition: { expression: ".Values.networkPolicy.enabled", plain: (values) => values.networkPolicy.enabled },
    tree: { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec },
  };
}

/** The operator's priority: without it clusters are not healed, and it is small. */
export function priorityClass(): Manifest {
  return {
    condition: { expression: ".Values.priorityClass.create", plain: (values) => values.priorityClass.create },
    tree: {
      apiVersion: "scheduling.k8s.io/v1",
      kind: "PriorityClass",
      metadata: {
        name: text("priorityClass.name", (values) => values.priorityClass.name),
        labels: commonLabels(),
      },
      value: new Setting(".Values.priorityClass.value | int", (values) => values.priorityClass.value),
      description: "The operator of quorate: while it is away no cluster is repaired or changed.",
    },
  };
}

/** PodMonitor or ServiceMonitor of the Prometheus Operator. */
export function monitor(kind: "PodMonitor" | "ServiceMonitor"): Manifest {
  const key = kind === "PodMonitor" ? "podMonitor" : "serviceMonitor";
  const interval = new Setting(
    `printf "%ds" (int .Values.${key}.intervalSeconds)`,
    (values) => `${values[key].intervalSeconds}s`,
  );
  // Series name the cluster they are about; without honorLabels they would get the operator's namespace.
  const endpoints = [{ port: "http", path: "/metrics", interval, honorLabels: true }];
  const selector = { matchLabels: commonLabels() };
  return {
    condition: { expression: `.Values.${key}.enabled`, plain: (values) => values[key].enabled },
    tree: {
      apiVersion: "monitoring.coreos.com/v1",
      kind,
      metadata: {
        ...metadata,
        labels: merged(commonLabels(), new Block(`.Values.${key}.labels`, (values) => values[key].labels)),
      },
      spec: kind === "PodMonitor" ? { selector, podMetricsEndpoints: endpoints } : { selector, endpoints },
    },
  };
}
