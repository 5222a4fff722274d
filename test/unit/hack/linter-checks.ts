// The built-in checks of kube-linter (0.8), as far as no other tool of this repository makes them: each finds what it is named after.
// kube-linter itself is not run, because it cannot be built from the Go modules that are at hand.

/** Any object as it is sent to an API server. */
export interface Thing {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

type Labels = Readonly<Record<string, string>>;

interface Probe {
  readonly httpGet?: { readonly port: number | string };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
  readonly envFrom?: readonly object[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly hostPort?: number }[];
  readonly resources?: Readonly<Record<"requests" | "limits", Readonly<Record<string, string>> | undefined>>;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly runAsNonRoot?: boolean;
    readonly procMount?: string;
    readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  };
}

interface PodSpec {
  readonly serviceAccount?: string;
  readonly serviceAccountName?: string;
  readonly priorityClassName?: string;
  readonly hostIPC?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly restartPolicy?: string;
  readonly affinity?: { readonly podAntiAffinity?: object };
  readonly volumes?: readonly { readonly hostPath?: object }[];
  readonly securityContext?: {
    readonly runAsNonRoot?: boolean;
    readonly runAsUser?: number;
    readonly sysctls?: object[];
  };
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}

/** A workload, and the pods that it makes. */
interface Workload {
  readonly thing: Thing;
  readonly labels: Labels;
  readonly selector: Labels;
  readonly pod: PodSpec;
}

/** What is wrong with one of the objects, if anything is. */
type Finder = (things: readonly Thing[]) => readonly string[];

function workloadsOf(things: readonly Thing[]): readonly Workload[] {
  return things.flatMap((thing) => {
    const spec = thing["spec"] as {
      readonly template?: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec };
      readonly selector?: { readonly matchLabels?: Labels };
    };
    if (spec?.template === undefined) return [];
    const { metadata, spec: pod } = spec.template;
    return { thing, labels: metadata.labels, selector: spec.selector?.matchLabels ?? {}, pod };
  });
}

const nameOf = ({ kind, metadata }: Thing): string => `${kind} ${metadata.name}`;
const ofKind = (things: readonly Thing[], ...kinds: readonly string[]): readonly Thing[] =>
  things.filter(({ kind }) => kinds.includes(kind));
const selects = (selector: Labels, labels: Labels): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);

function pods(isWrong: (pod: PodSpec, workload: Workload) => boolean): Finder {
  return (things) =>
    workloadsOf(things).flatMap((one) => (isWrong(one.pod, one) ? `${nameOf(one.thing)}: its pods` : []));
}

function containers(isWrong: (container: Container, pod: PodSpec) => boolean): Finder {
  return (things) =>
    workloadsOf(things).flatMap(({ thing, pod }) =>
      [...(pod.initContainers ?? []), ...pod.containers].flatMap((one) =>
        isWrong(one, pod) ? `${nameOf(thing)}: container ${one.name}` : [],
      ),
    );
}

/** Init containers end by themselves: nobody probes them. */
function running(isWrong: (container: Container) => boolean): Finder {
  return (things) =>
    workloadsOf(things).flatMap(({ thing, pod }) =>
      pod.containers.flatMap((one) => (isWrong(one) ? `${nameOf(thing)}: container ${one.name}` : [])),
    );
}

function objects(kinds: readonly string[], isWrong: (thing: Thing, things: readonly Thing[]) => boolean): Finder {
  return (things) => ofKind(things, ...kinds).flatMap((thing) => (isWrong(thing, things) ? nameOf(thing) : []));
}

function portOf(field: "livenessProbe" | "readinessProbe" | "startupProbe"): Finder {
  return running((container) => {
    const port = container[field]?.httpGet?.port;
    const { ports = [] } = container;
    return port !== undefined && !ports.some((one) => one.name === port || one.containerPort === port);
  });
}

const secretVariable = (container: Container): boolean =>
  JSON.stringify([container.env, container.envFrom]).includes("secretKeyRef") ||
  (container.envFrom ?? []).some((source) => "secretRef" in source);

interface ServiceSpec {
  readonly selector?: Labels;
  readonly type?: string;
  readonly ports?: readonly { readonly targetPort?: number | string }[];
}

interface PolicySpec {
  readonly podSelector: { readonly matchLabels?: Labels };
  readonly ingress?: readonly {
    readonly from?: readonly { readonly podSelector?: { readonly matchLabels?: Labels } }[];
  }[];
}

interface BudgetSpec {
  readonly maxUnavailable?: number | string;
  readonly minAvailable?: number | string;
  readonly unhealthyPodEvictionPolicy?: string;
  readonly selector: { readonly matchLabels: Labels };
}

interface AutoscalerSpec {
  readonly scaleTargetRef: { readonly kind: string; readonly name: string };
}

