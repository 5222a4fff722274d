// The pod of a member of topology Stateless: the engine alone, without agent and volume. It leaves the Service, goes on
// answering for a while, and only then is asked to stop; the grace period covers both by how it is computed.
import { ENGINE_DIR, nameOf } from "../api/names.ts";
import { DEFAULT_SERVING, type EngineProbes } from "../api/stateless.ts";
import {
  engineMemoryBytes,
  fieldVariable,
  memberResources,
  podSecurity,
  RESTRICTED,
  userVariables,
} from "./container.ts";
import type { BuildContext } from "./context.ts";
import { placement } from "./placement.ts";

const GRACE_MARGIN_SECONDS = 5; // for what the kubelet itself needs between the two

/** The pod's spec, the same for all members. */
export function statelessPodSpec(context: BuildContext): Record<string, unknown> {
  const { engine, intent } = context;
  const { drainSeconds, startJitterSeconds } = intent.serving ?? DEFAULT_SERVING;
  const hasFiles = Object.keys(engine.files).length > 0;
  return {
    serviceAccountName: nameOf.serviceAccount(context.name),
    automountServiceAccountToken: false, // nothing in the pod speaks to the API server
    enableServiceLinks: false,
    terminationGracePeriodSeconds: drainSeconds + engine.stop.graceSeconds + GRACE_MARGIN_SECONDS,
    securityContext: podSecurity(context),
    ...spread(context),
    ...(startJitterSeconds === 0 ? {} : { initContainers: [jitterContainer(context, startJitterSeconds)] }),
    containers: [engineContainer(context, drainSeconds)],
    volumes: [
      { name: "tmp", emptyDir: { medium: "Memory" } },
      ...(hasFiles
        ? [{ name: "engine-files", configMap: { name: nameOf.engineFiles(context.name), defaultMode: 0o555 } }]
        : []),
    ],
  };
}

/** Spread among those of its own revision, because an update's new members would otherwise go where the old ones are not. */
function spread(context: BuildContext): Record<string, unknown> {
  const { topologySpreadConstraints, ...others } = placement(context);
  const constraints = topologySpreadConstraints as readonly object[];
  return {
    ...others,
    topologySpreadConstraints: constraints.map((one) => ({ ...one, matchLabelKeys: ["pod-template-hash"] })),
  };
}

function jitterContainer(context: BuildContext, startJitterSeconds: number): Record<string, unknown> {
  return {
    name: "jitter",
    image: context.settings.agentImage,
    imagePullPolicy: "IfNotPresent",
    args: ["wait", String(startJitterSeconds)],
    securityContext: RESTRICTED,
    resources: { requests: { cpu: "10m", memory: "32Mi" }, limits: { memory: "256Mi" } },
  };
}

function engineContainer(context: BuildContext, drainSeconds: number): Record<string, unknown> {
  const { engine } = context;
  const hasFiles = Object.keys(engine.files).length > 0;
  return {
    name: "engine",
    image: context.engineImage,
    imagePullPolicy: "IfNotPresent",
    command: engine.start,
    env: environment(context),
    ports: [{ name: "engine", containerPort: engine.port, protocol: "TCP" }],
    ...(engine.probes === undefined ? {} : probes(engine.probes, engine.port)),
    // The kubelet's own sleep: the image needs no shell for it.
    ...(drainSeconds === 0 ? {} : { lifecycle: { preStop: { sleep: { seconds: drainSeconds } } } }),
    resources: memberResources(context, 0),
    securityContext: RESTRICTED,
    volumeMounts: [
      { name: "tmp", mountPath: "/tmp" },
      ...(hasFiles ? [{ name: "engine-files", mountPath: ENGINE_DIR, readOnly: true }] : []),
    ],
  };
}

/** Ready is asked often, so that a member that cannot serve leaves early; live seldom and with patience, because it restarts. */
function probes({ ready, live, startSeconds }: EngineProbes, port: number): Record<string, unknown> {
  const get = (path: string, timing: Readonly<Record<string, number>>) => ({
    httpGet: { path, port, scheme: "HTTP" },
    ...timing,
  });
  return {
    startupProbe: get(ready.path, { periodSeconds: 1, timeoutSeconds: 2, failureThreshold: startSeconds }),
    readinessProbe: get(ready.path, { periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2 }),
    ...(live === undefined
      ? {}
      : { livenessProbe: get(live.path, { periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 }) }),
  };
}

function environment(context: BuildContext): Record<string, unknown>[] {
  return [
    fieldVariable("QUORATE_NAMESPACE", "metadata.namespace"),
    { name: "QUORATE_CLUSTER", value: context.name },
    fieldVariable("QUORATE_POD", "metadata.name"),
    fieldVariable("QUORATE_POD_IP", "status.podIP"),
    fieldVariable("QUORATE_NODE", "spec.nodeName"),
    { name: "QUORATE_PORT", value: String(context.engine.port) },
    { name: "QUORATE_ENGINE_DIR", value: ENGINE_DIR },
    { name: "QUORATE_MEMORY_BYTES", value: String(engineMemoryBytes(context)) },
    { name: "QUORATE_VERSION", value: context.engineVersion },
    ...userVariables(context),
  ];
}
