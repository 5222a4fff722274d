// What KubeClient promises, against a real API server.
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IndeterminateError, RetryableError, TerminalError } from "../../src/errors.ts";
import { apiStatusOf, isAlreadyExists, isConflict, isForbidden, isGone, isNotFound } from "../../src/kube/api-error.ts";
import type { ApiCall, KubeClient } from "../../src/kube/client.ts";
import { inClusterConnection } from "../../src/kube/connection.ts";
import { KubeClient as Client } from "../../src/kube/client.ts";
import { EventRecorder } from "../../src/kube/events.ts";
import { LeaderElection, type Lease } from "../../src/kube/leader-election.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, ObjectRef, Stored } from "../../src/kube/object.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";

type ConfigMap = KubeObject & { readonly data?: Record<string, string> };

const CONFIG_MAP = { apiVersion: "v1", kind: "ConfigMap" } as const;
let plane: ControlPlane;
let client: KubeClient;
let calls: ApiCall[];

beforeAll(async () => {
  plane = await startControlPlane();
  calls = [];
  client = await plane.client(plane.kubeconfig, { observe: (call) => calls.push(call) });
});

afterAll(async () => {
  client.close();
  await plane.stop();
});

let names = 0;
function configMap(data: Record<string, string> = {}): ConfigMap & { readonly metadata: { readonly name: string } } {
  names += 1;
  return { ...CONFIG_MAP, metadata: { namespace: "default", name: `c${names}` }, data };
}

function refTo(object: KubeObject): ObjectRef {
  return { ...CONFIG_MAP, namespace: "default", name: object.metadata.name ?? "" };
}

/** The error that a call ends with. */
async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call did not fail");
}

describe("reads", () => {
  test("get returns the object as it is stored, and undefined for one that is not there", async () => {
    const made = await client.create<ConfigMap>(configMap({ a: "1" }));
    expect(await client.get<ConfigMap>(refTo(made))).toEqual(made);
    expect(await client.get({ ...refTo(made), name: "absent" })).toBeUndefined();
  });

  test("a kind that is not served is an error, not an absent object", async () => {
    const error = await failureOf(
      client.get({ apiVersion: "nowhere.io/v1", kind: "Nothing", namespace: "default", name: "a" }),
    );
    expect(error).toBeInstanceOf(RetryableError);
    expect(error).toMatchObject({ reason: "KindNotServed" });
    // A kind of our own table whose CRD is not installed: the path itself is unknown.
    const clusterSpec = { apiVersion: "quorate.io/v1alpha1", kind: "ClusterSpec", namespace: "default", name: "a" };
    expect(isNotFound(await failureOf(client.get(clusterSpec)))).toBe(true);
  });

  test("listAll follows the pages and gives every item its kind", async () => {
    const label = { labels: { paged: "yes" } };
    for (let i = 0; i < 7; i += 1) {
      const one = configMap();
      await client.create({ ...one, metadata: { ...one.metadata, ...label } });
    }
    const selection = { ...CONFIG_MAP, namespace: "default", labelSelector: "paged=yes" };
    const paged = { list: client.list.bind(client) };
    const small = await listAll({ list: (what, options) => paged.list(what, { ...options, limit: 3 }) }, selection);
    expect(small.items).toHaveLength(7);
    expect(small.items.every((item) => item.kind === "ConfigMap" && item.apiVersion === "v1")).toBe(true);
    expect(new Set(small.items.map((item) => item.metadata.uid)).size).toBe(7);
  });

  test("kinds outside the table are discovered", async () => {
    const schemas = await listAll(client, { apiVersion: "flowcontrol.apiserver.k8s.io/v1", kind: "FlowSchema" });
    expect(schemas.items.map((schema) => schema.metadata.name)).toContain("system-leader-election");
  });
});

