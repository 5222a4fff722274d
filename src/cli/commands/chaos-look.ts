// Looking at a cluster and what surrounds it, by a person's own rights, as often as an experiment needs it.
import { MemberReport } from "../../api/agent-wire.ts";
import { ClusterOperation } from "../../api/cluster-operation.ts";
import type { ClusterSpec } from "../../api/cluster-spec.ts";
import {
  ANNOTATION_LEADER,
  ANNOTATION_MEMBER_STATUS,
  LABEL_CLUSTER,
  LABEL_MEMBER,
  LABEL_TRACK,
  nameOf,
} from "../../api/names.ts";
import type { ExperimentName } from "../../chaos/experiments.ts";
import type { Look, ObjectivesState, SeenMember } from "../../chaos/looks.ts";
import type { Act, Aim, Surroundings } from "../../chaos/target.ts";
import { isForbidden } from "../../kube/api-error.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject, ObjectRef, Stored } from "../../kube/object.ts";
import { memberOf } from "./logs.ts";
import { readCluster, type Session } from "./session.ts";

const OPERATOR_LABELS = "app.kubernetes.io/name=quorate,app.kubernetes.io/component=operator";

interface Pod extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

interface Slice extends KubeObject {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean } }[] | null;
}

interface LeaseObject extends KubeObject {
  readonly spec?: { readonly holderIdentity?: string; readonly leaseTransitions?: number };
}

/** What a look needs to know of the fault: which experiment it is of, and what was asked. */
export interface Done {
  readonly experiment: ExperimentName;
  readonly acts: readonly Act[];
  readonly operatorNamespace: string;
}

/** The cluster as it is stored, with one look at it. */
export async function lookAt(
  session: Session,
  name: string,
  done?: Done,
): Promise<{ readonly cluster: ClusterSpec; readonly look: Look }> {
  const { api, namespace } = session;
  const selection = { apiVersion: "v1", kind: "Pod", namespace, labelSelector: `${LABEL_CLUSTER}=${name}` };
  const [cluster, { items }, back] = await Promise.all([
    readCluster(session, name),
    listAll<Pod>(api, selection),
    done === undefined ? { restored: true } : restoration(session, name, done),
  ]);
  const isMember = ({ metadata: { labels = {} } }: Pod) =>
    labels[LABEL_MEMBER] !== undefined || labels[LABEL_TRACK] !== undefined;
  const members = items.filter(isMember).map(toMember);
  const look = {
    atMs: performance.now(),
    members,
    ready: isReady(cluster),
    objectives: objectivesOf(cluster),
    ...back,
  };
  return { cluster, look };
}

function toMember(pod: Stored<Pod>): SeenMember {
  const { metadata, status } = pod;
  const text = metadata.annotations?.[ANNOTATION_MEMBER_STATUS];
  const report = text === undefined ? undefined : MemberReport.safeParse(parsed(text)).data;
  return {
    name: memberOf(pod),
    pod: metadata.name,
    uid: metadata.uid,
    ready: status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true,
    leaving: metadata.deletionTimestamp !== undefined,
    role: report?.role,
    epoch: report?.epoch ?? 0,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // whoever may write a pod's annotations may write nonsense
  }
}

function isReady({ status }: ClusterSpec): boolean {
  return status.conditions?.find(({ type }) => type === "Ready")?.status === "True";
}

function objectivesOf({ spec, status }: ClusterSpec): ObjectivesState {
  if (spec.slo === undefined) return "None";
  const said = status.conditions?.find(({ type }) => type === "SLOHealthy")?.status ?? "Unknown";
  return { True: "Kept", False: "Missed", Unknown: "Unknown" }[said] as ObjectivesState;
}

/** Whether what was taken away beside members is there again. */
async function restoration(
  session: Session,
  name: string,
  { experiment, acts, operatorNamespace }: Done,
): Promise<Pick<Look, "restored" | "refusal">> {
  const { api } = session;
  const gone = acts.flatMap((act) => (act.verb === "Delete" ? [act.aim.uid] : []));
  const isNew = (object: Stored<KubeObject> | undefined) => object !== undefined && !gone.includes(object.metadata.uid);
  switch (experiment) {
    case "delete-lease": {
      const lease = await api.get<LeaseObject>(leaseRef(session, name));
      return { restored: isNew(lease) && (lease?.spec?.holderIdentity ?? "") !== "" };
    }
    case "delete-route": {
      const slice = await api.get<Slice>(routeRef(session, name));
      return {
        restored: isNew(slice) && slice?.endpoints?.some(({ conditions }) => conditions?.ready === true) === true,
      };
    }
    case "kill-operator": {
      const pods = await operatorPods(session, operatorNamespace);
      const ready = pods.filter((pod) => toMember(pod).ready && isNew(pod));
      return { restored: ready.length >= gone.length && pods.every(isNew) };
    }
    case "switchover":
      return operationEnd(session, acts);
    default:
      return { restored: true };
  }
}

async function operationEnd({ api }: Session, acts: readonly Act[]): Promise<Pick<Look, "restored" | "refusal">> {
  const [act] = acts;
  if (act?.verb !== "Create") return { restored: true };
  const { apiVersion, kind, metadata } = act.object;
  const found = await api.get<KubeObject>({ apiVersion, kind, ...metadata });
  if (found === undefined) return { restored: false };
  const { phase, message = "" } = ClusterOperation.parse(found).status ?? {};
  if (phase === "Refused" || phase === "Failed") return { restored: false, refusal: `${phase}: ${message}` };
  return { restored: phase === "Done" };
}

/** What experiments may aim at beside members. What may not be read is not there. */
export async function surroundings(session: Session, name: string, operatorNamespace: string): Promise<Surroundings> {
  const { api } = session;
  const one = async (ref: ObjectRef) => aimAt(await readable(() => api.get<KubeObject>(ref)));
  const [lease, route, operator] = await Promise.all([
    one(leaseRef(session, name)),
    one(routeRef(session, name)),
    readable(() => operatorPods(session, operatorNamespace)),
  ]);
  return { lease, route, operator: (operator ?? []).flatMap((pod) => aimAt(pod) ?? []) };
}

/** Whom the members' Lease names as their leader; undefined when it may not be read, or is not there. */
export async function readRegister(
  session: Session,
  name: string,
): Promise<{ readonly leader: string; readonly epoch: number } | undefined> {
  const lease = await readable(() => session.api.get<LeaseObject>(leaseRef(session, name)));
  if (lease === undefined) return undefined;
  const leader = lease.metadata.annotations?.[ANNOTATION_LEADER] ?? "";
  return { leader, epoch: lease.spec?.leaseTransitions ?? 0 };
}

async function operatorPods({ api }: Session, namespace: string): Promise<readonly Stored<Pod>[]> {
  return (await listAll<Pod>(api, { apiVersion: "v1", kind: "Pod", namespace, labelSelector: OPERATOR_LABELS })).items;
}

/** undefined when the person may not read it. */
export async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isForbidden(error)) return undefined;
    throw error;
  }
}

function aimAt(object: Stored<KubeObject> | undefined): Aim | undefined {
  if (object === undefined) return undefined;
  const { apiVersion, kind, metadata } = object;
  return { apiVersion, kind, namespace: metadata.namespace ?? "", name: metadata.name, uid: metadata.uid };
}

function leaseRef({ namespace }: Session, name: string): ObjectRef {
  return { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(name) };
}

function routeRef({ namespace }: Session, name: string): ObjectRef {
  return { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", namespace, name: nameOf.readWrite(name) };
}
