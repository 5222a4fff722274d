// What the API server must refuse, each with its exact words.
import { EngineActions } from "../../src/api/engine-actions.ts";
import type { KubeObject } from "../../src/kube/object.ts";

/** An object as tests write it. */
export type NamedObject = KubeObject & { readonly metadata: { readonly name: string }; readonly spec: object };

/** An object that must not come into being. `says` is the whole message without the value it prints (see `withoutValue`). */
export interface Creation {
  readonly why: string;
  readonly object: NamedObject;
  readonly says: string;
}

/** A change (JSON merge patch) that an existing object must not take. */
export interface Update extends Creation {
  readonly patch: object;
}

/** The API server prints the refused value, or in some versions only its type, between field and message. */
export function withoutValue(message: string): string {
  return message.replaceAll(/Invalid value: "(?:[^"\\]|\\.)*": /g, "");
}

const apiVersion = "quorate.io/v1alpha1";

/** The least a user writes, with `spec` merged over it. */
export function minimalCluster(spec: object = {}, name = "orders"): NamedObject {
  const metadata = { name, namespace: "default" };
  return { apiVersion, kind: "ClusterSpec", metadata, spec: { engine: { name: "postgres" }, ...spec } };
}

/** A ClusterOperation for the cluster `orders`. */
export function operation(spec: object): NamedObject {
  const metadata = { name: "once", namespace: "default" };
  return { apiVersion, kind: "ClusterOperation", metadata, spec: { clusterName: "orders", ...spec } };
}

/** Every action there is. */
export const actions = Object.fromEntries(Object.keys(EngineActions.shape).map((name) => [name, { exec: ["true"] }]));

/** The least an Engine says, with `spec` merged over it. */
export function minimalEngine(spec: object = {}, name = "tiny"): NamedObject {
  return {
    apiVersion,
    kind: "Engine",
    metadata: { name },
    spec: {
      topologies: ["ActivePassive"],
      versions: [{ version: "1", image: "tiny:1" }],
      runAs: { user: 1000, group: 1000 },
      port: 1234,
      start: ["tiny"],
      actions,
      ...spec,
    },
  };
}

function invalid(object: NamedObject, cause: string): string {
  return `${object.kind}.quorate.io "${object.metadata.name}" is invalid: ${cause}`;
}

/** A case whose words follow those with which the API server names the object. */
export function creation(why: string, object: NamedObject, cause: string): Creation {
  return { why, object, says: invalid(object, cause) };
}

/** A change that the API server must refuse because of `cause`, which begins with the field. */
export function update(
  why: string,
  object: NamedObject,
  change: { readonly spec: object; readonly cause: string },
): Update {
  return { why, object, patch: { spec: change.spec }, says: invalid(object, change.cause) };
}

const longName = "a".repeat(41);
const dotted = "orders.eu";

const BACKUP = { s3: { endpoint: "https://store.example", bucket: "copies", secretName: "store" } };
const RESTORE_LATER =
  "restore is what a cluster begins with and cannot be added or changed later: create another ClusterSpec with it, or leave it out";