describe("writes", () => {
  test("apply sends exactly what it is given, and keeps fields of others and fields nobody here knows", async () => {
    const crd = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "things.test.quorate.io" },
      spec: {
        group: "test.quorate.io",
        scope: "Namespaced",
        names: { plural: "things", kind: "Thing" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            subresources: { status: {} },
            schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
          },
        ],
      },
    };
    await client.apply(crd, { fieldManager: "test" });
    const thing = { apiVersion: "test.quorate.io/v1", kind: "Thing", metadata: { namespace: "default", name: "t" } };
    const unknown = { fromTheFuture: { deep: [1, { two: null }] }, size: "10Gi" };
    const apply = async () => client.apply({ ...thing, spec: unknown }, { fieldManager: "ours" });
    await expect
      .poll(() => apply().catch((error: unknown) => error), { timeout: 10_000 })
      .toMatchObject({ spec: unknown });
    await client.apply({ ...thing, spec: { other: 1 } }, { fieldManager: "theirs" });
    const back = await apply();
    expect(back).toMatchObject({ spec: { ...unknown, other: 1 } });
    const less = await client.apply({ ...thing, spec: { size: "10Gi" } }, { fieldManager: "ours" });
    expect(less).toMatchObject({ spec: { size: "10Gi", other: 1 } });
    expect(less).not.toHaveProperty("spec.fromTheFuture");
    const status = await client.apply(
      { ...thing, status: { ready: 3 }, spec: { size: "no" } },
      { fieldManager: "status", force: true, subresource: "status" },
    );
    expect(status).toMatchObject({ spec: { size: "10Gi" }, status: { ready: 3 } });
  });

  test("apply without force refuses a field of another manager", async () => {
    const mine = configMap({ a: "1" });
    await client.apply(mine, { fieldManager: "one" });
    const error = await failureOf(client.apply({ ...mine, data: { a: "2" } }, { fieldManager: "two" }));
    expect(isConflict(error)).toBe(true);
    expect(apiStatusOf(error)?.causes).toEqual(["FieldManagerConflict"]);
    const forced = await client.apply({ ...mine, data: { a: "2" } }, { fieldManager: "two", force: true });
    expect(forced.data).toEqual({ a: "2" });
  });

  test("create of a name that is taken is AlreadyExists", async () => {
    const one = configMap();
    await client.create(one);
    const error = await failureOf(client.create(one));
    expect(error).toBeInstanceOf(RetryableError);
    expect(isAlreadyExists(error)).toBe(true);
  });

  test("update replaces one version only, and never goes without one", async () => {
    const first = await client.create<ConfigMap>(configMap({ a: "1" }));
    const second = await client.update({ ...first, data: { a: "2" } });
    const late = await failureOf(client.update({ ...first, data: { a: "3" } }));
    expect(isConflict(late)).toBe(true);
    expect(isAlreadyExists(late)).toBe(false);
    expect((await client.get<ConfigMap>(refTo(first)))?.data).toEqual({ a: "2" });
    const { resourceVersion: _version, ...metadata } = second.metadata;
    await expect(client.update({ ...second, metadata })).rejects.toThrow(TypeError);
  });

  test("mergePatch changes what it names, under the precondition it names", async () => {
    const first = await client.create<ConfigMap>(configMap({ a: "1", b: "1" }));
    const patched = await client.mergePatch<ConfigMap>(refTo(first), { data: { a: null, c: "3" } });
    expect(patched.data).toEqual({ b: "1", c: "3" });
    const stale = { metadata: { resourceVersion: first.metadata.resourceVersion }, data: { b: "2" } };
    expect(isConflict(await failureOf(client.mergePatch(refTo(first), stale)))).toBe(true);
  });

  test("a dry run stores nothing", async () => {
    const one = configMap();
    expect((await client.create(one, { dryRun: true })).metadata.uid).toBeDefined();
    expect(await client.get(refTo(one))).toBeUndefined();
  });

  test("what the server finds invalid is terminal and names the field", async () => {
    const bad = { ...configMap(), data: { "no/slashes": "1" } };
    const error = await failureOf(client.create(bad));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error).toMatchObject({ reason: "Invalid", message: expect.stringContaining("data[no/slashes]") as string });
  });
});

describe("delete", () => {
  test("takes only the incarnation and the version it names", async () => {
    const first = await client.create(configMap());
    const ref = refTo(first);
    expect(isConflict(await failureOf(client.delete(ref, { uid: "another" })))).toBe(true);
    expect(isConflict(await failureOf(client.delete(ref, { resourceVersion: "1" })))).toBe(true);
    expect(await client.delete(ref, { uid: first.metadata.uid })).toBe("Deleted");
    expect(await client.delete(ref, { uid: first.metadata.uid })).toBe("Absent");
  });

  test("says so when finalizers hold the object", async () => {
    const held = configMap();
    await client.create({ ...held, metadata: { ...held.metadata, finalizers: ["test.quorate.io/hold"] } });
    expect(await client.delete(refTo(held))).toBe("Deleting");
    await client.mergePatch(refTo(held), { metadata: { finalizers: null } });
    expect(await client.get(refTo(held))).toBeUndefined();
  });
});

