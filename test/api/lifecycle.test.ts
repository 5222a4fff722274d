// Stop and start, restarts, pending changes and what is held back, against a real API server.
import { execFile } from "node:child_process";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { unpackBundle } from "../../src/agent-bundle.ts";
import { API_VERSION, nameOf } from "../../src/api/names.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { binary } from "./harness.ts";
import {
  admin,
  atRest,
  clusterRef,
  createCluster,
  eventually,
  intentOf,
  NAMESPACE,
  plane,
  read,
  ref,
  registry,
  runMember,
  runningCluster,
  startOperator,
  statusOf,
  withoutOperator,
  writes,
} from "./operator-world.ts";

/** Runs a command as a person would who pasted it into a shell. */
async function paste(command: string): Promise<void> {
  const PATH = `${dirname(binary("kubectl"))}:${process.env["PATH"] ?? ""}`;
  const kubectl = `kubectl() { '${binary("kubectl")}' --kubeconfig '${plane.kubeconfig}' "$@"; }`;
  await promisify(execFile)("bash", ["-euo", "pipefail", "-c", `${kubectl}\n${command}`], { env: { PATH } });
}

/** What the StatefulSet controller does to a member at no replica. */
async function endMember(member: string): Promise<void> {
  await admin.delete(ref("v1", "Pod", nameOf.pod(member)), { gracePeriodSeconds: 0 });
}

async function replicasOf(cluster: string): Promise<unknown[]> {
  const sets = await Promise.all([0, 1, 2].map((at) => read("apps/v1", "StatefulSet", nameOf.member(cluster, at))));
  return sets.map(({ spec }) => spec?.["replicas"]);
}

async function blockOf(cluster: string, guard: string): Promise<{ override: string; since: string }> {
  return eventually(async () => {
    const block = (await statusOf(cluster)).blocked?.find((one) => one.guard === guard);
    if (block?.override === undefined) throw new Error(`${guard} holds nothing back`);
    return { override: block.override, since: block.since };
  });
}

async function set(cluster: string, spec: object): Promise<void> {
  await admin.mergePatch(clusterRef(cluster), { spec });
}

describe("a stopped cluster", () => {
  test("ends its followers before its leader, keeps everything, and starts with the one that led last", async () => {
    await runningCluster("rest");
    const lease = ref("coordination.k8s.io/v1", "Lease", "rest");
    await admin.mergePatch(lease, { metadata: { annotations: { "quorate.io/leader": "rest-0" } } });
    await set("rest", { stopped: true });
    await eventually(async () => expect(await replicasOf("rest")).toEqual([1, 0, 0]));
    await endMember("rest-1");
    await atRest();
    expect(await replicasOf("rest")).toEqual([1, 0, 0]);
    await endMember("rest-2");
    await eventually(async () => expect(await replicasOf("rest")).toEqual([0, 0, 0]));
    await endMember("rest-0");
    await eventually(async () => {
      const { conditions = [] } = await statusOf("rest");
      expect(conditions.find((c) => c.type === "Ready")).toMatchObject({ status: "False", reason: "Stopped" });
    });
    for (const at of [0, 1, 2]) await read("v1", "PersistentVolumeClaim", `rest-${at}-data`);
    await read("coordination.k8s.io/v1", "Lease", "rest");
    expect((await intentOf("rest")).members).toHaveLength(3);
    await withoutOperator(); // and nothing of this is remembered by the process
    await startOperator();
    await set("rest", { stopped: false });
    await eventually(async () => expect(await replicasOf("rest")).toEqual([1, 0, 0]));
    await runMember("rest-0", { role: "none", state: "Electing" });
    await eventually(async () => expect(await replicasOf("rest")).toEqual([1, 1, 1]));
  });
});

