// The pod of one member: install container, then quorate-init as PID 1 of the engine's container, with agent and engine below it.
import {
  ANNOTATION_TEMPLATE_HASH,
  CREDENTIALS_DIR,
  ENGINE_DIR,
  HEALTH_PORT,
  INIT_PORT,
  nameOf,
  PARAMETER_PREFIX,
  PEER_DIR,
  PEER_PORT,
  RUNTIME_DIR,
} from "../api/names.ts";
import { type BuildContext, restartParameters } from "./context.ts";
import { contentHash } from "./hash.ts";
import { memberLabels, podSelector } from "./labels.ts";
import { formatBytes, formatCpu, parseQuantity } from "./quantity.ts";

/** Memory of init and agent. It is added to what the user gives the engine: with cgroup v2 both share one limit and one fate. */
const AGENT_MEMORY_BYTES = 64 * 2 ** 20;
const VOLUME_MOUNT = "/data";
const INSTALL_MOUNT = "/install"; // not RUNTIME_DIR: there the image itself has what is to be copied
const ANY_MEMBER = "any"; // stands for the member in the hash, which must be the same for all

/** A pod template and the two hashes that tell why it differs from another. */
export interface PodTemplate {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Hash of the whole rendered template, the same for all members; differs when anything about the pod differs. */
export function templateHash(context: BuildContext): string {
  return contentHash([podMetadata(context, ANY_MEMBER), podSpec(context, ANY_MEMBER)]);
}

/** Hash of what users decide about the pod. Equal inputs with another template hash: the operator or the Engine changed. */
export function inputHash(context: BuildContext): string {
  const { engine, resources, pods, parameters } = context.intent;
  const reloadable = new Set(context.engine.parameters.reloadable);
  const atRestart = Object.entries(parameters).filter(([name]) => !reloadable.has(name));
  return contentHash({ engine, resources, pods, parameters: Object.fromEntries(atRestart) });
}

/** The pod template of one member. */
export function buildPodTemplate(context: BuildContext, member: string): PodTemplate {
  const { labels, annotations } = podMetadata(context, member);
  return {
    metadata: { labels, annotations: { ...annotations, [ANNOTATION_TEMPLATE_HASH]: templateHash(context) } },
    spec: podSpec(context, member),
  };
}

function podMetadata(context: BuildContext, member: string): PodTemplate["metadata"] {
  const { pods } = context.intent;
  return {
    labels: { ...pods.labels, ...memberLabels(context, member) },
    annotations: {
      ...pods.annotations,
      "kubectl.kubernetes.io/default-container": "engine",
    },
  };
}

function podSpec(context: BuildContext, member: string): Record<string, unknown> {
  const { intent, engine } = context;
  const { pods } = intent;
  return {
    serviceAccountName: nameOf.serviceAccount(context.name),
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 60, // hand-over plus the engine's stop; there is no preStop hook
    securityContext: {
      runAsNonRoot: true,
      runAsUser: engine.runAs.user,
      runAsGroup: engine.runAs.group,
      fsGroup: engine.runAs.group,
      fsGroupChangePolicy: "OnRootMismatch", // a recursive chown of a large volume takes minutes
      seccompProfile: { type: "RuntimeDefault" },
    },
    ...(pods.imagePullSecrets === undefined ? {} : { imagePullSecrets: pods.imagePullSecrets }),
    affinity: { podAntiAffinity: antiAffinity(context), ...nodeAffinity(context) },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: pods.topologyKey,
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: podSelector(context.name) },
      },
    ],
    ...(pods.nodeSelector === undefined ? {} : { nodeSelector: pods.nodeSelector }),
    ...(pods.tolerations === undefined ? {} : { tolerations: pods.tolerations }),
    ...(pods.priorityClassName === undefined ? {} : { priorityClassName: pods.priorityClassName }),
    initContainers: [installContainer(context)],
    containers: [engineContainer(context, member)],
    volumes: [
      { name: "data", persistentVolumeClaim: { claimName: nameOf.volume(member) } },
      { name: "runtime", emptyDir: {} },
      { name: "tmp", emptyDir: { medium: "Memory" } },
      { name: "run", emptyDir: { medium: "Memory" } },
      { name: "shm", emptyDir: { medium: "Memory" } }, // the runtime's own is 64 MiB, too small for parallel queries
      { name: "engine-files", configMap: { name: nameOf.engineFiles(context.name), defaultMode: 0o555 } },
      { name: "peer", secret: { secretName: nameOf.peerSecret(context.name), defaultMode: 0o440 } },
      { name: "credentials", secret: { secretName: nameOf.credentialsSecret(context.name), defaultMode: 0o440 } },
    ],
  };
}

function antiAffinity(context: BuildContext): Record<string, unknown> {
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: podSelector(context.name) } };
  return context.intent.pods.antiAffinity === "Required"
    ? { requiredDuringSchedulingIgnoredDuringExecution: [term] }
    : { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }] };
}

function nodeAffinity({ intent }: BuildContext): Record<string, unknown> {
  const matchExpressions = intent.pods.nodeRequirements;
  if (matchExpressions === undefined) return {};
  const required = { nodeSelectorTerms: [{ matchExpressions }] };
  return { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
}

const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

function installContainer(context: BuildContext): Record<string, unknown> {
  return {
    name: "install",
    image: context.settings.agentImage,
    imagePullPolicy: "IfNotPresent",
    args: ["install", INSTALL_MOUNT],
    securityContext: RESTRICTED,
    resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { memory: "256Mi" } },
    volumeMounts: [{ name: "runtime", mountPath: INSTALL_MOUNT }],
  };
}