interface DeploymentSpec {
  readonly replicas?: number;
  readonly strategy?: { readonly type: string };
}

const serviceOf = (thing: Thing): ServiceSpec => thing["spec"] as ServiceSpec;
const policyOf = (thing: Thing): PolicySpec => thing["spec"] as PolicySpec;
const budgetOf = (thing: Thing): BudgetSpec => thing["spec"] as BudgetSpec;

const hasSelected = (things: readonly Thing[], selector: Labels): boolean =>
  workloadsOf(things).some(({ labels }) => selects(selector, labels));

/** Every check by kube-linter's name for it. */
export const CHECKS: Readonly<Record<string, Finder>> = {
  "cluster-admin-role-binding": objects(
    ["ClusterRoleBinding", "RoleBinding"],
    (thing) => (thing["roleRef"] as { readonly name: string }).name === "cluster-admin",
  ),
  "dangling-horizontalpodautoscaler": objects(["HorizontalPodAutoscaler"], (thing, things) => {
    const { kind, name } = (thing["spec"] as AutoscalerSpec).scaleTargetRef;
    return !ofKind(things, kind).some(({ metadata }) => metadata.name === name);
  }),
  "dangling-networkpolicy": objects(
    ["NetworkPolicy"],
    (thing, things) => !hasSelected(things, policyOf(thing).podSelector.matchLabels ?? {}),
  ),
  "dangling-networkpolicypeer-podselector": objects(["NetworkPolicy"], (thing, things) => {
    const peers = (policyOf(thing).ingress ?? []).flatMap(({ from = [] }) => from);
    return peers.some(
      ({ podSelector }) => podSelector !== undefined && !hasSelected(things, podSelector.matchLabels ?? {}),
    );
  }),
  "dangling-service": objects(["Service"], (thing, things) => {
    const { selector } = serviceOf(thing);
    return selector !== undefined && !hasSelected(things, selector);
  }),
  "default-service-account": pods(({ serviceAccountName = "default" }) => serviceAccountName === "default"),
  "deprecated-service-account-field": pods(({ serviceAccount }) => serviceAccount !== undefined),
  "docker-sock": pods(({ volumes = [] }) =>
    volumes.some(({ hostPath }) => JSON.stringify(hostPath ?? "").includes("docker.sock")),
  ),
  "drop-net-raw-capability": containers(({ securityContext }) => {
    const { drop = [], add = [] } = securityContext?.capabilities ?? {};
    return !(drop.includes("ALL") || drop.includes("NET_RAW")) || add.includes("NET_RAW");
  }),
  "duplicate-env-var": containers(({ env = [] }) => new Set(env.map(({ name }) => name)).size !== env.length),
  "env-var-secret": containers(({ env = [] }) =>
    env.some(({ name, value = "" }) => /secret/i.test(name) && value !== ""),
  ),
  "exposed-services": objects(["Service"], (thing) =>
    ["NodePort", "LoadBalancer"].includes(serviceOf(thing).type ?? ""),
  ),
  "host-ipc": pods(({ hostIPC }) => hostIPC === true),
  "host-network": pods(({ hostNetwork }) => hostNetwork === true),
  "host-pid": pods(({ hostPID }) => hostPID === true),
  "invalid-target-ports": objects(["Service"], (thing) =>
    (serviceOf(thing).ports ?? []).some(({ targetPort = 1 }) =>
      typeof targetPort === "number"
        ? targetPort < 1 || targetPort > 65_535
        : !/^[a-z0-9](-?[a-z0-9]){0,14}$/.test(targetPort),
    ),
  ),
  "latest-tag": containers(({ image }) => image.endsWith(":latest") || !/[^/]+:[^/]+$/.test(image)),
  "liveness-port": portOf("livenessProbe"),
  "mismatching-selector": pods(
    (_pod, { labels, selector }) => Object.keys(selector).length === 0 || !selects(selector, labels),
  ),
  "no-anti-affinity": pods(({ affinity }) => affinity?.podAntiAffinity === undefined),
  "no-extensions-v1beta": (things) =>
    things.flatMap((thing) => (/^extensions[/]v1beta/.test(thing.apiVersion) ? nameOf(thing) : [])),
  "no-liveness-probe": running(({ livenessProbe }) => livenessProbe === undefined),
  "no-read-only-root-fs": containers(({ securityContext }) => securityContext?.readOnlyRootFilesystem !== true),
  "no-readiness-probe": running(({ readinessProbe }) => readinessProbe === undefined),
  "no-rolling-update-strategy": objects(["Deployment"], (thing) => {
    const { strategy } = thing["spec"] as DeploymentSpec;
    return strategy !== undefined && strategy.type !== "RollingUpdate"; // the API server's default
  }),
  "non-existent-service-account": (things) =>
    workloadsOf(things).flatMap(({ thing, pod }) => {
      const isThere = ofKind(things, "ServiceAccount").some(
        ({ metadata }) => metadata.name === pod.serviceAccountName && metadata.namespace === thing.metadata.namespace,
      );
      return isThere ? [] : nameOf(thing);
    }),
  "non-isolated-pod": (things) =>
    workloadsOf(things).flatMap(({ thing, labels }) => {
      const policies = ofKind(things, "NetworkPolicy").map((one) => policyOf(one).podSelector.matchLabels ?? {});
      return policies.some((selector) => selects(selector, labels)) ? [] : nameOf(thing);
    }),
  "pdb-max-unavailable": objects(["PodDisruptionBudget"], (thing) =>
    [0, "0%"].includes(budgetOf(thing).maxUnavailable ?? ""),
  ),
  "pdb-min-available": objects(["PodDisruptionBudget"], (thing, things) => {
    const { minAvailable, selector } = budgetOf(thing);
    const replicas = workloadsOf(things)
      .filter(({ labels }) => selects(selector.matchLabels, labels))
      .reduce((sum, one) => sum + ((one.thing["spec"] as DeploymentSpec).replicas ?? 1), 0);
    return minAvailable === "100%" || (typeof minAvailable === "number" && minAvailable >= replicas);
  }),
  "pdb-unhealthy-pod-eviction-policy": objects(
    ["PodDisruptionBudget"],
    (thing) => budgetOf(thing).unhealthyPodEvictionPolicy !== "AlwaysAllow",
  ),
  "privilege-escalation-container": containers(
    ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false,
  ),
  "privileged-container": containers(({ securityContext }) => securityContext?.privileged === true),
  "privileged-ports": containers(({ ports = [] }) =>
    ports.some(({ containerPort, hostPort = 65_535 }) => containerPort < 1024 || hostPort < 1024),
  ),
  "read-secret-from-env-var": containers(secretVariable),
  "readiness-port": portOf("readinessProbe"),
  "restart-policy": pods(({ restartPolicy = "Always" }) => restartPolicy !== "Always"),
  "run-as-non-root": containers(({ securityContext }, pod) => {
    const { runAsNonRoot = securityContext?.runAsNonRoot, runAsUser } = pod.securityContext ?? {};
    return runAsNonRoot !== true || runAsUser === 0;
  }),
  "sensitive-host-mounts": pods(({ volumes = [] }) => volumes.some(({ hostPath }) => hostPath !== undefined)),
  "ssh-port": containers(({ ports = [] }) => ports.some(({ containerPort }) => containerPort === 22)),
  "startup-port": portOf("startupProbe"),
  "unsafe-proc-mount": containers(({ securityContext }) => (securityContext?.procMount ?? "Default") !== "Default"),
  "unsafe-sysctls": pods(({ securityContext }) => (securityContext?.sysctls ?? []).length > 0),
  "unset-cpu-requirements": containers(({ resources }) => resources?.requests?.["cpu"] === undefined),
  "unset-memory-requirements": containers(
    ({ resources }) => resources?.requests?.["memory"] === undefined || resources.limits?.["memory"] === undefined,
  ),
  "use-namespace": (things) => things.flatMap((thing) => (thing.metadata.namespace === "default" ? nameOf(thing) : [])),
  "wildcard-in-rules": objects(["Role", "ClusterRole"], (thing) => JSON.stringify(thing["rules"]).includes('"*"')),
};

