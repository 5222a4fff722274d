// Key in, one frozen Observation out. Reads what its sources have, which are caches unless a step that cannot be taken back is at
// stake (live-stores.ts). Live in any case are objects that are never watched, and a ClusterSpec that seems gone, because absence
// from a cache proves nothing.
import { INTENT_KEY, Intent } from "../api/agent-wire.ts";
import { ClusterIntent } from "../api/cluster-spec.ts";
import { ClusterStatus } from "../api/cluster-status.ts";
import { OperationIntent, OperationStatus } from "../api/cluster-operation.ts";
import { EngineSpec } from "../api/engine.ts";
import {
  ANNOTATION_CLUSTER_UID,
  ANNOTATION_TEMPLATE_HASH,
  API_VERSION,
  LABEL_MEMBER,
  LABEL_TRACK,
  nameOf,
} from "../api/names.ts";
import { isSameJson } from "../build/hash.ts";
import { connectionNames } from "../build/connection.ts";
import type { BuildSettings } from "../build/context.ts";
import type { Track } from "../build/deployment.ts";
import { ANNOTATION_APPLIED_HASH, ANNOTATION_DELETE_WITH, ANNOTATION_INPUT_HASH } from "../build/labels.ts";
import { childKey } from "../build/manifest.ts";
import { parseQuantity } from "../build/quantity.ts";
import type { Clock } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import { deepFreeze } from "../kube/deep-freeze.ts";
import { controllerOf, type KubeObject, type Stored } from "../kube/object.ts";
import { leaderOf } from "../plan/facts.ts";
import type {
  ChildView,
  ClusterView,
  InstanceView,
  IntentView,
  MemberView,
  NodeView,
  Observation,
  OperationView,
  PodView,
  ResizeView,
  StatefulSetView,
  VolumeView,
} from "../plan/observation.ts";
import { type ProjectedRequest, type ProjectedNode, type ProjectedPod, WATCHED } from "./kinds.ts";
import type { Sources } from "./live-stores.ts";
import type { Measurer } from "./measurer.ts";
import type { NamedObjects } from "./named-objects.ts";
import { SharedParts } from "./shared-parts.ts";
import { withHomes } from "./volume-homes.ts";

/** Where observations come from. */
export interface ObserverOptions {
  readonly api: Pick<KubeApi, "get" | "list">;
  readonly stores: Sources;
  readonly named: Pick<NamedObjects, "read" | "forget">;
  readonly settings: BuildSettings;
  readonly measurer: Pick<Measurer, "of">;
  readonly clock: Clock;
}

/**
 * Observes one cluster.
 *
 * @param key - `namespace/name`.
 * @returns undefined when there is nothing to plan for: no such ClusterSpec, or one that the cache does not show yet.
 * @throws {RetryableError} `CacheNotSynced` before the first lists, and what live reads throw.
 */
export async function observe(
  options: ObserverOptions,
  key: string,
  signal: AbortSignal,
): Promise<Observation | undefined> {
  const { stores, clock, named, settings } = options;
  const [namespace = "", name = ""] = key.split("/");
  const cached = stores.of("ClusterSpec").get(namespace, name);
  const members = await withHomes(options.api, observeMembers(stores, namespace, name, cached?.metadata.uid), signal);
  if (cached === undefined) {
    named.forget(key);
    if (members.every((m) => m.volume?.deleteWith === undefined)) return undefined;
    const live = await options.api.get({ apiVersion: API_VERSION, kind: "ClusterSpec", namespace, name }, { signal });
    if (live !== undefined) return undefined; // the cache is behind; its event brings us back
  }
  const instances = observeInstances(stores, namespace, name);
  const cluster = cached === undefined ? undefined : toCluster(cached);
  const engine = cluster === undefined ? undefined : stores.of("Engine").get(undefined, cluster.intent.engine.name);
  const said = {
    isSettled: leaderOf(members) !== undefined || cluster?.intent.topology === "Sharded",
    isLeaseGone: members.some(({ pod }) => pod?.report?.leaseGone === true),
  };
  const nowMs = clock.monotonicMs();
  const engineSpec = engine === undefined ? undefined : toEngine(engine);
  const secrets = { namespace, name, connections: connectionNames(name, engineSpec, cluster?.intent) };
  return deepFreeze({
    nowMs: clock.now().getTime(),
    settings,
    namespace,
    name,
    cluster,
    engine: engineSpec,
    members,
    instances,
    children: observeChildren(stores, namespace, name, cluster?.uid),
    named: await named.read(secrets, nowMs, said, signal),
    intent: toIntent(stores.of("ConfigMap").get(namespace, nameOf.intent(name))),
    operations: observeOperations(stores, namespace, name),
    nodes: observeNodes(stores, [...members.flatMap(({ pod }) => pod ?? []), ...instances]),
    measured: options.measurer.of(key),
    storageClasses: observeStorageClasses(stores, members),
    ...missingPriorityClass(stores, cluster),
    stateMayHaveGoneBack: stores.wentBackLately(nowMs),
  });
}