describe("what is held back", () => {
  test("is told by condition, event and metric, and is gone from all of them afterwards", async () => {
    await runningCluster("told");
    await set("told", { paused: true });
    const { override, since } = await blockOf("told", "NotPaused");
    const blocked = async () => (await statusOf("told")).conditions?.find((c) => c.type === "Blocked");
    expect(await blocked()).toMatchObject({ status: "True", reason: "NotPaused" });
    const series = 'quorate_blocked_seconds{namespace="default",cluster="told",guard="NotPaused"}';
    await eventually(async () => expect(await registry.metrics()).toContain(series));
    await withoutOperator();
    await startOperator();
    await eventually(async () => expect(await registry.metrics()).toContain(series));
    expect((await blockOf("told", "NotPaused")).since).toBe(since); // a new operator knows since when
    await paste(override);
    await eventually(async () => {
      expect(await blocked()).toBeUndefined();
      expect(await registry.metrics()).not.toContain(series);
      const events = await plane.kubectl("get", "events.events.k8s.io", "-o", "jsonpath={.items[*]['reason','note']}");
      expect(events).toContain("NotPaused (told) holds nothing back any more.");
      expect(events).toContain("To let it pass: kubectl patch -n default clusterspec/told");
    });
  });

  test("leaves no metric of a cluster that is deleted", async () => {
    await runningCluster("short");
    await set("short", { paused: true });
    await eventually(async () => expect(await registry.metrics()).toContain('cluster="short"'));
    await admin.delete(clusterRef("short"));
    await eventually(async () => expect(await registry.metrics()).not.toContain('cluster="short"'));
  });

  test("shows its guard in kubectl get", async () => {
    await runningCluster("wide");
    await set("wide", { paused: true });
    await blockOf("wide", "NotPaused");
    const table = await plane.kubectl("get", "qcs", "wide");
    expect(table).toMatch(/BLOCKED/);
    expect(table).toMatch(/NotPaused/);
  });
});

describe("the command that a block prints can be pasted:", () => {
  test.each([
    ["VersionKnown", { engine: { name: "postgres", version: "9" } }],
    ["ParametersAllowed", { parameters: { port: "1" } }],
  ])("%s", async (guard, spec) => {
    const name = guard.toLowerCase();
    await admin.create(minimalCluster(spec, name));
    await paste((await blockOf(name, guard)).override);
    await eventually(async () => expect((await statusOf(name)).blocked ?? []).toEqual([]));
  });

  test("a lost volume's orders a Rebuild", async () => {
    await runningCluster("lostone");
    const claim = ref("v1", "PersistentVolumeClaim", "lostone-2-data");
    await admin.mergePatch(claim, { status: { phase: "Lost" } }, { subresource: "status" });
    await paste((await blockOf("lostone", "VolumeUsable")).override);
    await eventually(async () => {
      const operations = await plane.kubectl("get", "qco", "-o", "jsonpath={.items[*].spec}");
      expect(operations).toContain('"clusterName":"lostone"');
      expect(operations).toContain('"type":"Rebuild"');
    });
  });
});

describe("another operator version", () => {
  test("restarts none of 20 clusters, and says what waits for whom", async () => {
    const names = Array.from({ length: 20 }, (_, at) => `many-${at}`);
    for (let at = 0; at < names.length; at += 5) {
      const few = names.slice(at, at + 5); // the operator has each in time, also when other tests run beside it
      await Promise.all(few.map((name) => createCluster(name, { members: 1 })));
      await Promise.all(few.map((name) => runMember(nameOf.member(name, 0), { role: "leader" })));
    }
    for (const name of names) await eventually(async () => expect((await statusOf(name)).readyRatio).toBe("1/1"));
    await atRest();
    const uids = async () => {
      const pods = await Promise.all(names.map((name) => read("v1", "Pod", nameOf.pod(nameOf.member(name, 0)))));
      return pods.map(({ metadata }) => metadata.uid);
    };
    const before = await uids();
    await withoutOperator();
    await startOperator("quorate/agent:next");
    for (const name of names) await blockOf(name, "TemplateAccepted");
    await atRest();
    expect(await uids()).toEqual(before);
    expect(writes().filter((write) => / (pods|statefulsets|controllerrevisions) /.test(write))).toEqual([]);
    const { spec } = await read("apps/v1", "StatefulSet", "many-7-0");
    expect(JSON.stringify(spec)).toContain("quorate/agent:test");
    await paste((await blockOf("many-7", "TemplateAccepted")).override);
    await eventually(async () => expect(await admin.get(ref("v1", "Pod", "many-7-0-0"))).toBeUndefined());
    expect((await read("v1", "Pod", "many-8-0-0")).metadata.uid).toBe(before[8]);
  });
});

