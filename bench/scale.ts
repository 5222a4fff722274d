/**
 * One operator and many clusters: a real control plane, KWOK's nodes, fake agents (bench/scale/members.ts), the real operator.
 *
 * CLUSTERS (200), SUBJECTS (quorate,go), LEASE_RENEWALS_PER_SECOND (0), REST_SECONDS (60) and CHANGES (200) choose what is measured.
 * Appends to bench/results/scale.jsonl. Requests and times between them are the API server's own notes (its audit log).
 */
import { fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { API_VERSION } from "../src/api/names.ts";
import type { KubeClient } from "../src/kube/client.ts";
import type { KubeObject, Stored } from "../src/kube/object.ts";
import { Reflector } from "../src/kube/reflector.ts";
import { type AuditEvent, readAudit, WRITE_VERBS } from "../test/api/audit.ts";
import type { ControlPlane } from "../test/api/harness.ts";
import { record } from "./figures.ts";
import { GO, type Kind, maximumOf, QUORATE, startSubject, type Subject } from "./scale/subject.ts";
import { OPERATOR, OPERATOR_USER, startWorld } from "./scale/world.ts";

const CLUSTERS = Number(process.env["CLUSTERS"] ?? 200);
const CHANGES = Number(process.env["CHANGES"] ?? 200);
const REST_SECONDS = Number(process.env["REST_SECONDS"] ?? 60);
const RENEWALS_PER_SECOND = Number(process.env["LEASE_RENEWALS_PER_SECOND"] ?? 0);
const KINDS: readonly Kind[] = [QUORATE, GO];
const SUBJECTS = process.env["SUBJECTS"]?.split(",") ?? KINDS.map(({ name }) => name);

const MEMBERS = 3;
const CLUSTERS_PER_NAMESPACE = 100;
const CREATORS = 8;
const CHANGE_PAUSE_MS = 50;
const QUIET_MS = 5_000;

interface Cluster extends KubeObject {
  readonly metadata: KubeObject["metadata"] & { readonly namespace: string; readonly name: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const CASE = String(CLUSTERS) + (RENEWALS_PER_SECOND === 0 ? "" : `, ${RENEWALS_PER_SECOND} renewals/s`);

/** Everything one run works with. */
interface Run {
  readonly plane: ControlPlane;
  readonly admin: KubeClient;
  readonly kind: Kind;
  readonly note: (metric: string, unit: string, values: readonly number[], further?: object) => Promise<void>;
}

const namespaceOf = (at: number) => `bench-${Math.floor(at / CLUSTERS_PER_NAMESPACE)}`;
const nameAt = (at: number) => `c${at}`;

function clusterAt(at: number): Cluster & { readonly spec: object } {
  const metadata = { namespace: namespaceOf(at), name: nameAt(at) };
  const spec = { engine: { name: "postgres" }, members: MEMBERS };
  return { apiVersion: API_VERSION, kind: "ClusterSpec", metadata, spec };
}

/** Calls `visit` with 0 … `count`, some at the same time. */
async function forEach(count: number, visit: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const walk = async () => {
    while (next < count) {
      const at = next;
      next += 1;
      await visit(at);
    }
  };
  await Promise.all(Array.from({ length: CREATORS }, walk));
}

/** Counts the clusters that are Ready, until `signal` aborts. */
function watchReady(admin: KubeClient, signal: AbortSignal): { readonly ready: Set<string> } {
  const ready = new Set<string>();
  const seen = ({ metadata, status }: Stored<Cluster>) => {
    const isReady = status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
    ready[isReady ? "add" : "delete"](metadata.name);
  };
  const reflector = new Reflector<Cluster>({
    api: admin,
    selection: { apiVersion: API_VERSION, kind: "ClusterSpec" },
    sink: (event) => {
      if (event.type === "Replaced") event.objects.forEach(seen);
      else if (event.type === "Upserted") seen(event.object);
    },
  });
  void reflector.run(signal);
  return { ready };
}

const isWrite = ({ verb }: AuditEvent) => WRITE_VERBS.some((one) => one === verb);
/** Its election: the Lease, and an event that tells who won. */
const isElection = ({ objectRef }: AuditEvent) =>
  ["leases", "events"].includes(objectRef?.resource ?? "") && objectRef?.namespace === OPERATOR.namespace;
const isByOperator = ({ user }: AuditEvent) => user.username === OPERATOR_USER;

function operatorWrites(events: readonly AuditEvent[]): readonly AuditEvent[] {
  return events.filter((event) => isByOperator(event) && isWrite(event) && !isElection(event));
}

/** Waits until the operator has written nothing but its own election for a while. @returns where the audit log ended then. */
async function untilQuiet(folder: string, from: number): Promise<number> {
  for (let at = from; ; ) {
    await sleep(QUIET_MS);
    const { events, endByte } = await readAudit(folder, at);
    if (operatorWrites(events).length === 0) return endByte;
    at = endByte;
  }
}

async function measureCreation({ plane, admin, note }: Run, subject: Subject): Promise<void> {
  const stop = new AbortController();
  const { ready } = watchReady(admin, stop.signal);
  const startMs = performance.now();
  const before = await subject.usage();
  await forEach(CLUSTERS, (at) => admin.create(clusterAt(at)));
  const createdSeconds = (performance.now() - startMs) / 1000;
  while (ready.size < CLUSTERS) {
    await sleep(100);
    const seconds = Math.round((performance.now() - startMs) / 1000);
    if (process.stdout.isTTY) process.stdout.write(`\r${ready.size}/${CLUSTERS} Ready after ${seconds} s `);
  }
  const seconds = (performance.now() - startMs) / 1000;
  stop.abort();
  await note("ready_seconds", "s", [seconds], { createdSeconds: Math.round(createdSeconds) });
  await untilQuiet(plane.folder, 0);
  const after = await subject.usage();
  const { passes, failures } = await subject.progress();
  const { events } = await readAudit(plane.folder);
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
  await note("create_cpu_seconds", "s", [cpuSeconds]);
  await note("create_passes", "passes", [passes]);
  await note("create_failures", "passes", [failures]);
  await note("create_cpu_per_1000_passes", "s", [(cpuSeconds / passes) * 1000]);
  await note("reconcile_rate", "1/s", [passes / seconds]);
  const loop = maximumOf(await subject.metrics(), "nodejs_eventloop_lag_p99_seconds");
  if (loop !== undefined) await note("event_loop_p99", "ms", [loop * 1000]);
  const requests = countBy(
    events.filter(isByOperator),
    ({ verb, objectRef }) => `${verb} ${objectRef?.resource ?? ""}`,
  );
  await note("create_requests_per_cluster", "requests", [events.filter(isByOperator).length / CLUSTERS], { requests });
  const writes = operatorWrites(events);
  await note("create_writes_per_cluster", "writes", [writes.length / CLUSTERS]);
  const objects = writes.flatMap(({ objectRef: ref }) =>
    ref?.resource === "clusterspecs" ? [] : [`${ref?.resource ?? ""} ${ref?.namespace ?? ""}/${ref?.name ?? ""}`],
  );
  const made = [...new Set(objects)];
  const kinds = countBy(made, (object) => object.split(" ")[0] ?? "");
  await note("create_objects_per_cluster", "objects", [made.length / CLUSTERS], { kinds });
}

async function measureRest({ plane, note }: Run, subject: Subject): Promise<void> {
  const from = (await readAudit(plane.folder)).endByte;
  const before = await subject.usage();
  await sleep(REST_SECONDS * 1000);
  const after = await subject.usage();
  const { events } = await readAudit(plane.folder, from);
  const writes = operatorWrites(events);
  const { heapMib } = await subject.progress();
  const written = countBy(writes, ({ verb, objectRef }) => `${verb} ${objectRef?.resource ?? ""}`);
  await note("writes_at_rest", "writes", [writes.length], { seconds: REST_SECONDS, written });
  await note("cpu_percent_at_rest", "%", [((after.cpuSeconds - before.cpuSeconds) / REST_SECONDS) * 100]);
  await note("rss_mib", "MiB", [after.rssMib]);
  await note("peak_rss_mib", "MiB", [after.peakRssMib]);
  await note("heap_mib", "MiB", [heapMib]);
}

/** Changes one spec after the other and looks up, in the API server's notes, when the operator answered each. */
async function measureChanges({ plane, admin, note }: Run): Promise<void> {
  const from = (await readAudit(plane.folder)).endByte;
  const count = Math.min(CHANGES, CLUSTERS);
  const step = Math.max(1, Math.floor(CLUSTERS / count));
  for (let at = 0; at < count * step; at += step) {
    const { apiVersion, kind, metadata } = clusterAt(at);
    await admin.mergePatch({ apiVersion, kind, ...metadata }, { spec: { failover: { maxLag: `${2 + (at % 7)}Mi` } } });
    await sleep(CHANGE_PAUSE_MS);
  }
  const end = await untilQuiet(plane.folder, from);
  const { events } = await readAudit(plane.folder, from);
  const writes = Map.groupBy(operatorWrites(events), (event) => clusterKeyOf(event));
  const first: number[] = [];
  const status: number[] = [];
  for (const change of events.filter((event) => !isByOperator(event))) {
    const changedMs = toMs(change.stageTimestamp);
    // Watchers hear of a change a moment before the one who made it has the answer, so a quick write may come before that.
    const answers = (writes.get(clusterKeyOf(change)) ?? []).filter(
      (w) => toMs(w.requestReceivedTimestamp) > toMs(change.requestReceivedTimestamp),
    );
    const child = answers.find(({ objectRef }) => objectRef?.subresource !== "status");
    const report = answers.find(({ objectRef }) => objectRef?.subresource === "status");
    if (child !== undefined) first.push(Math.max(0, toMs(child.requestReceivedTimestamp) - changedMs));
    if (report !== undefined) status.push(Math.max(0, toMs(report.stageTimestamp) - changedMs));
  }
  if (first.length < count || status.length < count) {
    throw new Error(
      `of ${count} changes ${first.length} led to a write and ${status.length} to a status (log to ${end})`,
    );
  }
  await note("spec_to_first_write", "ms", first.map(round));
  await note("spec_to_status", "ms", status.map(round));
}

/** Starts it anew beside what exists: until its caches are synced, until it has looked at everything. */
async function measureRestart({ plane, kind, note }: Run): Promise<Subject> {
  const from = (await readAudit(plane.folder)).endByte;
  const startMs = performance.now();
  const subject = await startSubject(plane, kind);
  const syncedSeconds = await subject.untilReady();
  for (;;) {
    const { passes, waiting } = await subject.progress();
    if (passes >= CLUSTERS && waiting === 0) break;
    await sleep(50);
  }
  const quietSeconds = (performance.now() - startMs) / 1000;
  const { cpuSeconds, peakRssMib } = await subject.usage();
  await note("restart_synced_seconds", "s", [syncedSeconds]);
  await note("restart_quiet_seconds", "s", [quietSeconds], { cpuSeconds });
  await note("restart_peak_rss_mib", "MiB", [peakRssMib]);
  await sleep(QUIET_MS);
  const { events } = await readAudit(plane.folder, from);
  await note("restart_writes", "writes", [operatorWrites(events).length]);
  return subject;
}

async function measure(kind: Kind): Promise<void> {
  const plane = await startWorld(CLUSTERS * MEMBERS);
  const admin = await plane.client();
  const members = fork(join(import.meta.dirname, "scale/members.ts"), {
    env: { ...process.env, KUBECONFIG: plane.kubeconfig },
  });
  members.once("exit", (code) => {
    if (code !== null && code !== 0) throw new Error(`the members ended with ${code}`);
  });
  const note: Run["note"] = (metric, unit, values, further) =>
    record({ bench: "scale", case: CASE, subject: kind.name, metric, unit }, values.map(round), further);
  const run: Run = { plane, admin, kind, note };
  let subject = await startSubject(plane, kind);
  try {
    await subject.untilReady();
    for (let at = 0; at < CLUSTERS; at += CLUSTERS_PER_NAMESPACE) {
      await admin.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespaceOf(at) } });
    }
    await measureCreation(run, subject);
    await measureRest(run, subject);
    await measureChanges(run);
    await subject.stop();
    subject = await measureRestart(run);
  } finally {
    await subject.stop();
    members.kill("SIGTERM");
    admin.close();
    await plane.stop();
  }
}

/** The cluster an object belongs to, by the name that its objects start with. */
function clusterKeyOf({ objectRef }: AuditEvent): string {
  return `${objectRef?.namespace ?? ""}/${objectRef?.name?.split("-")[0] ?? ""}`;
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const groups = [...Map.groupBy(items, keyOf)].map(([key, group]) => [key, group.length] as const);
  return Object.fromEntries(groups.toSorted(([, a], [, b]) => b - a));
}

/** Epoch milliseconds of an RFC 3339 time with six digits of a second; Date.parse knows only three of them. */
function toMs(time: string): number {
  const micros = Number(/\.([0-9]{6})Z$/.exec(time)?.[1] ?? 0);
  return Date.parse(`${time.slice(0, 19)}Z`) + micros / 1000;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1)); // children end with us
for (const name of SUBJECTS) {
  const kind = KINDS.find((one) => one.name === name);
  if (kind === undefined)
    throw new Error(`unknown subject ${name}; there are ${KINDS.map((one) => one.name).join(", ")}`);
  await measure(kind);
}
process.exit(0);
