// Topology Stateless against a real API server. There are no controllers: tests keep the Deployments' pods and counts by hand.
import { beforeAll, describe, expect, test } from "vitest";
import { LABEL_CLUSTER, LABEL_TRACK } from "../../src/api/names.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import {
  admin,
  type Any,
  atRest,
  clusterRef,
  eventually,
  NAMESPACE,
  plane,
  read,
  ref,
  registry,
  startOperator,
  statusOf,
  withoutOperator,
  writes,
} from "./operator-world.ts";
import { statelessEngine } from "./stateless-cases.ts";

const CANARY = { strategy: "Canary", canary: { members: 1, bakeSeconds: 0 }, minReadySeconds: 0 };

interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas: number;
    readonly template: { readonly metadata: KubeObject["metadata"]; readonly spec: object };
  };
}

beforeAll(async () => {
  const versions = ["1", "2"].map((version) => ({ version, image: `tiny:${version}` }));
  await admin.create(statelessEngine({ versions }));
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  await admin.create<KubeObject>({ apiVersion: "v1", kind: "Namespace", metadata: { name: "enforced", labels } });
});

async function deploymentOf(name: string): Promise<Stored<Deployment>> {
  const found = await admin.get<Deployment>(ref("apps/v1", "Deployment", name));
  if (found === undefined) throw new Error(`there is no Deployment ${name}`);
  return found;
}

/** What the Deployment controller and the kubelets would come to, at once: pods from the template, all of them ready. */
async function settle(name: string): Promise<void> {
  await endPods(name);
  const { spec, metadata } = await deploymentOf(name);
  for (let at = 0; at < spec.replicas; at += 1) await startPod(name, spec.template, String(at));
  const { replicas } = spec;
  const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
  const { generation = 0 } = metadata as { readonly generation?: number };
  await report(name, { ...counts, observedGeneration: generation, conditions: [] });
}

async function startPod(owner: string, template: Deployment["spec"]["template"], suffix: string): Promise<void> {
  const { labels = {}, annotations = {} } = template.metadata;
  const pod = ref("v1", "Pod", `${owner}-${suffix}`);
  const metadata = {
    name: pod.name,
    namespace: NAMESPACE,
    labels: { ...labels, "test.example/owner": owner },
    annotations,
  };
  await admin.create<KubeObject>({ ...pod, metadata, spec: template.spec } as KubeObject);
  const conditions = [
    { type: "Ready", status: "True", lastTransitionTime: new Date().toISOString().slice(0, 19) + "Z" },
  ];
  await admin.mergePatch<Any>(pod, { status: { phase: "Running", conditions } }, { subresource: "status" });
}

async function endPods(owner: string): Promise<void> {
  const names = await plane.kubectl("get", "pods", "-l", `test.example/owner=${owner}`, "-o", "name");
  for (const name of names.split("\n").filter((line) => line !== "")) {
    await admin.delete(ref("v1", "Pod", name.replace("pod/", "")), { gracePeriodSeconds: 0 });
  }
}

async function report(name: string, status: object): Promise<void> {
  await admin.mergePatch<Any>(ref("apps/v1", "Deployment", name), { status }, { subresource: "status" });
}

async function created(name: string, spec: object = {}): Promise<void> {
  await admin.create(minimalCluster({ engine: { name: "tiny", version: "1" }, topology: "Stateless", ...spec }, name));
  await eventually(() => deploymentOf(name));
  await settle(name);
  await eventually(async () => expect((await statusOf(name)).rollout?.phase).toBe("Complete"));
  await atRest();
}

function imageOf({ spec }: Deployment): unknown {
  const { containers } = spec.template.spec as { readonly containers: readonly { readonly image: string }[] };
  return containers[0]?.image;
}

