// How often the operator writes: while clusters come to life, and in an hour in which nothing happens but what always happens:
// resyncs, renewals of Leases, heartbeats of nodes. Time is a value: the operator's clock is moved on by hand, so that a machine
// that stands still for a moment changes no count. Writes are counted where they arrive, at the API server.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { INTENT_KEY, Intent } from "../../src/api/agent-wire.ts";
import type { ClusterStatus } from "../../src/api/cluster-status.ts";
import { API_VERSION, nameOf } from "../../src/api/names.ts";
import type { Clock } from "../../src/clock.ts";
import { Controller } from "../../src/controller/controller.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { LeaderElection } from "../../src/kube/leader-election.ts";
import type { KubeObject, ObjectRef } from "../../src/kube/object.ts";
import { FakeClock } from "../unit/fake-clock.ts";
import { type AuditEvent, readAudit, WRITE_VERBS } from "./audit.ts";
import { minimalCluster } from "./crd-cases.ts";
import { runMember } from "./fake-members.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";
import { auditOf, noteOperator, OPERATOR_ACCOUNT } from "./rights.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

const CLUSTERS = Array.from({ length: 20 }, (_, at) => `rest-${at}`);
const NODES = ["node-0", "node-1", "node-2"];
const NAMESPACE = "default";
const OPERATOR = OPERATOR_ACCOUNT; // its Lease has the same name
const MINUTE_MS = 60_000;
const TICK_MS = 10;
/** Resyncs are ten minutes apart, give or take a tenth: so many fit into an hour in any case. */
const RESYNCS_IN_AN_HOUR = 5;

let plane: ControlPlane;
let admin: KubeClient;
let passes: string[] = [];

