// An operator of an earlier commit, today's in its place, and the earlier one again, over the same clusters of every topology. There are
// no kubelets and no controllers: the test makes the pods and speaks for the agents.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import type { ClusterStatus } from "../../src/api/cluster-status.ts";
import { API_VERSION, LABEL_CLUSTER, LABEL_MEMBER, MANAGED_BY, nameOf } from "../../src/api/names.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { runMember } from "./fake-members.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";
import { type Release, releaseOfCommit, releaseOfToday, RunningOperator } from "./release.ts";
import { OPERATOR_ACCOUNT } from "./rights.ts";

/** The first in which all topologies are. */
const EARLIER = process.env["EARLIER"] ?? "cd415a3";
const earlier = await releaseOfCommit(EARLIER);
const NAMESPACE = "default";
const PATIENCE = { timeout: 90_000, interval: 300 };
const QUIET_MS = 6000;

/** What users have, by the name of each cluster. */
const CLUSTERS: Readonly<Record<string, object>> = {
  passive: { engine: { name: "postgres" }, slo: { dataPlane: { availabilityPercent: "99.9" } } },
  consensus: { engine: { name: "etcd" }, topology: "Consensus" },
  active: { engine: { name: "galera" }, topology: "ActiveActive" },
  sharded: { engine: { name: "redis" }, topology: "Sharded", durability: { mode: "Async" }, sharding: { shards: 2 } },
  front: { engine: { name: "web" }, topology: "Stateless" },
};
const SLOTS: Readonly<Record<string, string>> = { "sharded-s0": "0-8191", "sharded-s1": "8192-16383" };

/** What a cluster's children are of, beside pods. */
const CHILDREN = [
  ["v1", "ConfigMap"],
  ["v1", "Service"],
  ["v1", "ServiceAccount"],
  ["v1", "PersistentVolumeClaim"],
  ["apps/v1", "StatefulSet"],
  ["apps/v1", "Deployment"],
  ["apps/v1", "ControllerRevision"],
  ["policy/v1", "PodDisruptionBudget"],
  ["networking.k8s.io/v1", "NetworkPolicy"],
  ["rbac.authorization.k8s.io/v1", "Role"],
  ["rbac.authorization.k8s.io/v1", "RoleBinding"],
] as const;

interface Any extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: unknown;
  readonly data?: Readonly<Record<string, string>>;
}

