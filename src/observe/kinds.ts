// The kinds that the operator watches, and what it keeps of each object. Leases and Secrets are not among them:
// Leases change every second, and what is never held in memory cannot leak from it.
import { MemberReport } from "../api/agent-wire.ts";
import { ANNOTATION_MEMBER_STATUS, ANNOTATION_TEMPLATE_HASH, API_VERSION, GROUP, MANAGED_BY } from "../api/names.ts";
import { LABEL_REVISION, LABEL_SLICE_MANAGER, SLICE_MANAGER } from "../build/labels.ts";
import type { Selection } from "../kube/api.ts";
import { controllerOf, type KubeObject, type ObjectMeta, type Stored } from "../kube/object.ts";
import { withoutBookkeeping } from "../kube/reflector.ts";
import type { NodeView, PodView } from "../plan/observation.ts";

/** How a machine ends a member that it has no room for. */
export const POD_ENDS = ["OOMKilled", "Evicted"] as const;
export type PodEnd = (typeof POD_ENDS)[number];

/** A pod reduced to what the planner reads. */
export interface ProjectedPod extends KubeObject {
  readonly view: Omit<PodView, "uid" | "resourceVersion">;
  /** The StatefulSet that made it; absent when none did. */
  readonly setUid: string | undefined;
  /** Where its agent answers, how often its containers restarted, and how its machine last ended it: for whoever measures. */
  readonly measuring: {
    readonly address: string | undefined;
    readonly restarts: number;
    readonly lastEnd: { readonly reason: PodEnd; readonly at: string } | undefined;
  };
}

/** A node reduced to what the planner reads. */
export interface ProjectedNode extends KubeObject {
  readonly view: NodeView;
  /** Where it stands, for whoever looks at figures by region; empty when the node does not say. */
  readonly region: string;
}

/** What somebody asks with, with the last change of it, which Kubernetes tells only among what else it notes of writers. */
export interface ProjectedRequest extends KubeObject {
  readonly changedMs?: number;
  /** The field manager of that change. */
  readonly changedBy?: string;
}

/** One watched kind. `name` is the resource as metrics and RBAC name it. */
export interface WatchedKind {
  readonly name: string;
  readonly selection: Selection;
  readonly project: (object: Stored<KubeObject>) => Stored<KubeObject>;
  /** Children are kept equal to a manifest; the others are looked at only. */
  readonly isChild: boolean;
}

const CHILD_LABEL = `app.kubernetes.io/managed-by=${MANAGED_BY}`;

function childKind(
  name: string,
  apiVersion: string,
  kind: string,
  dropped: readonly string[] = ["status"],
): WatchedKind {
  const project = (object: Stored<KubeObject>) => without(asChild(object), dropped);
  const labelSelector = [CHILD_LABEL, ...(OURS[kind] ?? [])].join(",");
  return { name, selection: { apiVersion, kind, labelSelector }, project, isChild: true };
}

/** The same kind, of which less is kept. */
function reduced(kind: WatchedKind, reduce: WatchedKind["project"]): WatchedKind {
  return { ...kind, project: (object) => reduce(kind.project(object)) };
}

/** What tells ours from those that controllers make with the labels of our StatefulSets and Services. */
const OURS: Readonly<Record<string, readonly string[]>> = {
  ControllerRevision: [LABEL_REVISION],
  EndpointSlice: [`${LABEL_SLICE_MANAGER}=${SLICE_MANAGER}`],
};

/** There are twenty of these for each cluster: only what a manifest may name, what tells incarnations apart, and their age. */
function asChild(object: Stored<KubeObject>): Stored<KubeObject> {
  const { finalizers: _, ...metadata }: ObjectMeta = withoutBookkeeping(object).metadata;
  return { ...object, metadata: metadata as Stored<KubeObject>["metadata"] };
}

/** What binds and provisions a claim notes things on it, too, which nobody here reads. */
function withOwnAnnotations(object: Stored<KubeObject>): Stored<KubeObject> {
  const { annotations = {}, ...metadata }: ObjectMeta = object.metadata;
  const own = Object.fromEntries(Object.entries(annotations).filter(([name]) => name.startsWith(`${GROUP}/`)));
  return { ...object, metadata: { ...metadata, annotations: own } as Stored<KubeObject>["metadata"] };
}

function lookedAt(
  name: string,
  selection: Selection,
  project: WatchedKind["project"] = withoutBookkeeping,
): WatchedKind {
  return { name, selection, project, isChild: false };
}