/** Checks of kube-linter that are not made, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  "access-to-create-pods":
    "making StatefulSets is what the operator is for; every right has its reason in docs/security.md",
  "access-to-secrets":
    "passwords and certificates are made and read by name; that none is listed is tested in test/unit/hack/rights.test.ts",
  "dangling-ingress": "there is no Ingress",
  "dangling-servicemonitor": "there is a PodMonitor; test/api/chart.test.ts installs it",
  "dnsconfig-options": "how names are resolved is the cluster's own business",
  "env-value-from": "no variable is read from a Secret or a ConfigMap, as read-secret-from-env-var finds",
  "hpa-minimum-three-replicas": "how few members serve is the user's choice",
  "job-ttl-seconds-after-finished": "there is no Job",
  "minimum-three-replicas": "one operator is enough: clusters do without; deploy/high-availability has two",
  "no-node-affinity": "nodes are the user's choice",
  "priority-class-name": "kube-linter has it for those who name the classes that they accept",
  "required-annotation-email": "kube-linter has it as an example of a rule of one's own",
  "required-label-owner": "kube-linter has it as an example of a rule of one's own",
  "scc-deny-privileged-container": "there is no SecurityContextConstraints",
  "schema-validation": "kubeconform does it, with the API server's own schemas",
  "writable-host-mount": "nothing of the host is mounted, as sensitive-host-mounts finds",
};