interface WithSpec extends KubeObject {
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly data?: Readonly<Record<string, string>>;
}

const UNREADABLE_INTENT: ClusterIntent = ClusterIntent.parse({ engine: { name: "none" } });

// By stored object, which never changes: parsing costs more than all else of a pass in which nothing changed.
const clusters = new WeakMap<object, ClusterView>();
const intentParts = new SharedParts(); // mostly defaults, and the same in all clusters
const intents = new WeakMap<object, IntentView>();

function toCluster(object: Stored<WithSpec & ProjectedRequest>): ClusterView {
  const known = clusters.get(object) ?? parseCluster(object);
  clusters.set(object, known);
  return known;
}

function parseCluster(object: Stored<WithSpec & ProjectedRequest>): ClusterView {
  const { metadata } = object;
  const intent = ClusterIntent.safeParse(object.spec);
  const status = ClusterStatus.safeParse(object.status ?? {});
  const [issue] = intent.error?.issues ?? [];
  return {
    ...identity(object),
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    generation: metadata.generation ?? 0,
    changedMs: object.changedMs,
    deleting: metadata.deletionTimestamp !== undefined,
    annotations: metadata.annotations ?? {},
    // A copy, because what follows from an intent is remembered by it, and two clusters may ask for the same.
    intent: intent.data === undefined ? UNREADABLE_INTENT : { ...intentParts.share(intent.data) },
    invalid: issue === undefined ? undefined : `${issue.path.join(".")}: ${issue.message}`,
    // What was stored, where nothing of it was left out: the same once more would be kept for each cluster.
    status: isSameJson(status.data, object.status) ? (object.status as ClusterStatus) : (status.data ?? {}),
  };
}

const engines = new WeakMap<object, EngineSpec>(); // by stored object: large, and the same in the passes of all clusters

function toEngine(object: Stored<WithSpec>): EngineSpec | undefined {
  const known = engines.get(object) ?? EngineSpec.safeParse(object.spec).data;
  if (known !== undefined) engines.set(object, known);
  return known;
}

function toIntent(object: Stored<WithSpec> | undefined): IntentView | undefined {
  if (object === undefined) return undefined;
  const known = intents.get(object) ?? { ...identity(object), intent: parseIntent(object.data?.[INTENT_KEY]) };
  intents.set(object, known);
  return known;
}

function parseIntent(text: string | undefined): Intent | undefined {
  try {
    return Intent.safeParse(JSON.parse(text ?? "")).data;
  } catch {
    return undefined; // edited by hand; the planner writes it anew
  }
}

function identity(object: Stored<KubeObject>): { readonly uid: string; readonly resourceVersion: string } {
  const { uid, resourceVersion } = object.metadata;
  return { uid, resourceVersion };
}