/** All watched kinds; names are unique. */
export const WATCHED: readonly WatchedKind[] = [
  lookedAt("clusterspecs", { apiVersion: API_VERSION, kind: "ClusterSpec" }, projectRequest),
  lookedAt("engines", { apiVersion: API_VERSION, kind: "Engine" }, projectRequest),
  lookedAt("clusteroperations", { apiVersion: API_VERSION, kind: "ClusterOperation" }, projectRequest),
  lookedAt("nodes", { apiVersion: "v1", kind: "Node" }, projectNode),
  lookedAt("storageclasses", { apiVersion: "storage.k8s.io/v1", kind: "StorageClass" }),
  lookedAt("priorityclasses", { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass" }),
  lookedAt("pods", { apiVersion: "v1", kind: "Pod", labelSelector: CHILD_LABEL }, projectPod),
  childKind("statefulsets", "apps/v1", "StatefulSet"),
  reduced(childKind("deployments", "apps/v1", "Deployment", []), withConditionsOnly),
  reduced(childKind("horizontalpodautoscalers", "autoscaling/v2", "HorizontalPodAutoscaler", []), conditionsAlone),
  childKind("controllerrevisions", "apps/v1", "ControllerRevision"),
  reduced(childKind("persistentvolumeclaims", "v1", "PersistentVolumeClaim", []), withOwnAnnotations),
  childKind("services", "v1", "Service"),
  childKind("configmaps", "v1", "ConfigMap", ["status", "binaryData"]), // an agent that is offered is large, and known by its hash
  childKind("serviceaccounts", "v1", "ServiceAccount"),
  childKind("poddisruptionbudgets", "policy/v1", "PodDisruptionBudget"),
  childKind("networkpolicies", "networking.k8s.io/v1", "NetworkPolicy"),
  childKind("roles", "rbac.authorization.k8s.io/v1", "Role"),
  childKind("rolebindings", "rbac.authorization.k8s.io/v1", "RoleBinding"),
  childKind("endpointslices", "discovery.k8s.io/v1", "EndpointSlice", ["endpoints", "ports"]), // theirs to write, not ours to read
];

function without(object: Stored<KubeObject>, fields: readonly string[]): Stored<KubeObject> {
  const kept = Object.entries(object).filter(([field]) => !fields.includes(field));
  return Object.fromEntries(kept) as unknown as Stored<KubeObject>; // metadata, apiVersion and kind are never dropped
}

/** Set by people who know that the node is off. */
export const TAINT_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";
const LABEL_REGION = "topology.kubernetes.io/region";

interface WithConditions extends KubeObject {
  readonly status?: { readonly conditions?: readonly WireCondition[] };
}

interface WireCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

/** Of conditions what they say, without the times at which they were looked at. */
function conditionsOf({ status }: Stored<WithConditions>): readonly WireCondition[] {
  return (status?.conditions ?? []).map(({ type, status: value, reason = "", message = "" }) => {
    return { type, status: value, reason, message };
  });
}

/** A Deployment's counts matter, and what its conditions say; when that was looked at changes too often. */
function withConditionsOnly(object: Stored<WithConditions>): Stored<KubeObject> {
  return { ...object, status: { ...object.status, conditions: conditionsOf(object) } } as Stored<KubeObject>;
}

/** An autoscaler writes what it measured every 15 s; only whether it can is of interest here. */
function conditionsAlone(object: Stored<WithConditions>): Stored<KubeObject> {
  return { ...object, status: { conditions: conditionsOf(object) } } as Stored<KubeObject>;
}

interface WireWriter {
  readonly manager?: string;
  readonly time?: string;
  readonly subresource?: string;
}

function projectRequest(object: Stored<KubeObject>): Stored<ProjectedRequest> {
  const writers = (object.metadata.managedFields ?? []) as readonly WireWriter[];
  const changes = writers.flatMap(({ manager, time, subresource }) =>
    time === undefined || subresource === "status" ? [] : { changedMs: Date.parse(time), changedBy: manager },
  );
  const [last] = changes.toSorted((a, b) => b.changedMs - a.changedMs);
  const kept = withoutBookkeeping(object);
  if (last === undefined) return kept;
  const { changedMs, changedBy } = last;
  return { ...kept, changedMs, ...(changedBy === undefined ? {} : { changedBy }) };
}

interface WireNode extends KubeObject {
  readonly spec?: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string }[] };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime?: string;
    }[];
  };
}

