// What a pod, a container or a Service could be given that would make them less secure, wherever a ClusterSpec speaks of them.

/** Fields of a pod. */
const OF_PODS = [
  ...["hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace", "securityContext"],
  ...["serviceAccountName", "serviceAccount", "automountServiceAccountToken", "runtimeClassName", "nodeName"],
  ...["volumes", "volumeMounts", "volumeDevices", "containers", "initContainers", "ephemeralContainers"],
  ...["privileged", "runAsUser", "runAsNonRoot", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"],
  ...[
    "seccompProfile",
    "appArmorProfile",
    "seLinuxOptions",
    "procMount",
    "sysctls",
    "hostPort",
    "ports",
    "hostAliases",
  ],
  ...["envFrom", "command", "args", "lifecycle", "dnsPolicy", "dnsConfig", "schedulerName"],
];

/** Where they could be: in the block of pods, and beside the other words about members. */
const BLOCKS = [["pods"], ["storage", "data"], ["resources"]] as const;

type Path = readonly string[];

/** Paths below a ClusterSpec's spec that must not be there. */
export const LOOSENING: readonly Path[] = [
  ...BLOCKS.flatMap((block) => OF_PODS.map((field) => [...block, field])),
  ...OF_PODS.map((field) => [field]),
  ["pods", "env", "0", "valueFrom"],
  ["services", "readWrite", "externalIPs"],
  ["storage", "data", "hostPath"],
];

/** Values by the name of their field, where `true` would not do. */
export const LOOSE: Readonly<Record<string, unknown>> = {
  securityContext: { privileged: true, runAsUser: 0 },
  capabilities: { add: ["SYS_ADMIN"] },
  seccompProfile: { type: "Unconfined" },
  volumes: [{ name: "root", hostPath: { path: "/" } }],
};

/** Sets a field, and makes what holds it; "0" is the first of a list, which has a name. */
export function setAt(object: Record<string, unknown>, [first = "", ...rest]: Path, value: unknown): void {
  if (rest.length === 0) {
    object[first] = value;
    return;
  }
  if (rest[0] === "0") {
    const [item = { name: "TZ", value: "UTC" }] = (object[first] ?? []) as Record<string, unknown>[];
    setAt(item, rest.slice(1), value);
    object[first] = [item];
    return;
  }
  const inner = (object[first] ?? {}) as Record<string, unknown>;
  object[first] = inner;
  setAt(inner, rest, value);
}
