import { describe, expect, test } from "vitest";
import type { KubeObject, Stored } from "../../../src/kube/object.ts";
import {
  parseReport,
  type ProjectedRequest,
  type ProjectedNode,
  type ProjectedPod,
  WATCHED,
} from "../../../src/observe/kinds.ts";
import { NO_REPORT } from "../plan/views.ts";

function project(kind: string, object: object): Stored<KubeObject> {
  const watched = WATCHED.find((w) => w.selection.kind === kind);
  if (watched === undefined) throw new Error(`${kind} is not watched`);
  const metadata = { name: "a", namespace: "shop", uid: "u", resourceVersion: "1", managedFields: [{}] };
  const { metadata: more = {}, ...rest } = object as { metadata?: object };
  return watched.project({ ...watched.selection, ...rest, metadata: { ...metadata, ...more } });
}

describe("what is watched", () => {
  test("neither Leases nor Secrets", () => {
    expect(WATCHED.map((w) => w.selection.kind)).not.toContain("Lease");
    expect(WATCHED.map((w) => w.selection.kind)).not.toContain("Secret");
  });

  test("each kind once", () => {
    expect(new Set(WATCHED.map((w) => w.selection.kind)).size).toBe(WATCHED.length);
  });
});

describe("a child", () => {
  const LATER = { finalizers: ["kubernetes.io/pvc-protection"] };

  test("is kept as far as a manifest may name it", () => {
    const annotations = { "example.com/owner": "shop", "quorate.io/applied-hash": "h" };
    const service = project("Service", {
      metadata: { ...LATER, annotations, labels: { app: "orders" } },
      spec: { ports: [] },
      status: { loadBalancer: {} },
    });
    const identity = { name: "a", namespace: "shop", uid: "u", resourceVersion: "1" };
    expect(service.metadata).toEqual({ ...identity, annotations, labels: { app: "orders" } });
    expect(service).toMatchObject({ spec: { ports: [] } });
    expect(service).not.toHaveProperty("status");
  });

  test("that is a Deployment keeps the generation that its counts are compared with", () => {
    const deployment = project("Deployment", { metadata: { generation: 4 }, status: { observedGeneration: 3 } });
    expect(deployment).toMatchObject({ metadata: { generation: 4 }, status: { observedGeneration: 3 } });
  });

  test("that is a volume keeps its state and its age, and not what its binder wrote", () => {
    const binder = { "pv.kubernetes.io/bind-completed": "yes" };
    const creationTimestamp = "2030-01-01T00:00:00Z";
    const claim = project("PersistentVolumeClaim", {
      metadata: { ...LATER, annotations: { ...binder, "quorate.io/cluster-uid": "o" }, creationTimestamp },
      status: { phase: "Bound" },
    });
    expect(claim).toMatchObject({ metadata: { creationTimestamp }, status: { phase: "Bound" } });
    expect((claim.metadata as KubeObject["metadata"]).annotations).toEqual({ "quorate.io/cluster-uid": "o" });
  });

  test("that a controller made with our labels is not watched", () => {
    const selectorOf = (kind: string) => WATCHED.find((w) => w.selection.kind === kind)?.selection.labelSelector;
    expect(selectorOf("EndpointSlice")).toContain("endpointslice.kubernetes.io/managed-by=quorate.io");
    expect(selectorOf("ControllerRevision")).toContain("quorate.io/revision");
  });
});

describe("a pod", () => {
  const report = JSON.stringify({ ...NO_REPORT, role: "leader", epoch: 3, state: "Running" });

  test("is reduced to what is planned with", () => {
    const pod = project("Pod", {
      metadata: {
        labels: { "quorate.io/member": "orders-0" },
        annotations: { "quorate.io/member-status": report, "quorate.io/template-hash": "h" },
        deletionTimestamp: "2030-01-01T00:01:00Z",
        deletionGracePeriodSeconds: 60,
      },
      spec: { nodeName: "n", containers: [{ image: "large" }] },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    }) as Stored<ProjectedPod>;
    expect(pod.view).toMatchObject({ ready: true, node: "n", templateHash: "h", report: { role: "leader", epoch: 3 } });
    expect(pod.view.deletingSinceMs).toBe(Date.parse("2030-01-01T00:00:00Z"));
    expect(JSON.stringify(pod)).not.toContain("large");
  });

  test.each([
    [
      "an image that cannot be pulled",
      { containerStatuses: [{ state: { waiting: { reason: "ErrImagePull" } } }] },
      "ErrImagePull",
    ],
    ["being created", { containerStatuses: [{ state: { waiting: { reason: "ContainerCreating" } } }] }, undefined],
    [
      "no place",
      { conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "no node" }] },
      "Unschedulable: no node",
    ],
    ["an evicted one", { phase: "Failed" }, "the pod failed"],
  ])("in trouble: %s", (_why, status, want) => {
    expect((project("Pod", { status }) as Stored<ProjectedPod>).view.trouble).toBe(want);
  });
});

describe("a report", () => {
  test.each([
    ["that is missing", undefined],
    ["that is no JSON", "{"],
    ["of another form", '{"role":"king"}'],
  ])("%s is none", (_why, text) => {
    expect(parseReport(text)).toBeUndefined();
  });
});

test("a node is reduced to two facts", () => {
  const node = project("Node", {
    spec: { unschedulable: true },
    status: { conditions: [{ type: "Ready", status: "Unknown" }], images: [{ names: ["large"] }] },
  }) as Stored<ProjectedNode>;
  expect(node.view).toEqual({ ready: false, unschedulable: true });
  expect(JSON.stringify(node)).not.toContain("large");
});

describe("a ClusterSpec", () => {
  const at = (second: number, more: object = {}) => ({ time: `2030-01-01T00:00:0${second}Z`, ...more });
  const changedMs = (managedFields: readonly object[]) =>
    (project("ClusterSpec", { metadata: { managedFields } }) as Stored<ProjectedRequest>).changedMs;

  test("keeps when somebody changed it last; whoever writes its status changes nothing", () => {
    const writers = [at(1), at(3, { subresource: "scale" }), at(2), at(4, { subresource: "status" })];
    expect(changedMs(writers)).toBe(Date.parse("2030-01-01T00:00:03Z"));
    expect(project("ClusterSpec", { metadata: { managedFields: writers } }).metadata).not.toHaveProperty(
      "managedFields",
    );
  });

  test("keeps who that was", () => {
    const managedFields = [
      at(2, { manager: "helm" }),
      at(1, { manager: "kubectl-edit" }),
      at(3, { manager: "us", subresource: "status" }),
    ];
    for (const kind of ["ClusterSpec", "ClusterOperation", "Engine"]) {
      expect(project(kind, { metadata: { managedFields } })).toMatchObject({ changedBy: "helm" });
    }
  });

  test("has no such time where nobody tells", () => {
    expect(changedMs([{ manager: "old" }])).toBeUndefined();
  });
});