/** Numbers of the signals on Linux, for quorate-init: it stops the engine by itself when no agent is left to do it. */
const SIGNAL_NUMBERS = { SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

function engineContainer(context: BuildContext, member: string): Record<string, unknown> {
  const { engine } = context;
  return {
    name: "engine",
    image: context.engineImage,
    imagePullPolicy: "IfNotPresent",
    command: [
      `${RUNTIME_DIR}/bin/quorate-init`,
      "--port",
      String(INIT_PORT),
      "--stop-signal",
      String(SIGNAL_NUMBERS[engine.stop.signal]),
      "--",
      `${RUNTIME_DIR}/lib/ld-linux-x86-64.so.2`,
      "--library-path",
      `${RUNTIME_DIR}/lib`,
      `${RUNTIME_DIR}/bin/node`,
      `${RUNTIME_DIR}/agent.mjs`,
      "run",
    ],
    env: environment(context, member),
    ports: [
      { name: "engine", containerPort: engine.port, protocol: "TCP" },
      ...(engine.memberPort === undefined
        ? []
        : [{ name: "member", containerPort: engine.memberPort, protocol: "TCP" }]),
      { name: "peer", containerPort: PEER_PORT, protocol: "TCP" },
      { name: "health", containerPort: HEALTH_PORT, protocol: "TCP" },
      { name: "init", containerPort: INIT_PORT, protocol: "TCP" },
    ],
    // The agent is up in a second; a clone takes hours and is no reason to restart, so /livez says nothing about the engine.
    startupProbe: probe("/livez", { periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 120 }),
    readinessProbe: probe("/readyz", { periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 3 }),
    // Init restarts a dead agent and fences a hanging one. Only a container where both fail for five minutes is restarted.
    livenessProbe: probe("/livez", { periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 30 }),
    resources: memberResources(context),
    securityContext: RESTRICTED,
    volumeMounts: [
      { name: "data", mountPath: VOLUME_MOUNT },
      { name: "runtime", mountPath: RUNTIME_DIR, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
      { name: "run", mountPath: "/run" },
      { name: "shm", mountPath: "/dev/shm" },
      { name: "engine-files", mountPath: ENGINE_DIR, readOnly: true },
      { name: "peer", mountPath: PEER_DIR, readOnly: true },
      { name: "credentials", mountPath: CREDENTIALS_DIR, readOnly: true },
    ],
  };
}

function probe(path: string, timing: Readonly<Record<string, number>>): Record<string, unknown> {
  return { httpGet: { path, port: HEALTH_PORT, scheme: "HTTP" }, ...timing };
}

function environment(context: BuildContext, member: string): Record<string, unknown>[] {
  const field = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { apiVersion: "v1", fieldPath } },
  });
  return [
    field("QUORATE_NAMESPACE", "metadata.namespace"),
    { name: "QUORATE_CLUSTER", value: context.name },
    { name: "QUORATE_MEMBER", value: member },
    field("QUORATE_POD", "metadata.name"),
    field("QUORATE_POD_UID", "metadata.uid"),
    field("QUORATE_POD_IP", "status.podIP"),
    field("QUORATE_NODE", "spec.nodeName"),
    { name: "QUORATE_MEMORY_BYTES", value: String(engineMemoryBytes(context)) },
    ...parameterVariables(context),
    ...(context.intent.pods.env ?? []).map(({ name, value }) => ({ name, value: literal(value) })),
  ];
}

/**
 * The parameters that need a restart, a variable each. Here rather than in the intent, so that a revision is complete in
 * itself: a member that restarts while another one tries a new value keeps its own.
 */
function parameterVariables(context: BuildContext): Record<string, unknown>[] {
  return Object.entries(restartParameters(context))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({ name: `${PARAMETER_PREFIX}${name}`, value: literal(value) }));
}

/** A variable's value that the kubelet does not expand: it reads `$(NAME)` as a reference and `$$` as `$`. */
function literal(value: string): string {
  return value.replaceAll("$", "$$$$"); // in a replacement, too, `$$` stands for one
}

/** Memory the engine may plan with: what the user gave it, without the agent's share. */
function engineMemoryBytes(context: BuildContext): number {
  const { requests, limits } = memoryOf(context);
  return Math.ceil(parseQuantity(limits ?? requests));
}

function memoryOf(context: BuildContext): { readonly requests: string; readonly limits: string | undefined } {
  const given = context.intent.resources;
  const limits = given?.limits.memory;
  return { requests: given?.requests.memory ?? limits ?? context.engine.resources.requests.memory, limits };
}

/** Requests are always there: without them a database is the first to be evicted from a full node. */
function memberResources(context: BuildContext): Record<string, unknown> {
  const { requests, limits } = memoryOf(context);
  const withAgent = (memory: string) => formatBytes(parseQuantity(memory) + AGENT_MEMORY_BYTES);
  const cpu = context.intent.resources?.requests.cpu ?? context.engine.resources.requests.cpu;
  const cpuLimit = context.intent.resources?.limits.cpu;
  const upper = {
    ...(cpuLimit === undefined ? {} : { cpu: formatCpu(parseQuantity(cpuLimit)) }),
    ...(limits === undefined ? {} : { memory: withAgent(limits) }),
  };
  return {
    requests: { cpu: formatCpu(parseQuantity(cpu)), memory: withAgent(requests) },
    ...(Object.keys(upper).length === 0 ? {} : { limits: upper }),
  };
}