test("a cluster is created, told of, and written once", async () => {
  await created("front", {
    autoscaling: { maxMembers: 9, metrics: [{ name: "busy", podMetric: "busy", averageValue: "1000" }] },
  });
  expect(await statusOf("front")).toMatchObject({ readyRatio: "3/3", tracks: [{ name: "stable", ready: 3 }] });
  const table = await plane.kubectl("get", "qcs", "front");
  expect(table).toMatch(/front\s+Stateless\s+tiny\s+3\/3/);
  const before = writes().length;
  await admin.mergePatch(clusterRef("front"), { metadata: { labels: { looked: "again" } } });
  await atRest();
  expect(writes().slice(before)).toEqual([]); // what the API server made of the manifests is what they say
  expect((await read("autoscaling/v2", "HorizontalPodAutoscaler", "front")).spec).toMatchObject({
    minReplicas: 3,
    maxReplicas: 9,
  });
  expect((await read("policy/v1", "PodDisruptionBudget", "front")).spec).toMatchObject({ maxUnavailable: "10%" });
  expect((await read("v1", "Service", "front-r")).spec).toMatchObject({ selector: { [LABEL_CLUSTER]: "front" } });
});

test("its pods are let into a namespace that enforces the restricted Pod Security Standard", async () => {
  await created("secure");
  const { template } = (await deploymentOf("secure")).spec;
  const metadata = { name: "secure", namespace: "enforced", labels: template.metadata.labels ?? {} };
  const spec = { ...template.spec, serviceAccountName: "default" };
  await expect(admin.create({ apiVersion: "v1", kind: "Pod", metadata, spec } as KubeObject)).resolves.toBeDefined();
});

test("the autoscaler's number stays when something else changes", async () => {
  await created("busy", { autoscaling: { maxMembers: 9 } });
  await plane.kubectl("scale", "deployment/busy", "--replicas=7");
  await settle("busy");
  await eventually(async () => expect((await statusOf("busy")).readyRatio).toBe("7/7"));
  await admin.mergePatch(clusterRef("busy"), { spec: { engine: { version: "2" } } });
  await eventually(async () => expect(imageOf(await deploymentOf("busy"))).toBe("tiny:2"));
  expect((await deploymentOf("busy")).spec.replicas).toBe(7);
});

test("the autoscaler goes with spec.autoscaling", async () => {
  await created("tamed", { autoscaling: { maxMembers: 9 } });
  const autoscaler = ref("autoscaling/v2", "HorizontalPodAutoscaler", "tamed");
  await eventually(async () => expect(await admin.get(autoscaler)).toBeDefined());
  await admin.mergePatch(clusterRef("tamed"), { spec: { autoscaling: null } });
  await eventually(async () => expect(await admin.get(autoscaler)).toBeUndefined());
});

test("kubectl scale changes the number of a cluster without autoscaling", async () => {
  await created("sized");
  await plane.kubectl("scale", "qcs/sized", "--replicas=5");
  await eventually(async () => expect((await deploymentOf("sized")).spec.replicas).toBe(5));
});

