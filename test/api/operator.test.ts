// The operator against a real API server. What is asserted is the state of the world.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { API_VERSION, nameOf } from "../../src/api/names.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import {
  admin,
  type Any,
  atRest,
  calls,
  clusterRef,
  createCluster,
  eventually,
  intentOf,
  logged,
  NAMESPACE,
  passes,
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

describe("a new cluster", () => {
  test("gets all its children, owned where they may go with it", async () => {
    const cluster = await createCluster("fresh");
    await atRest();
    const owned: [string, string, string][] = [
      ["v1", "Service", "fresh-rw"],
      ["v1", "Service", "fresh-ro"],
      ["v1", "Service", "fresh-r"],
      ["v1", "Service", "fresh-members"],
      ["discovery.k8s.io/v1", "EndpointSlice", "fresh-rw"],
      ["discovery.k8s.io/v1", "EndpointSlice", "fresh-ro"],
      ["v1", "ConfigMap", "fresh-intent"],
      ["v1", "ConfigMap", "fresh-engine"],
      ["v1", "ServiceAccount", "fresh-member"],
      ["rbac.authorization.k8s.io/v1", "Role", "fresh-member"],
      ["rbac.authorization.k8s.io/v1", "RoleBinding", "fresh-member"],
      ["policy/v1", "PodDisruptionBudget", "fresh"],
      ["networking.k8s.io/v1", "NetworkPolicy", "fresh"],
      ["coordination.k8s.io/v1", "Lease", "fresh"],
      ["v1", "Secret", "fresh-peer"],
      ["v1", "Secret", "fresh-ca"],
      ["apps/v1", "StatefulSet", "fresh-0"],
      ["apps/v1", "StatefulSet", "fresh-1"],
      ["apps/v1", "StatefulSet", "fresh-2"],
    ];
    for (const [apiVersion, kind, name] of owned) {
      const { metadata } = await read(apiVersion, kind, name);
      const meta: KubeObject["metadata"] = metadata;
      expect(meta.ownerReferences?.[0], `${kind} ${name}`).toMatchObject({
        uid: cluster.metadata.uid,
        controller: true,
      });
      expect(meta.labels, `${kind} ${name}`).toMatchObject({ "quorate.io/cluster": "fresh" });
    }
    for (const [kind, name] of [
      ["PersistentVolumeClaim", "fresh-1-data"],
      ["Secret", "fresh-credentials"],
    ] as const) {
      const meta: KubeObject["metadata"] = (await read("v1", kind, name)).metadata;
      expect(meta.ownerReferences, `${kind} ${name}`).toBeUndefined();
    }
  });

  test("has pods with probes, memory for the agent, and no rights", async () => {
    await createCluster("shape");
    const { spec } = await read("apps/v1", "StatefulSet", "shape-0");
    const template = spec?.["template"] as { spec: { containers: Any[] } & Record<string, unknown> };
    expect(spec).toMatchObject({ replicas: 1, serviceName: "shape-members", updateStrategy: { type: "OnDelete" } });
    expect(template.spec).toMatchObject({
      terminationGracePeriodSeconds: 60,
      securityContext: { runAsNonRoot: true, fsGroupChangePolicy: "OnRootMismatch" },
      initContainers: [{ image: "quorate/agent:test" }],
    });
    expect(template.spec.containers).toMatchObject([
      {
        resources: { requests: { memory: "1088Mi" } },
        readinessProbe: { periodSeconds: 2 },
        securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
      },
    ]);
  });

  test("gives members rights to their own objects only", async () => {
    await createCluster("least");
    const { rules = [] } = await read("rbac.authorization.k8s.io/v1", "Role", "least-member");
    const lease = rules.find((rule) => rule.resources.includes("leases"));
    expect(lease).toMatchObject({ resourceNames: ["least"], verbs: ["get", "list", "watch", "update"] });
    const pods = rules.find((rule) => rule.resources.includes("pods"));
    expect(pods?.resourceNames).toEqual(["least-0-0", "least-1-0", "least-2-0"]);
    for (const rule of rules) expect(rule.resourceNames !== undefined || rule.resources[0] === "events").toBe(true);
  });

  test("names who may initialise only until a leader has served", async () => {
    const { metadata } = await runningCluster("boot");
    expect(await intentOf("boot")).toMatchObject({ bootstrapMember: null, initializedFor: metadata.uid });
    expect(await statusOf("boot")).toMatchObject({ initialized: true, epoch: 1, readyRatio: "3/3" });
  });

  test("is Ready for kubectl wait", async () => {
    await runningCluster("waited");
    const out = await plane.kubectl("wait", "--for=condition=Ready", "clusterspec/waited", "--timeout=10s");
    expect(out).toContain("condition met");
    const { conditions = [] } = await statusOf("waited");
    expect(conditions.map((c) => `${c.type}=${c.status}`)).toEqual([
      "Available=True",
      "Degraded=False",
      "Progressing=False",
      "Ready=True",
    ]);
  });
});