describe.skipIf(earlier === undefined)(`an operator of ${EARLIER}, today's, and the earlier one again`, () => {
  let plane: ControlPlane;
  let admin: KubeClient;
  let folder: string;
  let operator: RunningOperator;
  let today: Release;
  let playing: Promise<void>;
  const played = new AbortController();
  const operators: RunningOperator[] = [];

  async function list(apiVersion: string, kind: string): Promise<readonly Stored<Any>[]> {
    const labelSelector = `app.kubernetes.io/managed-by=${MANAGED_BY}`;
    return (await listAll<Any>(admin, { apiVersion, kind, namespace: NAMESPACE, labelSelector })).items;
  }

  /** What nobody may replace in passing: who is who, what pods are made of, and every password. */
  async function lasting(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const [apiVersion, kind] of CHILDREN) {
      for (const { metadata, spec } of await list(apiVersion, kind)) {
        const template = kind === "StatefulSet" || kind === "Deployment" ? JSON.stringify(spec?.["template"]) : "";
        found.set(`${kind} ${metadata.name}`, `${metadata.uid} ${template}`);
      }
    }
    for (const { metadata } of await list("v1", "Pod")) found.set(`Pod ${metadata.name}`, metadata.uid);
    for (const kind of ["Secret", "Lease"]) {
      const apiVersion = kind === "Secret" ? "v1" : "coordination.k8s.io/v1";
      for (const { metadata, data = {} } of (await listAll<Any>(admin, { apiVersion, kind, namespace: NAMESPACE }))
        .items)
        found.set(`${kind} ${metadata.name}`, `${metadata.uid} ${JSON.stringify(data)}`);
    }
    return found;
  }

  /** Versions of everything that an operator writes, by name. */
  async function versions(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const [apiVersion, kind] of [...CHILDREN, [API_VERSION, "ClusterSpec"] as const])
      for (const { metadata } of (await listAll(admin, { apiVersion, kind, namespace: NAMESPACE })).items)
        found.set(`${kind} ${metadata.name}`, metadata.resourceVersion);
    return found;
  }

  async function read(name: string): Promise<ClusterStatus & { readonly generation: number }> {
    const found = await admin.get<Any>({ apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name });
    const { generation = 0 } = (found?.metadata ?? {}) as { readonly generation?: number };
    return { ...(found?.status as ClusterStatus | undefined), generation };
  }

  async function install({ folder: from }: Release): Promise<void> {
    await plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", join(from, "crds"));
    await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
    await plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", join(from, "deploy/rbac"));
    for (const file of ["postgres", "etcd", "galera", "redis"]) await applyFile(join(from, `engines/${file}.yaml`));
    await applyFile(join(from, "examples/web/engine.yaml"));
  }
  async function applyFile(file: string): Promise<void> {
    await plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", file);
  }

  /** Replaces the operator as a Deployment does: the next one is there before the former one ends. */
  async function operate(release: Release): Promise<void> {
    const { namespace, name } = OPERATOR_ACCOUNT;
    const kubeconfig = await plane.accountKubeconfig(namespace, name);
    const logFile = join(folder, `operator-${operators.length}.log`);
    const former = operators.at(-1);
    operator = await RunningOperator.start(release, { kubeconfig, namespace, logFile });
    operators.push(operator);
    if (former !== undefined) expect(await former.stop()).toBe(0);
    await vi.waitFor(async () => expect(await operator.leads()).toBe(true), PATIENCE);
  }

  /** Waits until every cluster is ready, and nothing is written any more. */
  async function untilAtRest(): Promise<void> {
    await vi.waitFor(async () => {
      for (const name of Object.keys(CLUSTERS)) {
        const { conditions = [], generation, observedGeneration } = await read(name);
        const said = conditions.map(({ type, status, message }) => [type, status, message]);
        expect({ name, observedGeneration, said }).toMatchObject({
          observedGeneration: generation,
          said: expect.arrayContaining([["Ready", "True", expect.anything()]]),
        });
      }
    }, PATIENCE);
    await vi.waitFor(async () => {
      const before = await versions();
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      expect(changesOf(before, await versions())).toEqual([]);
    }, PATIENCE);
    expect(operator.isRunning).toBe(true);
  }

  /** Speaks for kubelets, controllers and agents until the test ends: whoever is wanted runs, and the first of each cluster leads. */
  async function play(): Promise<void> {
    const said = new Map<string, string>();
    while (!played.signal.aborted) {
      for (const set of await list("apps/v1", "StatefulSet")) await playMember(set, said);
      for (const deployment of await list("apps/v1", "Deployment")) await playDeployment(deployment, said);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  async function playMember({ metadata }: Stored<Any>, said: Map<string, string>): Promise<void> {
    const member = metadata.labels?.[LABEL_MEMBER] ?? metadata.name;
    const cluster = metadata.labels?.[LABEL_CLUSTER] ?? "";
    const map = await admin.get<Any>({
      apiVersion: "v1",
      kind: "ConfigMap",
      namespace: NAMESPACE,
      name: nameOf.intent(cluster),
    });
    const intent = Intent.safeParse(JSON.parse(map?.data?.[INTENT_KEY] ?? "{}")).data;
    if (intent === undefined) return;
    const names = intent.members.map(({ name }) => name);
    const leads = member === (names[0] ?? "");
    const others = names.filter((name) => name !== member);
    const isGroup = intent.group !== undefined && intent.group !== null;
    const slots = SLOTS[cluster];
    const report: Partial<MemberReport> = {
      role: leads ? "leader" : "follower",
      ...(leads ? { syncNames: others, ackCount: 1, intentGeneration: intent.generation } : {}),
      ...(isGroup
        ? { group: { incarnation: intent.group?.incarnation ?? 0, ...(leads ? { members: names } : {}) } }
        : {}),
      ...(leads && slots !== undefined ? { shard: { slots, moving: "", movingTo: "" } } : {}),
    };
    const text = JSON.stringify(report);
    if (said.get(member) === text) return;
    await runMember(admin, { namespace: NAMESPACE, member }, report);
    said.set(member, text);
  }

  async function playDeployment({ metadata, spec }: Stored<Any>, said: Map<string, string>): Promise<void> {
    const { generation = 0 } = metadata as { readonly generation?: number };
    if (said.get(metadata.name) === String(generation)) return;
    const { replicas = 0, template } = spec as {
      readonly replicas?: number;
      readonly template?: { readonly metadata: Stored<KubeObject>["metadata"]; readonly spec: object };
    };
    for (let at = 0; at < replicas; at += 1) {
      const pod = { apiVersion: "v1", kind: "Pod", namespace: NAMESPACE, name: `${metadata.name}-${at}` };
      if ((await admin.get(pod)) !== undefined) continue;
      const { labels = {}, annotations = {} } = template?.metadata ?? {};
      const made = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: pod.name, namespace: NAMESPACE, labels, annotations },
      };
      await admin.create<KubeObject>({ ...made, spec: template?.spec } as KubeObject);
      const conditions = [{ type: "Ready", status: "True", lastTransitionTime: new Date().toISOString() }];
      await admin.mergePatch<Any>(pod, { status: { phase: "Running", conditions } }, { subresource: "status" });
    }
    const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
    const deployment = { apiVersion: "apps/v1", kind: "Deployment", namespace: NAMESPACE, name: metadata.name };
    const status = { ...counts, observedGeneration: generation, conditions: [] };
    await admin.mergePatch<Any>(deployment, { status }, { subresource: "status" });
    said.set(metadata.name, String(generation));
  }

  beforeAll(async () => {
    if (earlier === undefined) throw new Error("unreachable: skipped");
    folder = await mkdtemp(join(tmpdir(), "quorate-upgrade-"));
    today = await releaseOfToday(folder);
    plane = await startControlPlane();
    admin = await plane.client();
    await plane.kubectl("create", "namespace", OPERATOR_ACCOUNT.namespace);
    await install(earlier);
    playing = play();
    await operate(earlier);
    for (const [name, spec] of Object.entries(CLUSTERS)) await admin.create(minimalCluster(spec, name));
    await untilAtRest();
  }, 300_000);

  afterAll(async () => {
    played.abort();
    await playing?.catch(() => undefined);
    for (const one of operators) await one.stop();
    admin?.close();
    await plane?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  /** Puts another operator in the place of the present one. @returns what of that which lasts was replaced, and what is wrong, as it says. */
  async function replace(next: () => Promise<void>): Promise<readonly string[]> {
    const before = await lasting();
    await next();
    await untilAtRest();
    const replaced = changesOf(before, await lasting()).filter((line) => !line.startsWith("+"));
    return [...replaced, ...(await operator.complaints())];
  }

  test("today's takes over: every cluster is ready, nothing is replaced, and all comes to rest", {
    timeout: 200_000,
  }, async () => {
    const replaced = await replace(async () => {
      await install(today);
      await operate(today);
    });
    expect(replaced).toEqual([]);
  });

  test("what is new in today's specs works then", { timeout: 200_000 }, async () => {
    const accounts = [{ name: "reports", rules: ["readwrite reports/*"] }];
    const ref = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name: "consensus" };
    await admin.mergePatch(ref, { spec: { accounts } });
    await vi.waitFor(async () => {
      const name = nameOf.intent("consensus");
      const map = await admin.get<Any>({ apiVersion: "v1", kind: "ConfigMap", namespace: NAMESPACE, name });
      expect(map?.data?.[INTENT_KEY]).toContain('"reports"');
    }, PATIENCE);
    await admin.mergePatch(ref, { spec: { accounts: null } });
  });

  test("the earlier one goes on where today's was, beside CRDs, rights and Engines of today", {
    timeout: 200_000,
  }, async () => {
    if (earlier === undefined) throw new Error("unreachable: skipped");
    expect(await replace(() => operate(earlier))).toEqual([]);
  });

  test("and today's after that", { timeout: 200_000 }, async () => {
    expect(await replace(() => operate(today))).toEqual([]);
  });
});

/** What is not the same: `-` is gone, `+` is new, `~` is another. */
function changesOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): readonly string[] {
  const gone = [...before.keys()].filter((key) => !after.has(key)).map((key) => `- ${key}`);
  const others = [...after].flatMap(([key, value]) => {
    if (!before.has(key)) return [`+ ${key}`];
    return before.get(key) === value ? [] : [`~ ${key}: ${before.get(key)} → ${value}`];
  });
  return [...gone, ...others];
}