/** What must not come into being, in the order in which the fields stand in the manual. */
export const clusterCreations: readonly Creation[] = [
  creation(
    "a restore from nowhere",
    minimalCluster({ restore: { path: "shop/orders/one" } }),
    "spec.restore: restore needs backup, which says where the backup is: set backup.s3",
  ),
  creation(
    "a restore of a cluster that is parted",
    minimalCluster({ topology: "Sharded", backup: BACKUP, restore: { path: "shop/orders/one" } }),
    "spec.restore: restore is not for the topologies Stateless and Sharded: leave restore out",
  ),
  creation(
    "a name of 41 characters",
    minimalCluster({}, longName),
    `metadata.name: metadata.name must have at most 40 characters: names of pods, Services and volumes are made from it`,
  ),
  creation(
    "a name with a dot",
    minimalCluster({}, dotted),
    `metadata.name: metadata.name must start with a letter and hold only lower-case letters, digits and '-': Services are named after it`,
  ),
  creation(
    "All with one member",
    minimalCluster({ members: 1, durability: { mode: "All" } }),
    "spec.durability.mode: durability.mode All needs members of at least 2: raise members or choose Quorum",
  ),
  creation(
    "pending changes in windows that there are none of",
    minimalCluster({ update: { pending: "InWindow" } }),
    "spec.update.pending: update.pending InWindow needs maintenanceWindows: add a window, or choose OnApproval or NextRoll",
  ),
  creation(
    "stopped and paused at once",
    minimalCluster({ paused: true, stopped: true }),
    "spec.stopped: stopped cannot be true while paused is: nothing may change then, stopping included; set paused to false, or leave stopped out",
  ),
  creation(
    "a roll that may take the majority away",
    minimalCluster({ members: 4, update: { maxUnavailable: 2 } }),
    "spec.update.maxUnavailable: update.maxUnavailable must leave a majority of members: lower it to 1 or raise members",
  ),
  creation(
    "canaries without anybody to compare them with",
    minimalCluster({ members: 2, update: { strategy: "Canary", canary: { members: 2 } } }),
    "spec.update.canary.members: update.canary.members must be fewer than members: lower it, or choose update.strategy Rolling",
  ),
  creation(
    "more members held back than there are",
    minimalCluster({ members: 3, update: { partition: 4 } }),
    "spec.update.partition: update.partition must be at most members: lower it; equal to members it holds back everything",
  ),
  creation(
    "Async when degraded, where nothing waits anyway",
    minimalCluster({ durability: { mode: "Async", whenDegraded: "Async" } }),
    "spec.durability.whenDegraded: durability.whenDegraded Async needs durability.mode Quorum or All: mode Async never waits; remove whenDegraded",
  ),
  creation(
    "volumes that are protected and deleted with the cluster",
    minimalCluster({ volumeRetention: { whenDeleted: "Delete" } }),
    "spec.volumeRetention.whenDeleted: volumeRetention.whenDeleted Delete needs deletionProtection: false, or set it to Retain",
  ),
  creation(
    "volumes that are protected and deleted when scaled in",
    minimalCluster({ volumeRetention: { whenScaled: "Delete" } }),
    "spec.volumeRetention.whenScaled: volumeRetention.whenScaled Delete needs deletionProtection: false, or set it to Retain",
  ),
  creation(
    "a volume of nothing",
    minimalCluster({ storage: { data: { size: "0Gi" } } }),
    "spec.storage.data.size: size must be greater than zero: give the volume a size such as 10Gi",
  ),
  creation(
    "a CPU limit below the request, one of them a number",
    minimalCluster({ resources: { requests: { cpu: 2 }, limits: { cpu: "1500m" } } }),
    "spec.resources.limits.cpu: limits.cpu must be at least requests.cpu: raise the limit or lower the request",
  ),
  creation(
    "a memory limit below the request, in other units",
    minimalCluster({ resources: { requests: { memory: "1Gi" }, limits: { memory: "1000M" } } }),
    "spec.resources.limits.memory: limits.memory must be at least requests.memory: raise the limit or lower the request",
  ),
  creation(
    "a parameter's name with a line break",
    minimalCluster({ parameters: { "a\nb": "1" } }),
    "spec.parameters: parameters has a name that is not a parameter's: use letters, digits, '_', '.' and '-', at most 128 characters, a letter or '_' first",
  ),
  creation(
    "a load balancer's fields without one",
    minimalCluster({ services: { readWrite: { loadBalancerClass: "example.com/internal" } } }),
    "spec.services.readWrite.type: loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer: set type, or remove them",
  ),
  creation(
    "a range that is none",
    minimalCluster({ services: { read: { type: "LoadBalancer", loadBalancerSourceRanges: ["everybody"] } } }),
    "spec.services.read.loadBalancerSourceRanges: loadBalancerSourceRanges holds what is no address range: write it as 203.0.113.0/24",
  ),
  creation(
    "a client that is nobody",
    minimalCluster({ services: { from: [{}] } }),
    "spec.services.from[0]: from has an item that names nobody: set podSelector, namespaceSelector or ipBlock",
  ),
  creation(
    "a client that is a pod and an address",
    minimalCluster({ services: { from: [{ podSelector: {}, ipBlock: { cidr: "203.0.113.0/24" } }] } }),
    "spec.services.from[0].ipBlock: ipBlock cannot stand beside podSelector and namespaceSelector: give it an item of its own",
  ),
  creation(
    "clients at addresses that are none",
    minimalCluster({ services: { from: [{ ipBlock: { cidr: "203.0.113.0" } }] } }),
    "spec.services.from[0].ipBlock.cidr: cidr is no address range: write it as 203.0.113.0/24",
  ),
  creation(
    "an exception that is none",
    minimalCluster({ services: { from: [{ ipBlock: { cidr: "203.0.113.0/24", except: ["203.0.113.0/24"] } }] } }),
    "spec.services.from[0].ipBlock.except: except holds what is no address range within cidr: write it as 203.0.113.0/24",
  ),
  creation(
    "clients by a label that cannot be",
    minimalCluster({ services: { from: [{ podSelector: { matchLabels: { "not a key!": "one" } } }] } }),
    "spec.services.from[0].podSelector.matchLabels: matchLabels has a key that is no label's: write it as name or example.com/name",
  ),
  creation(
    "clients by a label without values",
    minimalCluster({
      services: { from: [{ namespaceSelector: { matchExpressions: [{ key: "team", operator: "In" }] } }] },
    }),
    "spec.services.from[0].namespaceSelector.matchExpressions[0].values: values must be given for In and NotIn, and for no other operator: add or remove values",
  ),
  creation(
    "a variable that the agent depends on",
    minimalCluster({ pods: { env: [{ name: "LD_PRELOAD", value: "x.so" }] } }),
    "spec.pods.env[0].name: name must not be QUORATE_…, LD_…, PATH, NODE_OPTIONS, NODE_EXTRA_CA_CERTS or NODE_TLS_REJECT_UNAUTHORIZED: the agent depends on those; choose another variable",
  ),
  ...["container.apparmor.security.beta.kubernetes.io/engine", "seccomp.security.alpha.kubernetes.io/pod"].map((key) =>
    creation(
      `the annotation ${key}`,
      minimalCluster({ pods: { annotations: { [key]: "unconfined" } } }),
      "spec.pods.annotations: pods.annotations must not set AppArmor or seccomp profiles: pods have the runtime's, and cannot be given less; remove the annotation",
    ),
  ),
  creation(
    "a requirement without values",
    minimalCluster({ pods: { nodeRequirements: [{ key: "disk", operator: "In" }] } }),
    "spec.pods.nodeRequirements[0].values: values must be given for In, NotIn, Gt and Lt, and for no other operator: add or remove values",
  ),
  ...["pods.labels", "pods.annotations", "services.annotations"].map((field) => {
    const [part = "", map = ""] = field.split(".");
    return creation(
      `${field} of ours`,
      minimalCluster({ [part]: { [map]: { "quorate.io/role": "leader" } } }),
      `spec.${field}: ${field} must not use the prefixes quorate.io/ and app.kubernetes.io/: the operator sets those; choose a prefix of your own`,
    );
  }),
  ...["100", "49.9"].map((availabilityPercent) =>
    creation(
      `an availability objective of ${availabilityPercent}`,
      minimalCluster({ slo: { dataPlane: { availabilityPercent } } }),
      'spec.slo.dataPlane.availabilityPercent: availabilityPercent must be at least 50 and below 100: 100 leaves no error budget, so that nothing could ever be changed; write for example "99.9"',
    ),
  ),
  ...["errorPercent", "requestErrorPercent"].flatMap((field) =>
    ["0", "50.1"].map((percent) =>
      creation(
        `an objective of ${percent} in ${field}`,
        minimalCluster({ slo: { dataPlane: { [field]: percent } } }),
        `spec.slo.dataPlane.${field}: ${field} must be above 0 and at most 50: 0 leaves no error budget, so that nothing could ever be changed; write for example "0.1"`,
      ),
    ),
  ),
  ...[
    "0 3 * * *  ",
    "0 24 * * *",
    "60 3 * * 6",
    "5/15 3 * * 6",
    "0 3 32 * *",
    "@daily   ",
    "0 3 * 13 *",
    "0 3 * * 8",
  ].map((cron) =>
    creation(
      `a window at '${cron}'`,
      minimalCluster({ maintenanceWindows: [{ name: "w", cron, durationMinutes: 60 }] }),
      "spec.maintenanceWindows[0].cron: cron is not a schedule: write minute, hour, day of month, month and day of week with one blank between them, for example '0 3 * * 6' for Saturdays at 03:00",
    ),
  ),
  ...[
    {
      why: "an analysis of nothing",
      analysis: { max: "1" },
      says: "[0]: an analysis needs either measure or query: remove one or add the other",
    },
    {
      why: "an analysis of two things",
      analysis: { measure: "Restarts", query: "up", max: "1" },
      says: "[0]: an analysis needs either measure or query: remove one or add the other",
    },
    {
      why: "an analysis without a limit",
      analysis: { measure: "Restarts" },
      says: "[0]: an analysis needs either max or maxRatio: remove one or add the other",
    },
    {
      why: "an analysis with two limits",
      analysis: { measure: "Restarts", max: "1", maxRatio: "1" },
      says: "[0]: an analysis needs either max or maxRatio: remove one or add the other",
    },
    {
      why: "a floor under a limit",
      analysis: { measure: "Restarts", max: "1", ignoreUpTo: "1" },
      says: "[0].ignoreUpTo: ignoreUpTo needs maxRatio: remove ignoreUpTo, or compare with maxRatio instead of max",
    },
    {
      why: "a comparison that asks the same of both groups",
      analysis: { query: 'up{pod=~"$(CANARY)"}', maxRatio: "1" },
      says: '[0].query: query needs $(PODS) with maxRatio: it is asked once for the updated pods and once for the others; use it as in {pod=~"$(PODS)"}',
    },
  ].map(({ why, analysis, says }) =>
    creation(
      why,
      minimalCluster({ update: { canary: { analysis: [{ name: "a", ...analysis }] } } }),
      `spec.update.canary.analysis${says}`,
    ),
  ),
  ...["Consensus", "ActiveActive"].map((topology) =>
    creation(
      `a durability of one's own where a majority always confirms, topology ${topology}`,
      minimalCluster({ topology, durability: { mode: "Async" } }),
      "spec.durability: durability cannot be chosen in the topologies Consensus and ActiveActive, where a majority always confirms: set mode Quorum and whenDegraded Block, or leave durability out",
    ),
  ),
  creation(
    "a topology that does not work yet",
    minimalCluster({ topology: "Federated" }),
    '[spec.topology: Unsupported value: "Federated": supported values: "ActivePassive", "ActiveActive", "Consensus", "Sharded", "Stateless", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]',
  ),
  creation(
    "an account whose Secret would be the operator's own",
    minimalCluster({ accounts: [{ name: "peer" }] }),
    "spec.accounts[0].name: name must not be ca, peer or credentials: those Secrets hold something else; choose another name",
  ),
];

