// The pod of one member: install container, then quorate-init as PID 1 of the engine's container, with agent and engine below it.
import {
  ANNOTATION_TEMPLATE_HASH,
  CREDENTIALS_DIR,
  ENGINE_DIR,
  HEALTH_PORT,
  INIT_PORT,
  LABEL_TRACK,
  nameOf,
  PEER_DIR,
  PEER_PORT,
  RUNTIME_DIR,
  STORE_DIR,
} from "../api/names.ts";
import {
  engineMemoryBytes,
  fieldVariable,
  memberResources,
  podSecurity,
  RESTRICTED,
  userVariables,
} from "./container.ts";
import { type BuildContext, isWithoutRestart } from "./context.ts";
import { contentHash } from "./hash.ts";
import { childLabels, memberLabels } from "./labels.ts";
import { placement } from "./placement.ts";
import { certificateOf, passwordsOf } from "./shard.ts";
import { statelessPodSpec } from "./stateless-pod.ts";

const AGENT_MEMORY_BYTES = 64 * 2 ** 20;
/** An agent that sends spans has loaded what can, and keeps those that wait. */
const TRACES_MEMORY_BYTES = 24 * 2 ** 20;
const VOLUME_MOUNT = "/data";
const INSTALL_MOUNT = "/install"; // not RUNTIME_DIR: there the image itself has what is to be copied
const ANY_MEMBER = "any"; // stands for the member in the hash, which must be the same for all

/** A pod template and the two hashes that tell why it differs from another. */
export interface PodTemplate {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Memory of init and agent. It is added to what the user gives the engine: with cgroup v2 both share one limit and one fate. */
export function agentMemoryBytes(sendsTraces: boolean): number {
  return AGENT_MEMORY_BYTES + (sendsTraces ? TRACES_MEMORY_BYTES : 0);
}

const hashes = new WeakMap<BuildContext, string>(); // asked for by every member in one pass

/** Hash of the whole rendered template, the same for all members; differs when anything about the pod differs. */
export function templateHash(context: BuildContext): string {
  const hash = hashes.get(context) ?? contentHash([podMetadata(context, ANY_MEMBER), podSpec(context, ANY_MEMBER)]);
  hashes.set(context, hash);
  return hash;
}

const inputHashes = new WeakMap<BuildContext, Map<string, string>>(); // by the parameters that count; asked for every outdated member

/**
 * Hash of what users decide about the pod. Equal inputs with another template hash: the operator or the Engine changed.
 *
 * Defaults of the schema are in it. One that is added to these fields makes every hash another, and with the next version of the
 * operator every cluster would restart.
 * @param carried - Names of parameters that count as part of the pod although the Engine takes them without a restart.
 */
export function inputHash(context: BuildContext, carried: readonly string[] = []): string {
  const { engine, resources, pods, parameters, serving, backup } = context.intent;
  const isReloaded = isWithoutRestart(context);
  const atRestart = Object.entries(parameters).filter((one) => carried.includes(one[0]) || !isReloaded(one));
  const known = inputHashes.get(context) ?? new Map<string, string>();
  inputHashes.set(context, known);
  const names = atRestart.map(([name]) => name).join("\n");
  const hash =
    known.get(names) ??
    contentHash({
      ...{ engine, resources, pods, parameters: Object.fromEntries(atRestart), serving },
      ...(backup === undefined ? {} : { storeKeys: backup.s3.secretName }),
    });
  known.set(names, hash);
  return hash;
}

/** The pod template of one member; in topology Stateless of one track, whose members are all alike. */
export function buildPodTemplate(context: BuildContext, member: string): PodTemplate {
  const { labels, annotations } = podMetadata(context, member);
  return {
    metadata: { labels, annotations: { ...annotations, [ANNOTATION_TEMPLATE_HASH]: templateHash(context) } },
    spec: podSpec(context, member),
  };
}

function podMetadata(context: BuildContext, member: string): PodTemplate["metadata"] {
  const { pods, topology } = context.intent;
  const own =
    topology === "Stateless" ? { ...childLabels(context), [LABEL_TRACK]: member } : memberLabels(context, member);
  return {
    labels: { ...pods.labels, ...own },
    annotations: {
      ...pods.annotations,
      "kubectl.kubernetes.io/default-container": "engine",
    },
  };
}

function podSpec(context: BuildContext, member: string): Record<string, unknown> {
  return context.intent.topology === "Stateless" ? statelessPodSpec(context) : memberPodSpec(context, member);
}

function memberPodSpec(context: BuildContext, member: string): Record<string, unknown> {
  return {
    serviceAccountName: nameOf.serviceAccount(context.name),
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 60, // hand-over plus the engine's stop; there is no preStop hook
    securityContext: podSecurity(context),
    ...placement(context),
    initContainers: [installContainer(context)],
    containers: [engineContainer(context, member)],
    volumes: [
      { name: "data", persistentVolumeClaim: { claimName: nameOf.volume(member) } },
      { name: "runtime", emptyDir: {} },
      { name: "tmp", emptyDir: { medium: "Memory" } },
      { name: "run", emptyDir: { medium: "Memory" } },
      { name: "shm", emptyDir: { medium: "Memory" } }, // the runtime's own is 64 MiB, too small for parallel queries
      { name: "engine-files", configMap: { name: nameOf.engineFiles(context.name), defaultMode: 0o555 } },
      { name: "peer", secret: { secretName: certificateOf(context), defaultMode: 0o440 } },
      { name: "credentials", secret: { secretName: passwordsOf(context), defaultMode: 0o440 } },
      ...storeKeys(context).map((secretName) => ({
        name: "store",
        // A member must start without it: it is needed for backups alone.
        secret: { secretName, defaultMode: 0o440, optional: true },
      })),
    ],
  };
}

/** The Secret with the keys to the store of backups, if there is one. */
function storeKeys({ intent: { backup } }: BuildContext): readonly string[] {
  return backup === undefined ? [] : [backup.s3.secretName];
}

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

/**
 * Collects young objects every MiB rather than every 16: an agent allocates little, and each pod would pay 10 MiB more for it. Code that
 * is not optimized (`--no-opt`, `--lite-mode`) would save 3 to 5 MiB more, and cost 75 ms of every planned change of leader.
 */
export const SMALL_HEAP: readonly string[] = ["--max-semi-space-size=1"];

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
      ...SMALL_HEAP,
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
    resources: memberResources(context, agentMemoryBytes(context.settings.tracesUrl !== undefined)),
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
      ...storeKeys(context).map(() => ({ name: "store", mountPath: STORE_DIR, readOnly: true })),
    ],
  };
}

function probe(path: string, timing: Readonly<Record<string, number>>): Record<string, unknown> {
  return { httpGet: { path, port: HEALTH_PORT, scheme: "HTTP" }, ...timing };
}

function environment(context: BuildContext, member: string): Record<string, unknown>[] {
  return [
    fieldVariable("QUORATE_NAMESPACE", "metadata.namespace"),
    { name: "QUORATE_CLUSTER", value: context.name },
    { name: "QUORATE_MEMBER", value: member },
    fieldVariable("QUORATE_POD", "metadata.name"),
    fieldVariable("QUORATE_POD_UID", "metadata.uid"),
    fieldVariable("QUORATE_POD_IP", "status.podIP"),
    fieldVariable("QUORATE_NODE", "spec.nodeName"),
    { name: "QUORATE_MEMORY_BYTES", value: String(engineMemoryBytes(context)) },
    ...userVariables(context),
  ];
}