/** Everything labelled as a member of the cluster, grouped by member name. @param uid - Of the ClusterSpec, if there is one. */
function observeMembers(stores: Sources, namespace: string, cluster: string, uid: string | undefined): MemberView[] {
  const byName = new Map<string, { pod?: Stored<ProjectedPod>; set?: Stored<WithSpec>; claim?: Stored<WithSpec> }>();
  const entry = (object: KubeObject) => {
    const name = object.metadata.labels?.[LABEL_MEMBER];
    if (name === undefined || !name.startsWith(`${cluster}-`)) return undefined;
    const known = byName.get(name) ?? {};
    byName.set(name, known);
    return known;
  };
  for (const pod of stores.of("Pod").ofCluster(namespace, cluster)) {
    Object.assign(entry(pod) ?? {}, { pod });
  }
  for (const set of stores.of("StatefulSet").ofCluster(namespace, cluster)) Object.assign(entry(set) ?? {}, { set });
  for (const claim of stores.of("PersistentVolumeClaim").ofCluster(namespace, cluster)) {
    Object.assign(entry(claim) ?? {}, { claim });
  }
  return [...byName].flatMap(([name, { pod, set, claim }]) => {
    const ordinal = Number(name.slice(cluster.length + 1));
    if (!Number.isInteger(ordinal)) return [];
    return {
      name,
      ordinal,
      pod: pod === undefined ? undefined : { ...identity(pod), ...pod.view },
      statefulSet: set === undefined ? undefined : toStatefulSet(set),
      volume: claim === undefined ? undefined : toVolume(claim),
      isOfEarlierCluster: isForeign(set, uid) || (pod?.setUid !== undefined && pod.setUid !== set?.metadata.uid),
    };
  });
}

/** Whether a StatefulSet is another ClusterSpec's. */
function isForeign(set: KubeObject | undefined, uid: string | undefined): boolean {
  const owner = set === undefined ? undefined : controllerOf(set);
  return owner !== undefined && owner.uid !== uid;
}

const TRACKS: readonly string[] = ["stable", "canary"] satisfies readonly Track[];

/** Pods that are labelled with a track, and so are members without a name that lasts. */
function observeInstances(stores: Sources, namespace: string, cluster: string): InstanceView[] {
  const pods = stores.of("Pod").ofCluster(namespace, cluster) as readonly Stored<ProjectedPod>[];
  return pods.flatMap((pod) => {
    const track = pod.metadata.labels?.[LABEL_TRACK] ?? "";
    return TRACKS.includes(track) ? { ...identity(pod), ...pod.view, track: track as Track } : [];
  });
}

function toStatefulSet(object: Stored<WithSpec>): StatefulSetView {
  const { annotations = {}, deletionTimestamp } = object.metadata;
  const templateHash = annotations[ANNOTATION_TEMPLATE_HASH];
  const inputHash = annotations[ANNOTATION_INPUT_HASH];
  const spec = object.spec as { readonly template?: unknown; readonly replicas?: number } | undefined;
  return {
    ...identity(object),
    revision: templateHash === undefined || inputHash === undefined ? undefined : { templateHash, inputHash },
    template: spec?.template,
    replicas: spec?.replicas ?? 1,
    deleting: deletionTimestamp !== undefined,
  };
}

interface ClaimStatus {
  readonly phase?: string;
  readonly capacity?: { readonly storage?: string };
  readonly allocatedResourceStatuses?: { readonly storage?: string };
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
}

function resizeOf({ conditions = [], allocatedResourceStatuses }: ClaimStatus): ResizeView {
  const found = (type: string) => conditions.find((c) => c.type === type && c.status === "True");
  const error = found("ControllerResizeError") ?? found("NodeResizeError");
  const state = allocatedResourceStatuses?.storage;
  if (error !== undefined || state?.endsWith("Infeasible") === true) {
    return { state: "Refused", message: error?.message ?? state ?? "" };
  }
  const pending = found("FileSystemResizePending");
  return pending === undefined
    ? { state: "None", message: "" }
    : { state: "FileSystemPending", message: pending.message ?? "" };
}

interface ClaimSpec {
  readonly storageClassName?: string;
  readonly volumeName?: string;
  readonly resources?: { readonly requests?: { readonly storage?: string } };
}