describe("an update with a canary", () => {
  test("goes from the canary to all, and the canary goes", async () => {
    await created("good", { update: CANARY });
    await admin.mergePatch(clusterRef("good"), { spec: { engine: { version: "2" } } });
    await eventually(async () => expect(imageOf(await deploymentOf("good-canary"))).toBe("tiny:2"));
    expect(imageOf(await deploymentOf("good"))).toBe("tiny:1");
    await settle("good-canary");
    await eventually(async () => expect(imageOf(await deploymentOf("good"))).toBe("tiny:2"));
    await settle("good");
    await eventually(async () => {
      expect(await admin.get(ref("apps/v1", "Deployment", "good-canary"))).toBeUndefined();
      expect(await statusOf("good")).toMatchObject({ rollout: { phase: "Complete", updated: ["good"] } });
    });
  });

  test("that fails is rolled back, and told of", async () => {
    await created("bad", { update: CANARY });
    await admin.mergePatch(clusterRef("bad"), { spec: { engine: { version: "2" } } });
    const { spec } = await eventually(() => deploymentOf("bad-canary"));
    await startPod("bad-canary", spec.template, "x");
    const waiting = { reason: "CrashLoopBackOff", message: "back-off 10s" };
    const containerStatuses = [
      { name: "engine", image: "tiny:2", imageID: "", ready: false, restartCount: 3, state: { waiting } },
    ];
    const conditions = [{ type: "Ready", status: "False" }];
    const status = { phase: "Running", conditions, containerStatuses };
    await admin.mergePatch<Any>(ref("v1", "Pod", "bad-canary-x"), { status }, { subresource: "status" });
    await eventually(async () => {
      expect(await admin.get(ref("apps/v1", "Deployment", "bad-canary"))).toBeUndefined();
      const { rollout, blocked } = await statusOf("bad");
      expect(rollout?.phase).toBe("RolledBack");
      expect(rollout?.failed?.[0]?.reason).toContain("bad-canary-x crashes again and again");
      expect(blocked?.map(({ guard }) => guard)).toEqual(["RevisionFailed"]);
    });
    expect(imageOf(await deploymentOf("bad"))).toBe("tiny:1");
    await eventually(async () => {
      const events = await plane.kubectl("get", "events.events.k8s.io", "-o", "jsonpath={.items[*]['reason','note']}");
      expect(events).toContain("RolloutFailed");
      expect(events).toContain("All members are back at revision");
    });
  });
});

test("a stopped cluster keeps its objects and has no members", async () => {
  await created("rest");
  await admin.mergePatch(clusterRef("rest"), { spec: { stopped: true } });
  await eventually(async () => expect((await deploymentOf("rest")).spec.replicas).toBe(0));
  await settle("rest");
  await eventually(async () => {
    const ready = (await statusOf("rest")).conditions?.find(({ type }) => type === "Ready");
    expect(ready).toMatchObject({ status: "False", reason: "Stopped" });
  });
  await admin.mergePatch(clusterRef("rest"), { spec: { stopped: false } });
  await eventually(async () => expect((await deploymentOf("rest")).spec.replicas).toBe(3));
});

describe("with objectives", () => {
  /** Seconds that the present operator counted. */
  async function counted(result: string): Promise<number> {
    const series = `quorate_cluster_serving_slices_total{namespace="${NAMESPACE}",cluster="kept",result="${result}"} `;
    const line = (await registry.metrics()).split("\n").find((one) => one.startsWith(series));
    return Number(line?.slice(series.length) ?? Number.NaN);
  }

  test("whoever leads counts the seconds in which enough members are ready, and tells what is not known", async () => {
    const objective = {
      name: "answered",
      targetPercent: "99",
      badQuery: "increase(failed[$(WINDOW)])",
      totalQuery: "increase(asked[$(WINDOW)])",
    };
    await created("kept", { slo: { objectives: [objective] } });
    await eventually(async () => expect(await counted("good")).toBeGreaterThan(2));
    expect(await counted("bad")).toBe(0);
    const healthy = (await statusOf("kept")).conditions?.find(({ type }) => type === "SLOHealthy");
    expect(healthy).toMatchObject({ status: "Unknown", reason: "NoData" });

    await endPods("kept");
    await eventually(async () => expect(await counted("bad")).toBeGreaterThan(2));

    await withoutOperator();
    await startOperator();
    await eventually(async () => expect(await counted("bad")).toBeGreaterThan(0));
    expect(await counted("good")).toBe(0); // as any counter of a new process
    await settle("kept");
    await eventually(async () => expect(await counted("good")).toBeGreaterThan(0));
  });
});

test("pods carry the track that they belong to", async () => {
  await created("tracked");
  const { labels } = (await deploymentOf("tracked")).spec.template.metadata;
  expect(labels?.[LABEL_TRACK]).toBe("stable");
});