describe("at rest", () => {
  test("a new operator writes nothing", async () => {
    await runningCluster("quiet");
    await withoutOperator();
    await startOperator();
    await eventually(async () => expect(passes.length).toBeGreaterThan(0));
    await atRest();
    expect(writes()).toEqual([]);
  });

  test("a pass that an agent's report caused writes nothing when nothing is to be said", async () => {
    await runningCluster("still");
    calls.length = 0;
    const before = passes.length;
    await admin.mergePatch(ref("v1", "Pod", "still-1-0"), { metadata: { labels: { unrelated: "yes" } } });
    await eventually(async () => expect(passes.length).toBeGreaterThan(before));
    await atRest();
    expect(writes()).toEqual([]);
  });

  test("the Lease and the routes belong to the members", async () => {
    await runningCluster("hands");
    const lease = { holderIdentity: "hands-0-0/u/n", leaseTransitions: 7, leaseDurationSeconds: 15 };
    await admin.mergePatch(ref("coordination.k8s.io/v1", "Lease", "hands"), { spec: lease });
    const endpoints = [{ addresses: ["10.0.0.1"], conditions: { ready: true } }];
    await admin.mergePatch(ref("discovery.k8s.io/v1", "EndpointSlice", "hands-rw"), { endpoints });
    await withoutOperator();
    await startOperator();
    await eventually(async () => expect(passes.length).toBeGreaterThan(0));
    await atRest();
    expect((await read("coordination.k8s.io/v1", "Lease", "hands")).spec).toMatchObject(lease);
    expect(await read("discovery.k8s.io/v1", "EndpointSlice", "hands-rw")).toMatchObject({ endpoints });
  });
});

describe("what users do to children", () => {
  test("is put right", async () => {
    await runningCluster("repair");
    await admin.mergePatch(ref("apps/v1", "StatefulSet", "repair-2"), { spec: { replicas: 0 } });
    await admin.mergePatch(ref("v1", "Service", "repair-r"), { spec: { selector: { "quorate.io/cluster": "other" } } });
    await admin.delete(ref("policy/v1", "PodDisruptionBudget", "repair"));
    await admin.delete(ref("networking.k8s.io/v1", "NetworkPolicy", "repair"));
    await eventually(async () => {
      expect((await read("apps/v1", "StatefulSet", "repair-2")).spec).toMatchObject({ replicas: 1 });
      const { spec } = await read("v1", "Service", "repair-r");
      expect(spec).toMatchObject({ selector: { "quorate.io/cluster": "repair" } });
      expect((await read("policy/v1", "PodDisruptionBudget", "repair")).spec).toMatchObject({ minAvailable: 2 });
      await read("networking.k8s.io/v1", "NetworkPolicy", "repair");
    });
  });
});