function projectNode(object: Stored<KubeObject>): Stored<ProjectedNode> {
  const node = object as Stored<WireNode>;
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  const { apiVersion, kind } = node;
  const view = {
    ready: ready?.status === "True",
    ...(ready?.lastTransitionTime === undefined ? {} : { readySinceMs: Date.parse(ready.lastTransitionTime) }),
    unschedulable: node.spec?.unschedulable ?? false,
    ...(node.spec?.taints?.some(({ key }) => key === TAINT_OUT_OF_SERVICE) === true ? { outOfService: true } : {}),
  };
  const labels: Readonly<Record<string, string>> = object.metadata.labels ?? {};
  return { apiVersion, kind, metadata: identityOf(node), view, region: labels[LABEL_REGION] ?? "" };
}

interface WireContainerStatus {
  readonly restartCount?: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: WireTermination;
  };
  readonly lastState?: { readonly terminated?: WireTermination };
}

interface WireTermination {
  readonly reason?: string;
  readonly exitCode?: number;
  readonly finishedAt?: string;
}

interface WirePod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly podIP?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
      readonly lastTransitionTime?: string;
    }[];
    readonly initContainerStatuses?: readonly WireContainerStatus[];
    readonly containerStatuses?: readonly WireContainerStatus[];
  };
}

function projectPod(object: Stored<KubeObject>): Stored<ProjectedPod> {
  const pod = object as Stored<WirePod>;
  const { apiVersion, kind, metadata, spec, status } = pod;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, annotations, creationTimestamp } = metadata;
  const ready = status?.conditions?.find((condition) => condition.type === "Ready");
  return {
    apiVersion,
    kind,
    metadata: { ...identityOf(pod), ...(metadata.labels === undefined ? {} : { labels: metadata.labels }) },
    view: {
      name: metadata.name,
      ready: ready?.status === "True",
      readySinceMs: ready?.lastTransitionTime === undefined ? undefined : Date.parse(ready.lastTransitionTime),
      // deletionTimestamp is when the grace period ends
      deletingSinceMs:
        deletionTimestamp === undefined ? undefined : Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000,
      node: spec?.nodeName,
      templateHash: annotations?.[ANNOTATION_TEMPLATE_HASH],
      createdMs: creationTimestamp === undefined ? 0 : Date.parse(creationTimestamp),
      report: parseReport(annotations?.[ANNOTATION_MEMBER_STATUS]),
      trouble: troubleOf(pod),
    },
    setUid: controllerOf(pod)?.uid,
    measuring: {
      address: status?.podIP,
      restarts: (status?.containerStatuses ?? []).reduce((sum, one) => sum + (one.restartCount ?? 0), 0),
      lastEnd: lastEndOf(pod),
    },
  };
}

/** What ended a container now is what ended it last once it runs again: by its time they are the same. */
function lastEndOf({ status }: WirePod): ProjectedPod["measuring"]["lastEnd"] {
  if (status?.phase === "Failed" && status.reason === "Evicted") return { reason: "Evicted", at: "" };
  const ended = (status?.containerStatuses ?? []).flatMap(
    (one) => one.state?.terminated ?? one.lastState?.terminated ?? [],
  );
  const killed = ended.find(({ reason }) => reason === "OOMKilled");
  return killed === undefined ? undefined : { reason: "OOMKilled", at: killed.finishedAt ?? "" };
}

function identityOf(object: Stored<KubeObject>): Stored<KubeObject>["metadata"] {
  const { name, namespace, uid, resourceVersion, deletionTimestamp }: Stored<KubeObject>["metadata"] & ObjectMeta =
    object.metadata;
  return {
    name,
    uid,
    resourceVersion,
    ...(namespace === undefined ? {} : { namespace }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
}

/** What a member's agent says of itself. @returns undefined when it says nothing, or nothing that this version understands. */
export function parseReport(text: string | undefined): MemberReport | undefined {
  if (text === undefined) return undefined;
  try {
    const parsed = MemberReport.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined; // not JSON: written by hand; the agent's next report replaces it
  }
}

const HARMLESS = ["PodInitializing", "ContainerCreating"];

function troubleOf({ status }: WirePod): string | undefined {
  const unscheduled = status?.conditions?.find((c) => c.type === "PodScheduled" && c.status === "False");
  if (unscheduled !== undefined) return sentence(unscheduled);
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const waiting = containers.flatMap(({ state }) => state?.waiting ?? []);
  const stuck = waiting.find(({ reason }) => reason !== undefined && !HARMLESS.includes(reason));
  if (stuck !== undefined) return sentence(stuck);
  return status?.phase === "Failed" ? "the pod failed" : undefined;
}

function sentence(said: { readonly reason?: string; readonly message?: string }): string {
  return [said.reason, said.message].filter((part) => part !== undefined).join(": ");
}
