// Members without kubelet, container or engine: what a pod and its agent show to the operator, written by hand.
import type { MemberReport } from "../../src/api/agent-wire.ts";
import { ANNOTATION_MEMBER_STATUS, nameOf } from "../../src/api/names.ts";
import type { KubeApi } from "../../src/kube/api.ts";
import type { KubeObject, ObjectRef, Stored } from "../../src/kube/object.ts";

/** What the agent of a follower says while all is well. */
export const RUNNING: MemberReport = {
  role: "follower",
  epoch: 1,
  state: "Running",
  reason: null,
  history: "1",
  lagBucket: "0",
  syncNames: [],
  ackCount: 0,
  agentVersion: "0.1.0",
  engineVersion: "15",
  leaderSince: null,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
};

interface WithTemplate extends KubeObject {
  readonly spec: { readonly template: { readonly metadata: KubeObject["metadata"]; readonly spec: object } };
}

/** A member, and the node that its pod is on; no node by default. */
export interface Place {
  readonly namespace: string;
  readonly member: string;
  readonly node?: string;
}

/** Does what the StatefulSet controller and the kubelet would: a ready pod from the template, and the agent's report. */
export async function runMember(
  api: Pick<KubeApi, "get" | "create" | "mergePatch">,
  { namespace, member, node }: Place,
  report: Partial<MemberReport>,
): Promise<void> {
  const pod: ObjectRef & { readonly namespace: string } = {
    apiVersion: "v1",
    kind: "Pod",
    namespace,
    name: nameOf.pod(member),
  };
  const said = { [ANNOTATION_MEMBER_STATUS]: JSON.stringify({ ...RUNNING, ...report }) };
  if ((await api.get(pod)) !== undefined) {
    await api.mergePatch(pod, { metadata: { annotations: said } });
    return;
  }
  const { metadata, spec } = (await templateOf(api, namespace, member)).spec.template;
  const { apiVersion, kind, name } = pod;
  const annotations = { ...metadata.annotations, ...said };
  const made = {
    apiVersion,
    kind,
    metadata: { name, namespace, labels: metadata.labels ?? {}, annotations },
    spec: { ...spec, ...(node === undefined ? {} : { nodeName: node }) },
  };
  await api.create<KubeObject>(made);
  const conditions = [{ type: "Ready", status: "True" }];
  await api.mergePatch(pod, { status: { phase: "Running", conditions } }, { subresource: "status" });
}

async function templateOf(api: Pick<KubeApi, "get">, namespace: string, member: string): Promise<Stored<WithTemplate>> {
  const set = await api.get<WithTemplate>({ apiVersion: "apps/v1", kind: "StatefulSet", namespace, name: member });
  if (set === undefined) throw new Error(`StatefulSet ${member} is not there`);
  return set;
}