describe("changes", () => {
  test("a member joins after the others know of it, and leaves after they forgot it", async () => {
    await runningCluster("scale");
    await plane.kubectl("scale", "clusterspec/scale", "--replicas=4");
    await eventually(async () => expect((await intentOf("scale")).members).toHaveLength(4));
    await eventually(() => read("apps/v1", "StatefulSet", "scale-3"));
    await runMember("scale-3", {});
    await eventually(async () => expect((await statusOf("scale")).readyRatio).toBe("4/4"));
    await plane.kubectl("scale", "clusterspec/scale", "--replicas=3");
    await eventually(async () => {
      expect((await intentOf("scale")).members).toHaveLength(3);
      expect(await admin.get(ref("apps/v1", "StatefulSet", "scale-3"))).toBeUndefined();
    });
    await read("v1", "PersistentVolumeClaim", "scale-3-data");
  });

  test("a switchover operation is asked of the leader and ends with its answer", async () => {
    await runningCluster("swap");
    const operation = await admin.create({
      apiVersion: API_VERSION,
      kind: "ClusterOperation",
      metadata: { name: "swap-now", namespace: NAMESPACE },
      spec: { clusterName: "swap", type: "Switchover", member: "swap-2" },
    } as KubeObject);
    const id = operation.metadata.uid;
    await eventually(async () =>
      expect((await intentOf("swap")).switchover).toEqual({ id, from: "swap-0", to: "swap-2" }),
    );
    const answer = { id, result: "Done", message: "swap-2 leads" } as const;
    await runMember("swap-2", { role: "leader", epoch: 2 });
    await runMember("swap-0", { role: "follower", epoch: 2, switchover: answer });
    await eventually(async () => {
      expect((await read(API_VERSION, "ClusterOperation", "swap-now")).status).toMatchObject({ phase: "Done" });
      expect((await intentOf("swap")).switchover).toBeNull();
      expect((await statusOf("swap")).leader).toBe("swap-2");
    });
    await eventually(async () => {
      const events = await plane.kubectl(
        "get",
        "events.events.k8s.io",
        "-o",
        "jsonpath={range .items[*]}{.reason}:{.note}|{end}",
      );
      expect(events).toContain("LeaderChanged:swap-2 leads now instead of swap-0, epoch 2.");
      expect(events).toContain("OperationDone:swap-2 leads");
    });
  });

  test("applications get what they connect with, also after the password was changed", async () => {
    await createCluster("linked");
    const text = (secret: Stored<Any>, key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString();
    const credentials = await eventually(() => read("v1", "Secret", nameOf.credentialsSecret("linked")));
    const connection = await eventually(() => read("v1", "Secret", "linked-app"));
    const password = text(credentials, "app");
    expect(password).toHaveLength(32);
    expect(connection).toMatchObject({ type: "servicebinding.io/postgresql" });
    const peer = await read("v1", "Secret", nameOf.peerSecret("linked"));
    expect(new X509Certificate(text(peer, "tls.crt")).checkHost("linked-rw.default.svc")).toBeDefined();
    expect(Object.keys(connection.data ?? {}).map((key) => `${key}=${text(connection, key)}`)).toEqual([
      `ca.crt=${text(peer, "ca.crt")}`,
      "database=app",
      "host=linked-rw.default.svc",
      `password=${password}`,
      "port=5432",
      "type=postgresql",
      `uri=postgresql://app:${password}@linked-rw.default.svc:5432/app`,
      "username=app",
    ]);
    const data = { app: Buffer.from("changed/by hand").toString("base64") };
    await admin.mergePatch(ref("v1", "Secret", nameOf.credentialsSecret("linked")), { data });
    await withoutOperator(); // it looks at Secrets every ten minutes, and when it starts
    await startOperator();
    await eventually(async () => {
      const renewed = await read("v1", "Secret", "linked-app");
      expect(text(renewed, "uri")).toBe("postgresql://app:changed%2Fby%20hand@linked-rw.default.svc:5432/app");
    });
  });

  test("applications of an Engine that asks for certificates get one, of an authority that no member is known by", async () => {
    await plane.apply(await readFile(join(import.meta.dirname, "../../engines/etcd.yaml"), "utf8"));
    await createCluster("known", { engine: { name: "etcd" }, topology: "Consensus", accounts: [{ name: "shop" }] });
    const text = (secret: Stored<Any>, key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString();
    const peer = await eventually(() => read("v1", "Secret", nameOf.peerSecret("known")));
    const [members, clients] = ["ca.crt", "clients-ca.crt"].map(
      (key) => new X509Certificate(text(peer, key)).publicKey,
    );
    if (members === undefined || clients === undefined) throw new Error("two authorities");
    for (const account of ["app", "shop"]) {
      const connection = await eventually(() => read("v1", "Secret", `known-${account}`));
      const certificate = new X509Certificate(text(connection, "tls.crt"));
      expect(certificate.subject).toBe(`CN=${account}`);
      expect([certificate.verify(clients), certificate.verify(members)]).toEqual([true, false]);
      expect(certificate.checkPrivateKey(createPrivateKey(text(connection, "tls.key")))).toBe(true);
      expect(text(connection, "tls-uri")).toBe("https://known-rw.default.svc:2378");
      expect(text(connection, "ca.crt")).toBe(text(peer, "ca.crt"));
    }
    expect(new X509Certificate(text(peer, "nobody.crt")).subject).toBe("CN=quorate nobody");
  });

  test("an unknown Engine stalls with a sentence that says what to do", async () => {
    await admin.create(minimalCluster({ engine: { name: "unknown" } }, "lost"));
    await eventually(async () => {
      const { conditions = [] } = await statusOf("lost");
      expect(conditions.find((c) => c.type === "Stalled")).toMatchObject({ status: "True", reason: "EngineKnown" });
    });
  });
});

describe("a deleted ClusterSpec", () => {
  test("leaves its volumes when nothing else was asked for", async () => {
    await runningCluster("kept");
    await admin.delete(clusterRef("kept"));
    await atRest();
    expect(await read("v1", "PersistentVolumeClaim", "kept-0-data")).toBeDefined();
    expect(await read("v1", "Secret", "kept-credentials")).toBeDefined();
  });

  test("takes volumes and passwords along when asked to, also if the operator was away", async () => {
    await runningCluster("gone", { deletionProtection: false, volumeRetention: { whenDeleted: "Delete" } });
    await withoutOperator();
    await admin.delete(clusterRef("gone"));
    // The garbage collector does not run here: do its part.
    for (const ordinal of [0, 1, 2]) {
      await admin.delete(ref("apps/v1", "StatefulSet", `gone-${ordinal}`));
      await admin.delete(ref("v1", "Pod", `gone-${ordinal}-0`), { gracePeriodSeconds: 0 });
    }
    await startOperator();
    await eventually(async () => {
      for (const ordinal of [0, 1, 2]) {
        const claim = await admin.get(ref("v1", "PersistentVolumeClaim", `gone-${ordinal}-data`));
        // pvc-protection's finalizer stays, because its controller does not run here
        expect(claim === undefined || (claim.metadata as KubeObject["metadata"]).deletionTimestamp !== undefined).toBe(
          true,
        );
      }
      expect(await admin.get(ref("v1", "Secret", "gone-credentials"))).toBeUndefined();
    });
  });
});

/** Keys of Secrets whose values nobody else may see; all others are addresses, names and certificates. */
const CONFIDENTIAL = /^(admin|app|replication|postgres|password|uri|.*\.key)$/;

/** Everything confidential in this namespace, as it could turn up: as it is, in base64, in an address, a line of a key. */
async function confidences(): Promise<readonly string[]> {
  const found = JSON.parse(await plane.kubectl("-n", NAMESPACE, "get", "secrets", "-o", "json")) as {
    readonly items: readonly Any[];
  };
  return found.items.flatMap(({ metadata, data = {} }) =>
    Object.entries(data)
      .filter(([key]) => CONFIDENTIAL.test(key) || metadata.name?.endsWith("-credentials"))
      .flatMap(([, base64]) => {
        const text = Buffer.from(base64, "base64").toString();
        const line = text.split("\n").find((one) => one.length >= 40 && !one.startsWith("-----"));
        return text.includes("BEGIN") ? [base64, line ?? base64] : [base64, text, encodeURIComponent(text)];
      }),
  );
}

test("after all of that, nothing confidential is anywhere but in Secrets: no object, Event, metric or line of a log", async () => {
  const secrets = await confidences();
  expect(secrets.length).toBeGreaterThan(30);
  const kinds = await plane.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name");
  const others = kinds
    .trim()
    .split("\n")
    .filter((kind) => kind !== "secrets" && !kind.endsWith(".metrics.k8s.io"));
  const objects = await plane.kubectl("get", others.join(","), "--all-namespaces", "-o", "json");
  const seen = { objects, metrics: await registry.metrics(), log: logged.join("") };
  const leaks = Object.entries(seen).flatMap(([where, text]) =>
    secrets.filter((secret) => text.includes(secret)).map((secret) => `${where}: ${secret.slice(0, 6)}…`),
  );
  expect(leaks).toEqual([]);
  // It looked at what there is: clusters and their Events, and at an operator that said something.
  for (const part of ["ClusterSpec", "LeaderChanged", "linked-rw"]) expect(objects).toContain(part);
  expect(seen.log.split("\n").length).toBeGreaterThan(10);
});