test("eviction and token requests go to the object's subresource", async () => {
  const metadata = { namespace: "default", name: "evicted" };
  const spec = { containers: [{ name: "a", image: "none" }] };
  await client.create({ apiVersion: "v1", kind: "Pod", metadata, spec });
  await client.create({ apiVersion: "policy/v1", kind: "Eviction", metadata }, { subresource: "eviction" });
  expect(await client.get({ apiVersion: "v1", kind: "Pod", ...metadata })).toBeUndefined(); // it ran nowhere, so it went at once
  const account = { namespace: "default", name: "asked" };
  await client.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: account });
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", metadata: account, spec: {} };
  expect(await client.create(request, { subresource: "token" })).toHaveProperty("status.token");
});

describe("identities", () => {
  test("a service account may do what its role allows; the rest is retryable, because roles come late", async () => {
    const kubeconfig = await plane.serviceAccount("default", "reader");
    const reader = await plane.client(kubeconfig);
    const error = await failureOf(reader.list({ ...CONFIG_MAP, namespace: "default" }));
    expect(error).toBeInstanceOf(RetryableError);
    expect(isForbidden(error)).toBe(true);
    await plane.kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=configmaps");
    await plane.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader");
    await expect
      .poll(() => reader.list({ ...CONFIG_MAP, namespace: "default" }).then(() => "allowed", isForbidden), {
        timeout: 10_000,
      })
      .toBe("allowed");
    expect(isForbidden(await failureOf(reader.create(configMap())))).toBe(true);
    reader.close();
  });

  test("a pod's token is read again after a 401", async () => {
    const folder = await mkdtemp(`${plane.folder}/account-`);
    await plane.serviceAccount("default", "pod");
    const token = await plane.kubectl("create", "token", "pod");
    await writeFile(`${folder}/ca.crt`, await plane.pem("ca.crt"));
    await writeFile(`${folder}/namespace`, "default");
    await writeFile(`${folder}/token`, "expired");
    const { hostname, port } = new URL(plane.server);
    const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
    const pod = new Client(await inClusterConnection(env, folder));
    expect(apiStatusOf(await failureOf(pod.get(refTo(configMap()))))?.code).toBe(401);
    await writeFile(`${folder}/token`, `${token.trim()}\n`);
    expect(isForbidden(await failureOf(pod.get(refTo(configMap()))))).toBe(true); // known now, but without a role
    pod.close();
  });
});

test("watching from a version that was compacted away is Gone", async () => {
  const first = await client.create(configMap());
  await plane.compact();
  await plane.restartApiServer(); // its cache remembers longer than etcd
  const read = async () => {
    for await (const event of client.watch(CONFIG_MAP, { resourceVersion: "1", timeoutSeconds: 5 }))
      expect(event).toBeDefined();
  };
  expect(isGone(await failureOf(read()))).toBe(true);
  expect(first.metadata.uid).toBeDefined();
});

test("calls one after the other share a connection", async () => {
  const ref = refTo(configMap());
  await client.get(ref);
  const before = await connectionsTo(plane.server);
  for (let i = 0; i < 50; i += 1) await client.get(ref);
  expect(await connectionsTo(plane.server)).toBeLessThan(before + 10); // some are the API server's own
});

/** Established TCP connections to a server on this machine, from all processes. */
async function connectionsTo(server: string): Promise<number> {
  const port = Number(new URL(server).port).toString(16).toUpperCase().padStart(4, "0");
  const table = await readFile("/proc/self/net/tcp", "utf8");
  return table.split("\n").filter((line) => line.includes(` 0100007F:${port} 01 `)).length;
}

test("every exchange is observed", async () => {
  calls = [];
  const one = configMap();
  await client.create(one);
  await client.get(refTo(one));
  await client.delete(refTo(one));
  expect(calls.map(({ verb, resource, code }) => [verb, resource, code])).toEqual([
    ["create", "configmaps", 201],
    ["get", "configmaps", 200],
    ["delete", "configmaps", 200],
  ]);
});

describe("a server that does not answer", () => {
  test("paused: a read is retryable, a write that was sent is indeterminate and may still happen", async () => {
    const one = await client.create<ConfigMap>(configMap({ a: "1" }));
    await Promise.all([client.get(refTo(one)), client.get(refTo(one))]); // a connection for each: over a new one nothing would be sent
    plane.pauseApiServer();
    const read = await failureOf(client.get(refTo(one), { timeoutMs: 300 }));
    const write = await failureOf(client.update({ ...one, data: { a: "2" } }, { timeoutMs: 300 }));
    plane.resumeApiServer();
    expect(read).toBeInstanceOf(RetryableError);
    expect(read).toMatchObject({ reason: "Deadline" });
    expect(write).toBeInstanceOf(IndeterminateError);
    const after = await client.get<ConfigMap>(refTo(one));
    expect(["1", "2"]).toContain(after?.data?.["a"]);
  });

  test("an aborted call ends at once and says so", async () => {
    plane.pauseApiServer();
    const abort = new AbortController();
    const call = failureOf(client.get(refTo(configMap()), { signal: abort.signal }));
    abort.abort();
    expect(await call).toMatchObject({ reason: "Aborted" });
    expect(await failureOf(client.create(configMap(), { signal: AbortSignal.abort() }))).toBeInstanceOf(RetryableError);
    plane.resumeApiServer();
  });

  test("killed: a write that could not be sent is retryable, not indeterminate", async () => {
    await plane.killApiServer();
    const fresh = await plane.client(); // no open connection that could take bytes
    const error = await failureOf(fresh.create(configMap(), { maxRetries: 0 }));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error).toMatchObject({ reason: "Unreachable" });
    // A call with retries outlives the gap.
    const waiting = fresh.get(refTo(configMap()), { maxRetries: 1000, timeoutMs: 30_000 });
    await plane.startApiServer();
    expect(await waiting).toBeUndefined();
    fresh.close();
  });
});

