// What the Deployment controller and the kubelets come to for a cluster of topology Stateless, at once: pods of the newest template, all ready.
import { createHash } from "node:crypto";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { admin, type Any, NAMESPACE, ref } from "./operator-world.ts";
import { PlayedController } from "./played-controller.ts";

const OWNER = "test.example/owner";
const TEMPLATE = "test.example/template";

interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas: number;
    readonly template: { readonly metadata: KubeObject["metadata"]; readonly spec: object };
  };
  readonly status?: { readonly observedGeneration?: number; readonly readyReplicas?: number };
}

/** Runs the pods of the Deployments of one cluster. */
export class FakeFleet extends PlayedController {
  protected async tick(): Promise<void> {
    const [deployments, pods] = await Promise.all([
      this.list<Deployment>("apps/v1", "Deployment"),
      this.list("v1", "Pod"),
    ]);
    const wanted = new Set(deployments.flatMap((one) => namesOf(one)));
    for (const pod of pods) {
      const isOf = deployments.some((one) => pod.metadata.labels?.[TEMPLATE] === templateOf(one));
      if (!wanted.has(pod.metadata.name) || !isOf)
        await admin.delete(ref("v1", "Pod", pod.metadata.name), { gracePeriodSeconds: 0 });
    }
    for (const one of deployments) await keep(one, pods);
  }
}

function namesOf({ metadata, spec }: Stored<Deployment>): readonly string[] {
  return Array.from({ length: spec.replicas }, (_, at) => `${metadata.name}-${at}`);
}

function templateOf({ spec }: Deployment): string {
  return createHash("sha256").update(JSON.stringify(spec.template)).digest("hex").slice(0, 12);
}

async function keep(one: Stored<Deployment>, pods: readonly Stored<KubeObject>[]): Promise<void> {
  const { spec, metadata, status } = one;
  const template = templateOf(one);
  for (const name of namesOf(one)) {
    const isThere = pods.some((pod) => pod.metadata.name === name && pod.metadata.labels?.[TEMPLATE] === template);
    if (!isThere) await startPod(name, one, template);
  }
  const { generation = 0 } = metadata as { readonly generation?: number };
  if (status?.observedGeneration === generation && (status.readyReplicas ?? 0) === spec.replicas) return;
  const { replicas } = spec;
  const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
  const said = { ...counts, observedGeneration: generation, conditions: [] };
  await admin.mergePatch<Any>(ref("apps/v1", "Deployment", metadata.name), { status: said }, { subresource: "status" });
}

async function startPod(
  name: string,
  { metadata: { name: owner }, spec }: Stored<Deployment>,
  template: string,
): Promise<void> {
  const { labels = {}, annotations = {} } = spec.template.metadata;
  const pod = ref("v1", "Pod", name);
  const metadata = {
    name,
    namespace: NAMESPACE,
    labels: { ...labels, [OWNER]: owner, [TEMPLATE]: template },
    annotations,
  };
  await admin.create<KubeObject>({ ...pod, metadata, spec: spec.template.spec } as KubeObject);
  const lastTransitionTime = `${new Date().toISOString().slice(0, 19)}Z`;
  const conditions = [{ type: "Ready", status: "True", lastTransitionTime }];
  await admin.mergePatch<Any>(pod, { status: { phase: "Running", conditions } }, { subresource: "status" });
}
