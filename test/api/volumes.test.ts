// Volumes that grow, and volumes that went with their node, against a real API server. There is no storage driver here: the test
// speaks for it.
import { describe, expect, test } from "vitest";
import type { KubeObject, ObjectRef } from "../../src/kube/object.ts";
import {
  admin,
  type Any,
  atRest,
  clusterRef,
  eventually,
  plane,
  read,
  ref,
  runMember,
  runningCluster,
  statusOf,
} from "./operator-world.ts";

const claimRef = (member: string): ObjectRef => ref("v1", "PersistentVolumeClaim", `${member}-data`);

/** What a driver reports of a claim. */
async function reports(member: string, status: object): Promise<void> {
  await admin.mergePatch(claimRef(member), { status }, { subresource: "status" });
}

async function asked(cluster: string): Promise<unknown[]> {
  const claims = await Promise.all([0, 1, 2].map((at) => read("v1", "PersistentVolumeClaim", `${cluster}-${at}-data`)));
  return claims.map(({ spec = {} }) => (spec["resources"] as { requests: { storage: string } }).requests.storage);
}

async function guards(cluster: string): Promise<string[]> {
  return ((await statusOf(cluster)).blocked ?? []).map(({ guard }) => guard);
}

describe("storage.data.size", () => {
  test("grows claims one after the other once their class allows it, and breaks nothing before", async () => {
    await admin.create({
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: "slow" },
      provisioner: "example.com/none",
    } as KubeObject);
    await runningCluster("grow", { storage: { data: { size: "1Gi", className: "slow" } } });
    for (const at of [0, 1, 2]) await reports(`grow-${at}`, { phase: "Bound", capacity: { storage: "1Gi" } });
    await admin.mergePatch(clusterRef("grow"), { spec: { storage: { data: { size: "2Gi" } } } });
    await eventually(async () => expect(await guards("grow")).toEqual(["VolumeExpandable"]));
    expect(await asked("grow")).toEqual(["1Gi", "1Gi", "1Gi"]);
    expect((await statusOf("grow")).conditions?.find((c) => c.type === "Stalled")).toBeUndefined();
    await plane.kubectl("patch", "storageclass", "slow", "--type=merge", "-p", '{"allowVolumeExpansion":true}');
    await admin.mergePatch(clusterRef("grow"), { metadata: { annotations: { look: "again" } } });
    await eventually(async () => expect(await asked("grow")).toEqual(["1Gi", "1Gi", "2Gi"]));
    const waits = { type: "FileSystemResizePending", status: "True", lastTransitionTime: "2030-01-01T00:00:00Z" };
    await reports("grow-2", { conditions: [waits] });
    await eventually(async () => expect(await guards("grow")).toEqual(["VolumeGrown"]));
    await atRest();
    expect(await asked("grow")).toEqual(["1Gi", "1Gi", "2Gi"]);
    await reports("grow-2", { conditions: null, capacity: { storage: "2Gi" } });
    await eventually(async () => expect(await asked("grow")).toEqual(["1Gi", "2Gi", "2Gi"]));
    await reports("grow-1", { capacity: { storage: "2Gi" } });
    await eventually(async () => expect(await asked("grow")).toEqual(["2Gi", "2Gi", "2Gi"]));
  });
});

describe("a follower whose volume is on a node that is no more", () => {
  async function bereft(cluster: string, node: string, spec: object): Promise<string> {
    await runningCluster(cluster, spec);
    const volume = `pv-${cluster}`;
    const hosts = { key: "kubernetes.io/hostname", operator: "In", values: [node] };
    await admin.create({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: volume },
      spec: {
        capacity: { storage: "10Gi" },
        accessModes: ["ReadWriteOnce"],
        local: { path: "/data" },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [hosts] }] } },
      },
    } as KubeObject);
    const member = `${cluster}-2`;
    const { metadata } = await admin.mergePatch<Any>(claimRef(member), { spec: { volumeName: volume } });
    await reports(member, { phase: "Bound", capacity: { storage: "10Gi" } });
    await runMember(member, { role: "none", state: "Starting" });
    const conditions = [
      { type: "Ready", status: "False" },
      { type: "PodScheduled", status: "False", reason: "Unschedulable", message: "volume node affinity conflict" },
    ];
    await admin.mergePatch(ref("v1", "Pod", `${member}-0`), { status: { conditions } }, { subresource: "status" });
    return metadata.uid;
  }

  /** The claim of that incarnation is gone, or waits for its pod, whose end nobody here confirms to the claim's finalizer. */
  async function isGoing(member: string, uid: string): Promise<boolean> {
    const claim = await admin.get<Any>(claimRef(member));
    const meta: KubeObject["metadata"] | undefined = claim?.metadata;
    return claim?.metadata.uid !== uid || meta?.deletionTimestamp !== undefined;
  }

  test("gets a new one with Replace", async () => {
    const uid = await bereft("replace", "gone-1", { disruption: { deadNode: "Replace" } });
    await eventually(async () => expect(await isGoing("replace-2", uid)).toBe(true));
  });

  test("keeps it by default, and people are told", async () => {
    const uid = await bereft("keep", "gone-2", {});
    await eventually(async () => expect(await guards("keep")).toContain("VolumeReachable"));
    await atRest();
    expect(await isGoing("keep-2", uid)).toBe(false);
  });

  test("keeps it with Replace while the node is there, until a person says that it is off", async () => {
    const labels = { "kubernetes.io/hostname": "host-3" }; // the node's name is another one, as with some clouds
    await admin.create({ apiVersion: "v1", kind: "Node", metadata: { name: "node-3", labels } });
    const uid = await bereft("cut", "host-3", { disruption: { deadNode: "Replace" } });
    await atRest();
    expect(await isGoing("cut-2", uid)).toBe(false);
    await plane.kubectl("taint", "nodes", "node-3", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute");
    await admin.mergePatch(clusterRef("cut"), { metadata: { annotations: { look: "again" } } });
    await eventually(async () => expect(await isGoing("cut-2", uid)).toBe(true));
  });
});