describe("leader election", () => {
  const lease: ObjectRef = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace: "default", name: "op" };
  const timing = { durationMs: 3000, renewDeadlineMs: 2000, retryMs: 200 };
  const candidate = (identity: string) =>
    new LeaderElection({ api: client, namespace: "default", name: "op", identity, ...timing });
  const untilAborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

  test("one leads, a release hands over, a lost Lease ends the term", async () => {
    const order: string[] = [];
    const stopA = new AbortController();
    const stopB = new AbortController();
    const led = Promise.withResolvers<void>();
    const a = candidate("a").run(stopA.signal, (signal) => {
      order.push("a leads");
      led.resolve();
      return untilAborted(signal).then(() => void order.push("a ends"));
    });
    await led.promise;
    const termB = Promise.withResolvers<void>();
    const b = candidate("b").run(stopB.signal, (signal) => {
      order.push("b leads");
      termB.resolve();
      return untilAborted(signal).then(() => void order.push("b ends"));
    });
    stopA.abort();
    expect(await a).toBe(true);
    await termB.promise;
    const held = await client.get<Lease>(lease);
    expect(held?.spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 });
    // Someone takes it by force: the holder must notice and stop.
    await client.mergePatch(lease, { spec: { holderIdentity: "thief" } });
    expect(await b).toBe(false);
    expect(order).toEqual(["a leads", "a ends", "b leads", "b ends"]);
    await client.delete(lease);
  });

  test("a holder that cannot renew stops before another may lead", async () => {
    const holder = candidate("a");
    const stop = new AbortController();
    const led = Promise.withResolvers<void>();
    const a = holder.run(stop.signal, (signal) => {
      led.resolve();
      return untilAborted(signal);
    });
    await led.promise;
    plane.pauseApiServer();
    expect(await a).toBe(false);
    expect(holder.isLeading).toBe(false);
    plane.resumeApiServer();
  });
});

test("events: repeated ones are counted up, long notes cut, a missing right costs nothing but the event", async () => {
  const about = await client.create(configMap());
  const outcomes: string[] = [];
  const options = {
    controller: "quorate.io/operator",
    instance: "pod-1",
    observe: (outcome: string) => outcomes.push(outcome),
  };
  const recorder = new EventRecorder({ api: client, ...options });
  const subject = { ...refTo(about), uid: about.metadata.uid };
  const event = { type: "Warning", reason: "Fenced", action: "Failover", note: "é".repeat(2000) } as const;
  for (let i = 0; i < 3; i += 1) recorder.record(subject, event);
  await recorder.flush();
  const { items } = await listAll<
    KubeObject & { readonly note?: string; readonly series?: { readonly count: number } }
  >(client, {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    namespace: "default",
    fieldSelector: `reason=Fenced`,
  });
  const stored: Stored<KubeObject>[] = [...items];
  expect(stored).toHaveLength(1);
  expect(items[0]).toMatchObject({ series: { count: 3 }, regarding: { name: subject.name, uid: subject.uid } });
  expect(Buffer.byteLength(items[0]?.note ?? "")).toBeLessThanOrEqual(1024);
  const stranger = await plane.client(await plane.serviceAccount("default", "stranger"));
  const refused = new EventRecorder({ api: stranger, ...options });
  refused.record(subject, event);
  await refused.flush();
  for (let i = 0; i < 30; i += 1) recorder.record(subject, { ...event, note: `${i}` });
  await recorder.flush();
  expect(outcomes.slice(0, 4)).toEqual(["created", "counted", "counted", "failed"]);
  expect(outcomes.filter((outcome) => outcome === "limited")).toHaveLength(8); // 25 in a row are allowed
  stranger.close();
});