function toVolume(object: Stored<WithSpec>): VolumeView {
  const { annotations = {}, deletionTimestamp, name, creationTimestamp } = object.metadata;
  const spec = object.spec as ClaimSpec | undefined;
  const status: ClaimStatus = object.status ?? {};
  return {
    ...identity(object),
    name,
    phase: status.phase ?? "Pending",
    capacityBytes: parseQuantity(status.capacity?.storage ?? "0"),
    resize: resizeOf(status),
    volumeName: spec?.volumeName,
    homes: [],
    createdMs: Date.parse(creationTimestamp ?? "") || 0,
    deleting: deletionTimestamp !== undefined,
    deleteWith: annotations[ANNOTATION_DELETE_WITH],
    clusterUid: annotations[ANNOTATION_CLUSTER_UID],
    requestedBytes: parseQuantity(spec?.resources?.requests?.storage ?? "0"),
    className: spec?.storageClassName,
  };
}

function observeChildren(
  stores: Sources,
  namespace: string,
  cluster: string,
  uid: string | undefined,
): ReadonlyMap<string, ChildView> {
  const children = new Map<string, ChildView>();
  for (const { isChild, selection } of WATCHED) {
    // Shards are ClusterSpecs that belong to another.
    if (!isChild && selection.kind !== "ClusterSpec") continue;
    const { kind } = selection;
    for (const object of stores.of(kind).ofCluster(namespace, cluster)) {
      const { metadata } = object;
      // A namesake's predecessor may still be on its way out; its children are not ours.
      const owner = metadata.ownerReferences?.find((o) => o.controller === true);
      const deleting = metadata.deletionTimestamp !== undefined || (owner !== undefined && owner.uid !== uid);
      children.set(childKey(kind, metadata.name), {
        ...identity(object),
        appliedHash: metadata.annotations?.[ANNOTATION_APPLIED_HASH],
        deleting,
        live: object,
      });
    }
  }
  return children;
}

function observeOperations(stores: Sources, namespace: string, cluster: string): OperationView[] {
  return stores
    .of("ClusterOperation")
    .all()
    .flatMap((object: Stored<WithSpec>) => {
      const intent = OperationIntent.safeParse(object.spec);
      if (object.metadata.namespace !== namespace || intent.data?.clusterName !== cluster) return [];
      const status = OperationStatus.safeParse(object.status ?? {}).data ?? {};
      const createdMs = Date.parse(object.metadata.creationTimestamp ?? "") || 0;
      return { ...identity(object), name: object.metadata.name, createdMs, intent: intent.data, status };
    });
}

function observeStorageClasses(stores: Sources, members: readonly MemberView[]): Observation["storageClasses"] {
  const names = new Set(members.flatMap((m) => m.volume?.className ?? []));
  return new Map(
    [...names].flatMap((name) => {
      const found = stores.of("StorageClass").get(undefined, name) as StorageClass | undefined;
      return found === undefined ? [] : [[name, { allowsExpansion: found.allowVolumeExpansion === true }] as const];
    }),
  );
}

function missingPriorityClass(
  stores: Sources,
  cluster: ClusterView | undefined,
): Pick<Observation, "missingPriorityClass"> {
  const name = cluster?.intent.pods.priorityClassName;
  const isMissing = name !== undefined && stores.of("PriorityClass").get(undefined, name) === undefined;
  return isMissing ? { missingPriorityClass: name } : {};
}

interface StorageClass extends KubeObject {
  readonly allowVolumeExpansion?: boolean;
}

function observeNodes(stores: Sources, pods: readonly PodView[]): ReadonlyMap<string, NodeView> {
  const names = new Set(pods.flatMap(({ node }) => node ?? []));
  return new Map(
    [...names].flatMap((name) => {
      const node = stores.of("Node").get(undefined, name);
      return node === undefined ? [] : [[name, (node as Stored<ProjectedNode>).view] as const];
    }),
  );
}