describe("a Restart operation", () => {
  test("goes on after the operator was replaced, and asks each member once", async () => {
    await runningCluster("again");
    const operation = await admin.create({
      apiVersion: API_VERSION,
      kind: "ClusterOperation",
      metadata: { name: "again-restart", namespace: NAMESPACE },
      spec: { clusterName: "again", type: "Restart", role: "Followers" },
    } as KubeObject);
    const asked = async (member: string) => {
      const id = `${operation.metadata.uid}/${member}`;
      await eventually(async () => expect((await intentOf("again")).restart).toEqual({ id, member }));
      await withoutOperator();
      await startOperator();
      await runMember(member, { restart: { id, result: "Done", message: "the engine was restarted" } });
    };
    await asked("again-2");
    await asked("again-1");
    await eventually(async () => {
      expect((await read(API_VERSION, "ClusterOperation", "again-restart")).status).toMatchObject({
        phase: "Done",
        members: ["again-1", "again-2"],
      });
    });
    await eventually(async () => expect((await intentOf("again")).restart).toBeNull());
  });
});

test("an operator offers its agent to one member after the other, and holds nothing of it when all have it", async () => {
  const files = new Map(["agent.mjs", "otlp.mjs"].map((name) => [name, Buffer.from(`the next ${name}`)]));
  const offered = { hash: "b".repeat(64), files };
  const agent = { hash: "a".repeat(64), nodeMajor: 24 };
  await runningCluster("young", { update: { agents: "InPlace" } });
  for (const at of [0, 1, 2]) await runMember(`young-${at}`, { agent, ...(at === 0 ? { role: "leader" } : {}) });
  await withoutOperator();
  const offer = { hash: offered.hash, version: "0.2.0", nodeMajor: 24 };
  const settings = { agentImage: "quorate/agent:test", agent: offer };
  await startOperator("quorate/agent:test", { settings, agentBundle: offered });
  for (const at of [2, 1, 0]) {
    await eventually(async () => expect((await intentOf("young")).agent?.member).toBe(`young-${at}`));
    const { binaryData = {} } = await read("v1", "ConfigMap", nameOf.agentOffer("young"));
    expect((await unpackBundle(binaryData)).files).toEqual(files);
    await runMember(`young-${at}`, {
      ...{ agent: { ...agent, hash: offered.hash }, agentVersion: "0.2.0" },
      ...(at === 0 ? { role: "leader" } : {}),
    });
  }
  await eventually(async () => {
    expect((await read("v1", "ConfigMap", nameOf.agentOffer("young"))).binaryData).toBeUndefined();
    expect((await intentOf("young")).agent).toBeUndefined();
  });
  await atRest();
});

test("a Lease that somebody deletes while a member leads is made again at once, and once", async () => {
  await runningCluster("deleted-lease");
  const lease = ref("coordination.k8s.io/v1", "Lease", nameOf.lease("deleted-lease"));
  const former = await read("coordination.k8s.io/v1", "Lease", lease.name);
  await new Promise((resolve) => setTimeout(resolve, 1100)); // what was read or written this second is not read again
  await admin.delete(lease);
  // As members say it that watch the Lease; they are slow to see the next one.
  await runMember("deleted-lease-0", { role: "leader", leaseGone: true });
  await runMember("deleted-lease-1", { leaseGone: true });
  const next = await eventually(() => read("coordination.k8s.io/v1", "Lease", lease.name));
  expect(next.metadata.uid).not.toBe(former.metadata.uid);
  await runMember("deleted-lease-2", { leaseGone: true });
  await atRest();
  expect((await read("coordination.k8s.io/v1", "Lease", lease.name)).metadata.uid).toBe(next.metadata.uid);
});

test("a PriorityClass that is not there is named with its field, and the cluster goes on once it is", async () => {
  await createCluster("unranked", { pods: { priorityClassName: "not-yet" } });
  const { override } = await blockOf("unranked", "PriorityClassKnown");
  expect(override).toContain("priorityClassName");
  const { conditions = [] } = await statusOf("unranked");
  expect(JSON.stringify(conditions)).toContain("spec.pods.priorityClassName");
  const made: KubeObject & { readonly value: number } = {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "not-yet" },
    value: 1000,
  };
  await admin.create(made);
  await eventually(async () =>
    expect((await statusOf("unranked")).blocked?.map(({ guard }) => guard) ?? []).not.toContain("PriorityClassKnown"),
  );
});
