/** A real control plane with fake nodes: etcd, API server, controller manager, scheduler and KWOK, all on loopback. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { KubeApi } from "../../src/kube/api.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import type { AuditRule } from "../../test/api/audit.ts";
import { type ControlPlane, startControlPlane } from "../../test/api/harness.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The account of every operator that is measured, and of what it may do: that of deploy/rbac. */
export const OPERATOR = { namespace: "quorate-system", name: "quorate-operator" } as const;
export const OPERATOR_USER = `system:serviceaccount:${OPERATOR.namespace}:${OPERATOR.name}`;

/** All that the operator asks, and the changes of specs whose consequences are timed. */
const AUDITED: readonly AuditRule[] = [
  { level: "Metadata", users: [OPERATOR_USER] },
  { level: "Metadata", users: ["admin"], verbs: ["patch"], resources: [{ group: "quorate.io" }] },
];
const PODS_PER_NODE = 150;
/** Clients that would slow themselves down would be measured instead of the operator. */
const FAST = ["--kube-api-qps=2000", "--kube-api-burst=4000"];

/** Starts it, with CRDs, rights, Engine, storage class and enough nodes for `pods`. */
export async function startWorld(pods: number): Promise<ControlPlane> {
  const plane = await startControlPlane({ audit: AUDITED });
  try {
    await plane.kubectl("create", "namespace", OPERATOR.namespace);
    for (const part of ["crds", "rbac", "flowschema", "admission"]) {
      await plane.kubectl("apply", "--server-side", "-k", join(ROOT, "deploy", part));
    }
    await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s");
    await plane.apply(await readFile(join(ROOT, "engines/postgres.yaml"), "utf8"));
    startPrograms(plane);
    const admin = await plane.client();
    await admin.create(storageClass());
    const nodes = Math.max(3, Math.ceil(pods / PODS_PER_NODE));
    for (let at = 0; at < nodes; at += 1) await createNode(admin, `node-${at}`);
    admin.close();
    return plane;
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

function startPrograms(plane: ControlPlane): void {
  const kubeconfig = `--kubeconfig=${plane.kubeconfig}`;
  plane.startProgram("kube-controller-manager", [
    kubeconfig,
    ...FAST,
    "--leader-elect=false",
    "--secure-port=0",
    "--concurrent-statefulset-syncs=20",
    "--concurrent-gc-syncs=20",
    `--service-account-private-key-file=${join(plane.folder, "pki/sa.key")}`,
  ]);
  plane.startProgram("kube-scheduler", [kubeconfig, ...FAST, "--leader-elect=false", "--secure-port=0"]);
  const stages = `--config=${join(import.meta.dirname, "stages.yaml")}`;
  const lease = "--node-lease-duration-seconds=40";
  plane.startProgram("kwok", [kubeconfig, stages, "--manage-all-nodes=true", "--cidr=10.128.0.1/14", lease]);
}

function storageClass(): KubeObject {
  const metadata = { name: "fake", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } };
  const fields = { provisioner: "quorate.io/fake", volumeBindingMode: "Immediate" };
  return { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata, ...fields };
}

async function createNode(admin: KubeApi, name: string): Promise<void> {
  const labels = { "kubernetes.io/hostname": name };
  await admin.create({ apiVersion: "v1", kind: "Node", metadata: { name, labels } });
  const amounts = { cpu: "10000", memory: "100Ti", pods: String(4 * PODS_PER_NODE) };
  const patch = { status: { capacity: amounts, allocatable: amounts } };
  await admin.mergePatch({ apiVersion: "v1", kind: "Node", name }, patch, { subresource: "status" });
}
