// What the checklists look at, read from the API server by a person's own rights. What may not be read stays unknown.
import type { ClusterSpec } from "../../api/cluster-spec.ts";
import { EngineSpec } from "../../api/engine.ts";
import { API_VERSION, LABEL_CLUSTER } from "../../api/names.ts";
import { apiStatusOf, isForbidden } from "../../kube/api-error.ts";
import type { Selection } from "../../kube/api.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject, ObjectRef } from "../../kube/object.ts";
import type {
  Facts,
  NodeFacts,
  OperatorFacts,
  PodFacts,
  ProbeFacts,
  RoleRule,
  StorageClassFacts,
} from "../../checklist/facts.ts";
import { memberPods } from "./logs.ts";
import type { Session } from "./session.ts";
import { readOperations } from "./why.ts";

const OPERATOR = "quorate-operator";
const OPERATOR_LABELS = "app.kubernetes.io/name=quorate,app.kubernetes.io/component=operator";
const DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class";

/** Reads all facts about a cluster, whether it exists already or not. */
export async function gatherFacts(session: Session, cluster: ClusterSpec): Promise<Facts> {
  const { namespace } = session;
  const { name } = cluster.metadata;
  const [operator, pods, operations, nodes] = await Promise.all([
    readable(() => operatorOf(session)),
    readable(async () => (await memberPods(session, name)).map((pod) => toPod(pod))),
    readable(() => readOperations(session, name)),
    readable(() => list<NodeObject>(session, { apiVersion: "v1", kind: "Node" })),
  ]);
  const operatorNamespace = operator?.namespace;
  const within = (apiVersion: string, kind: string) => ({ apiVersion, kind, namespace });
  const exists = (ref: ObjectRef) => readable(async () => (await session.api.get(ref)) !== undefined);
  const [engine, storageClass, rules, hasBudget, hasFlowSchema, policies, monitors, neighbours] = await Promise.all([
    readable(() => engineOf(session, cluster)),
    readable(() => storageClassOf(session, cluster)),
    readable(() => rulesOf(session, operatorNamespace)),
    exists({ ...within("policy/v1", "PodDisruptionBudget"), name }),
    exists({ apiVersion: "flowcontrol.apiserver.k8s.io/v1", kind: "FlowSchema", name: "quorate-leadership" }),
    Promise.all(
      ["quorate-lease-epoch", "quorate-route-epoch"].map((policy) =>
        exists({ apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingAdmissionPolicy", name: policy }),
      ),
    ),
    readable(() => monitorsOf(session, operatorNamespace)),
    readable(async () => (await list<KubeObject>(session, within(API_VERSION, "ClusterSpec"))).length),
  ]);
  return {
    nowMs: Date.now(),
    cluster,
    engine,
    nodes: nodes?.map(toNode),
    storageClass,
    operator,
    operatorRules: rules,
    pods,
    hasBudget,
    hasFlowSchema,
    hasEpochPolicies: policies.includes(undefined) ? undefined : policies.every((there) => there === true),
    monitors,
    operations,
    neighbours,
  };
}

/** undefined when the person may not read it, or the API server does not serve the kind. */
async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const isNotServed = error instanceof Error && "reason" in error && error.reason === "KindNotServed";
    if (isForbidden(error) || isNotServed || apiStatusOf(error)?.code === 404) return undefined;
    throw error;
  }
}

async function list<T extends KubeObject>({ api }: Session, selection: Selection): Promise<readonly T[]> {
  return (await listAll<T>(api, selection)).items;
}

interface DeploymentObject extends KubeObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: {
      readonly spec?: { readonly containers?: readonly { readonly env?: readonly { readonly name: string }[] }[] };
    };
  };
  readonly status?: { readonly availableReplicas?: number };
}

async function operatorOf(session: Session): Promise<OperatorFacts | null> {
  const selection = { apiVersion: "apps/v1", kind: "Deployment", labelSelector: OPERATOR_LABELS };
  const [found] = await list<DeploymentObject>(session, selection);
  if (found === undefined) return null;
  const { spec, status, metadata } = found;
  const variables = spec?.template?.spec?.containers?.flatMap(({ env = [] }) => env) ?? [];
  return {
    namespace: metadata.namespace ?? "",
    replicas: spec?.replicas ?? 1,
    available: status?.availableReplicas ?? 0,
    sendsTraces: variables.some(({ name }) => name === "QUORATE_TRACES_URL"),
  };
}