export const updates: readonly Update[] = [
  update("a backup that a cluster with data would begin with", minimalCluster({ backup: BACKUP }), {
    spec: { restore: { path: "shop/orders/one" } },
    cause: `spec.restore: Forbidden: ${RESTORE_LATER}`,
  }),
  update("another backup", minimalCluster({ backup: BACKUP, restore: { path: "shop/orders/one" } }), {
    spec: { restore: { path: "shop/orders/two" } },
    cause: `spec.restore: Forbidden: ${RESTORE_LATER}`,
  }),
  update("another engine", minimalCluster(), {
    spec: { engine: { name: "redis" } },
    cause:
      "spec.engine.name: engine.name cannot be changed: create another ClusterSpec for the other engine and move the data",
  }),
  update("a smaller volume", minimalCluster({ storage: { data: { size: "1Gi" } } }), {
    spec: { storage: { data: { size: "1023Mi" } } },
    cause:
      "spec.storage.data.size: size cannot shrink: keep at least the present size, or create another ClusterSpec and move the data",
  }),
  update("a StorageClass where there was none", minimalCluster(), {
    spec: { storage: { data: { className: "fast" } } },
    cause:
      "spec.storage.data.className: className cannot be changed: create another ClusterSpec with the other StorageClass and move the data",
  }),
  update("no StorageClass where there was one", minimalCluster({ storage: { data: { className: "fast" } } }), {
    spec: { storage: { data: { className: null } } },
    cause:
      "spec.storage.data.className: className cannot be changed: create another ClusterSpec with the other StorageClass and move the data",
  }),
  ...(
    [
      ["another class of a load balancer", "example.com/one", "example.com/other"],
      ["a class of a load balancer that had none", undefined, "example.com/other"],
      ["no class of a load balancer that had one", "example.com/one", null],
    ] as const
  ).map(([why, before, loadBalancerClass]) =>
    update(why, minimalCluster({ services: { readWrite: { type: "LoadBalancer", loadBalancerClass: before } } }), {
      spec: { services: { readWrite: { loadBalancerClass } } },
      cause:
        "spec.services.readWrite.loadBalancerClass: loadBalancerClass cannot change while type is LoadBalancer: Kubernetes ties a Service to it; set type ClusterIP first, then LoadBalancer with the other class",
    }),
  ),
  update("another topology", minimalCluster(), {
    spec: { topology: "Consensus" },
    cause: "spec.topology: topology cannot be changed: create another ClusterSpec and move the data",
  }),
  update("fewer members than All needs", minimalCluster({ durability: { mode: "All" } }), {
    spec: { members: 1 },
    cause: "spec.durability.mode: durability.mode All needs members of at least 2: raise members or choose Quorum",
  }),
  update("an operation that is already ordered", operation({ type: "Switchover" }), {
    spec: { member: "orders-2" },
    cause: "spec: Forbidden: spec of a ClusterOperation cannot be changed: create another ClusterOperation",
  }),
];