beforeAll(async () => {
  plane = await startControlPlane({ audit: [auditOf(OPERATOR)] });
  admin = await plane.client();
  await plane.kubectl("apply", "--server-side", "-k", join(import.meta.dirname, "../../deploy/default"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
  await plane.apply(await readFile(join(import.meta.dirname, "../../engines/postgres.yaml"), "utf8"));
  for (const name of NODES) await admin.create({ apiVersion: "v1", kind: "Node", metadata: { name } });
  await beatNodes();
});

afterAll(async () => {
  if (plane !== undefined) await noteOperator(plane.folder, inject("rightsNotes"));
  admin?.close();
  await plane?.stop();
});

/** The operator as its program joins it: elected by its own Lease, then leading. @returns what ends it. */
async function startOperator(clock: Clock): Promise<() => Promise<void>> {
  passes = [];
  const stop = new AbortController();
  const api = await plane.client(await plane.accountKubeconfig(OPERATOR.namespace, OPERATOR.name));
  const controller = new Controller({
    api,
    clock,
    settings: { agentImage: "quorate/agent:test" },
    registry: new ClusterRegistry(),
    log: pino({ level: "fatal" }),
    instance: "test",
    onPass: (key) => passes.push(key),
  });
  // Terms longer than any pause of a crowded machine: whether they are kept is not the question here.
  const times = { durationMs: 240_000, renewDeadlineMs: 200_000, retryMs: 1_000 };
  const election = new LeaderElection({ api, ...OPERATOR, identity: "test", ...times });
  const watching = controller.watch(stop.signal);
  const leading = election.run(stop.signal, (term) => controller.lead(term));
  return async () => {
    stop.abort();
    await Promise.all([watching, leading]);
    api.close();
  };
}

const lease = (name: string): ObjectRef => ({
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  namespace: NAMESPACE,
  name,
});

async function beatNodes(): Promise<void> {
  const condition = { type: "Ready", status: "True", lastHeartbeatTime: new Date().toISOString() };
  for (const name of NODES) {
    const patch = { status: { conditions: [condition] } };
    await admin.mergePatch({ apiVersion: "v1", kind: "Node", name }, patch, { subresource: "status" });
  }
}

async function renewLeases(): Promise<void> {
  const renewTime = new Date().toISOString().replace("Z", "000Z");
  await Promise.all(CLUSTERS.map((name) => admin.mergePatch(lease(name), { spec: { renewTime } })));
}

async function isReady(cluster: string): Promise<boolean> {
  const ref = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name: cluster };
  const found = await admin.get<KubeObject & { readonly status?: ClusterStatus }>(ref);
  return found?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
}

/** Waits until passes have come to rest: no more end for a while. */
async function untilQuiet(quietMs: number): Promise<void> {
  for (let before = -1; before !== passes.length; ) {
    before = passes.length;
    await new Promise((resolve) => setTimeout(resolve, quietMs));
  }
}

async function intentOf(cluster: string): Promise<Intent> {
  const ref = { apiVersion: "v1", kind: "ConfigMap", namespace: NAMESPACE, name: nameOf.intent(cluster) };
  const map = await admin.get<KubeObject & { readonly data?: Readonly<Record<string, string>> }>(ref);
  return Intent.parse(JSON.parse(map?.data?.[INTENT_KEY] ?? ""));
}

/** A clock that moves on by itself, with pauses where the machine has some. @returns it and what ends it. */
function startClock(): { readonly clock: Clock; readonly stop: () => void } {
  const clock = new FakeClock();
  const ticks = setInterval(() => clock.advance(TICK_MS), TICK_MS);
  return { clock, stop: () => clearInterval(ticks) };
}

async function startClusters(): Promise<void> {
  const { clock, stop: stopClock } = startClock();
  const stop = await startOperator(clock);
  for (const name of CLUSTERS) {
    await admin.create(minimalCluster({}, name));
    await vi.waitFor(async () => expect((await intentOf(name)).bootstrapMember).toBe(nameOf.member(name, 0)), {
      timeout: 120_000,
    });
    for (const [ordinal, node] of NODES.entries()) {
      const member = nameOf.member(name, ordinal);
      const role = ordinal === 0 ? "leader" : "follower";
      await vi.waitFor(() => runMember(admin, { namespace: NAMESPACE, member, node }, { role }), { timeout: 120_000 });
    }
  }
  await vi.waitFor(async () => expect(await Promise.all(CLUSTERS.map(isReady))).toEqual(CLUSTERS.map(() => true)), {
    timeout: 30_000,
  });
  await untilQuiet(300);
  await stop();
  stopClock();
}

const nameOfWritten = ({ objectRef }: AuditEvent) => `${objectRef?.resource ?? ""}/${objectRef?.name ?? ""}`;
const describeWrite = ({ verb, objectRef }: AuditEvent) =>
  `${verb} ${[objectRef?.resource, objectRef?.subresource, objectRef?.name].filter(Boolean).join("/")}`;

/** What the operator asked of the API server for its clusters, not for itself. */
async function operatorRequests(fromByte: number): Promise<readonly AuditEvent[]> {
  const { events } = await readAudit(plane.folder, fromByte);
  return events.filter(({ user }) => user.username === `system:serviceaccount:${OPERATOR.namespace}:${OPERATOR.name}`);
}

const isWrite = ({ verb }: AuditEvent) => WRITE_VERBS.some((one) => one === verb);
const isOwnLease = ({ objectRef }: AuditEvent) => objectRef?.resource === "leases" && objectRef.name === OPERATOR.name;

/** How many requests per cluster there were, by verb and resource. */
function perCluster(events: readonly AuditEvent[]): Record<string, number> {
  const groups = Map.groupBy(events, ({ verb, objectRef }) => {
    const { resource = "", subresource } = objectRef ?? {};
    return `${verb} ${[resource, subresource].filter(Boolean).join("/")}`;
  });
  return Object.fromEntries([...groups].map(([key, group]) => [key, group.length / CLUSTERS.length]));
}

test("a new cluster costs one write for each of its objects, and two more", { timeout: 300_000 }, async () => {
  const { endByte } = await readAudit(plane.folder);
  await startClusters();
  const requests = (await operatorRequests(endByte)).filter((event) => !isOwnLease(event));
  const writes = requests.filter(isWrite);
  const objects = new Set(writes.filter(({ objectRef }) => objectRef?.resource !== "clusterspecs").map(nameOfWritten));
  const extra = (writes.length - objects.size) / CLUSTERS.length;
  expect(objects.size / CLUSTERS.length).toBeGreaterThan(20); // so the count counts
  expect(extra).toBeLessThanOrEqual(2);
  // Secrets are never watched: whether there are any is read once, and again by who needs what is in them.
  const reads = requests.filter(({ verb, objectRef }) => verb === "get" && objectRef !== undefined);
  expect(perCluster(reads)).toEqual({ "get leases": 1, "get secrets": 8 });
});

test("an hour of resyncs writes nothing but the operator's own Lease", { timeout: 300_000 }, async () => {
  const { endByte } = await readAudit(plane.folder);
  const clock = new FakeClock();
  const stop = await startOperator(clock);
  await vi.waitFor(() => expect(new Set(passes).size).toBe(CLUSTERS.length), { timeout: 60_000 });
  await untilQuiet(100);
  const passesAtStart = passes.length;
  for (let minute = 0; minute < 60; minute += 1) {
    await beatNodes();
    await renewLeases();
    clock.advance(MINUTE_MS);
    await untilQuiet(20);
  }
  await stop();

  expect(passes.length - passesAtStart).toBeGreaterThanOrEqual(CLUSTERS.length * RESYNCS_IN_AN_HOUR);
  const byOperator = (await operatorRequests(endByte)).filter(isWrite);
  expect(byOperator.filter(isOwnLease).length).toBeGreaterThan(0); // so the count counts
  expect(byOperator.filter((event) => !isOwnLease(event)).map(describeWrite)).toEqual([]);
});