async function engineOf({ api }: Session, { spec }: ClusterSpec): Promise<EngineSpec | undefined> {
  const ref = { apiVersion: API_VERSION, kind: "Engine", name: spec.engine.name };
  const found = await api.get<KubeObject & { readonly spec?: unknown }>(ref);
  return found === undefined ? undefined : EngineSpec.parse(found.spec);
}

interface StorageClassObject extends KubeObject {
  readonly reclaimPolicy?: string;
  readonly allowVolumeExpansion?: boolean;
}

async function storageClassOf(session: Session, { spec }: ClusterSpec): Promise<StorageClassFacts | null> {
  const all = await list<StorageClassObject>(session, { apiVersion: "storage.k8s.io/v1", kind: "StorageClass" });
  const { className } = spec.storage.data;
  const isWanted = ({ metadata }: StorageClassObject) =>
    className === undefined ? metadata.annotations?.[DEFAULT_CLASS] === "true" : metadata.name === className;
  const found = all.find(isWanted);
  if (found === undefined) return null;
  const { reclaimPolicy = "Delete", allowVolumeExpansion = false, metadata } = found;
  return { name: metadata.name ?? "", reclaimPolicy, allowsExpansion: allowVolumeExpansion };
}

interface RoleObject extends KubeObject {
  readonly rules?: readonly RoleRule[];
}

/** Rules of the operator's roles, cluster-wide and in its namespace. */
async function rulesOf({ api }: Session, namespace: string | undefined): Promise<readonly RoleRule[]> {
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const wide = await api.get<RoleObject>({ apiVersion, kind: "ClusterRole", name: OPERATOR });
  const narrow =
    namespace === undefined
      ? undefined
      : await api.get<RoleObject>({ apiVersion, kind: "Role", namespace, name: OPERATOR });
  return [...(wide?.rules ?? []), ...(narrow?.rules ?? [])];
}

async function monitorsOf(session: Session, namespace: string | undefined): Promise<number> {
  if (namespace === undefined) return 0;
  const apiVersion = "monitoring.coreos.com/v1";
  const counts = ["PodMonitor", "ServiceMonitor"].map(
    async (kind) => (await list(session, { apiVersion, kind, namespace })).length,
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

interface NodeObject extends KubeObject {
  readonly spec?: { readonly unschedulable?: boolean };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

function toNode({ metadata, spec, status }: NodeObject): NodeFacts {
  return {
    name: metadata.name ?? "",
    zone: metadata.labels?.["topology.kubernetes.io/zone"],
    isReady: status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true,
    isSchedulable: spec?.unschedulable !== true,
  };
}

interface Probe {
  readonly httpGet?: { readonly path?: string };
  readonly periodSeconds?: number;
  readonly failureThreshold?: number;
}

interface Container {
  readonly name: string;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly resources?: {
    readonly requests?: { readonly cpu?: string; readonly memory?: string };
    readonly limits?: { readonly memory?: string };
  };
}

interface PodObject extends KubeObject {
  readonly spec?: { readonly nodeName?: string; readonly containers?: readonly Container[] };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount?: number }[];
  };
}

function toPod({ metadata, spec, status }: PodObject): PodFacts {
  const engine = spec?.containers?.find(({ name }) => name === "engine");
  const { requests, limits } = engine?.resources ?? {};
  return {
    name: metadata.name ?? "",
    node: spec?.nodeName,
    isReady: status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true,
    restarts: (status?.containerStatuses ?? []).reduce((sum, { restartCount = 0 }) => sum + restartCount, 0),
    hasClusterLabel: metadata.labels?.[LABEL_CLUSTER] !== undefined,
    hasRequestsAndLimits: requests?.cpu !== undefined && requests.memory !== undefined && limits?.memory !== undefined,
    readiness: toProbe(engine?.readinessProbe),
    liveness: toProbe(engine?.livenessProbe),
  };
}

function toProbe(probe: Probe | undefined): ProbeFacts | undefined {
  if (probe === undefined) return undefined;
  return { path: probe.httpGet?.path, toleratesSeconds: (probe.periodSeconds ?? 10) * (probe.failureThreshold ?? 3) };
}
