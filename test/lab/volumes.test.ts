/**
 * Volumes that are file systems of their own, and therefore can be full. A database that grows fills them: somebody is called, and
 * what the runbook says to do ends it while clients write. Of volumes that nobody has looked after in time not one byte is left: the
 * leader stops, and larger volumes bring back all that it acknowledged.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KUBECONFIG, KUBECTL, kubectl, lab } from "../../hack/scenario/lab.ts";
import { type Monitoring, startMonitoring } from "../../hack/scenario/monitoring.ts";
import { commandsOf, Terminal } from "../../hack/scenario/runbook.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { nameOf } from "../../src/api/names.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "volumes";
const MINUTE_MS = 60_000;
const STORY_MS = 20 * MINUTE_MS;
/** Two minutes in which the volume has been full, three in which the alert has waited, scrapes, evaluations and its grouping. */
const PAGED_WITHIN_MS = 9 * MINUTE_MS;

/** As little as the file system can be, and a log that leaves room for data in it. */
const SPEC = {
  storage: { data: { size: "640Mi", className: "disk" } },
  parameters: { max_wal_size: "96MB", min_wal_size: "32MB", wal_keep_size: "32MB", max_connections: "50" },
};

/** Ends when there is no room for more. */
const FILL = "cat /dev/zero >> /data/forgotten.log";

let folder: string;
let terminal: Terminal;
let monitoring: Monitoring;

beforeAll(async () => {
  await lab("up");
  await installOperator();
  for (const cluster of ["filled", "stuffed"]) await applyExample({ namespace: NAMESPACE, cluster, spec: SPEC });
  for (const cluster of ["filled", "stuffed"]) await quorateSubject(NAMESPACE, cluster).untilHealthy(480_000);
  folder = await mkdtemp(join(tmpdir(), "quorate-volumes-"));
  terminal = await Terminal.open(folder, KUBECTL[0] ?? "kubectl", KUBECONFIG);
  monitoring = await startMonitoring([]);
}, 900_000);

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await monitoring?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

function within(pod: string, ...command: readonly string[]): Promise<string> {
  return kubectl("-n", NAMESPACE, "exec", pod, "-c", "engine", "--", ...command);
}

async function ask(cluster: string, sql: string): Promise<string> {
  const { pod } = await quorateSubject(NAMESPACE, cluster).leader();
  return within(pod, "psql", "-XqAt", "-h", "/run", "-U", "postgres", "-c", sql);
}

/** How full the volume of a pod's data is, as its own system has it: 0 to 1. */
async function fullness(pod: string): Promise<number> {
  const line = (await within(pod, "df", "--output=used,avail", "-B1", "/data")).trim().split("\n").at(-1) ?? "";
  const [used = 0, free = 0] = line.trim().split(/\s+/).map(Number);
  return used / (used + free);
}

async function leaderFullness(cluster: string): Promise<number> {
  return fullness((await quorateSubject(NAMESPACE, cluster).leader()).pod);
}

/** The pods of a cluster's members. */
function podsOf(cluster: string): string[] {
  return [0, 1, 2].map((ordinal) => nameOf.pod(nameOf.member(cluster, ordinal)));
}

/** Adds rows of a quarter of a MiB each, which cannot be made smaller. */
async function add(cluster: string, rows: number): Promise<void> {
  await ask(
    cluster,
    "create table if not exists ballast (row bytea); alter table ballast alter row set storage external",
  );
  const row = "(select decode(string_agg(md5(random()::text), ''), 'hex') from generate_series(1, 16384))";
  await ask(cluster, `insert into ballast select ${row} from generate_series(1, ${rows})`);
}

/** Adds rows until the leader's volume is so full. */
async function fill(cluster: string, upTo: number): Promise<void> {
  while ((await leaderFullness(cluster)) < upTo) await add(cluster, 20);
}

/** Which container of each member runs: another one after every restart. */
function containersOf(cluster: string): Promise<string[]> {
  const id = "jsonpath={.status.containerStatuses[0].containerID}";
  return Promise.all(podsOf(cluster).map((pod) => kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", id)));
}

/** What each claim has. */
async function sizesOf(cluster: string): Promise<string[]> {
  const path = "jsonpath={.items[*].status.capacity.storage}";
  return (await kubectl("-n", NAMESPACE, "get", "pvc", "-l", `quorate.io/cluster=${cluster}`, "-o", path)).split(" ");
}

async function startWriter(cluster: string): Promise<WriterRun> {
  const { writer } = quorateSubject(NAMESPACE, cluster);
  const run = new WriterRun({ ...writer, name: `writer-${cluster}`, seconds: 0 });
  await run.start();
  return run;
}

/** Whether somebody is paged about the cluster's volumes at the moment. */
async function isPaged(cluster: string): Promise<boolean> {
  return (await monitoring.held()).some(
    (one) =>
      one.name === "QuorateVolumeFull" && one.cluster === cluster && !one.isHidden && one.receivers.includes("pager"),
  );
}

test("QuorateVolumeFull: volumes that a database fills; the last command makes them larger under writes, without a restart", {
  timeout: STORY_MS,
}, async () => {
  const writer = await startWriter("filled");
  const containers = await containersOf("filled");
  for (let isFull = false; !isFull; ) {
    await fill("filled", 0.94);
    await ask("filled", "checkpoint"); // which makes room again
    isFull = (await leaderFullness("filled")) > 0.93;
  }
  await until("a page about full volumes", PAGED_WITHIN_MS, async () => {
    await fill("filled", 0.93);
    await pause(5_000);
    return (await isPaged("filled")) || undefined;
  });
  const commands = await commandsOf("QuorateVolumeFull", NAMESPACE, "filled");
  for (const command of commands) await terminal.paste(command);
  await until("volumes that have grown", 3 * MINUTE_MS, async () =>
    (await sizesOf("filled")).every((size) => size === "20Gi") ? true : undefined,
  );
  for (const pod of podsOf("filled")) expect(await fullness(pod)).toBeLessThan(0.1);
  await until("the end of the page", 3 * MINUTE_MS, async () => {
    await pause(2_000);
    return (await isPaged("filled")) ? undefined : true;
  });
  expect(await containersOf("filled")).toEqual(containers);
  await quorateSubject(NAMESPACE, "filled").untilHealthy(MINUTE_MS);
  const verdict = await writer.finish();
  expectNothingLost(verdict);
  process.stdout.write(`${JSON.stringify({ acked: verdict.acked, largestGapMs: verdict.largestGapMs })}\n`);
});

test("volumes without one byte left: the leader stops; larger ones bring back all that it acknowledged", {
  timeout: STORY_MS,
}, async () => {
  const writer = await startWriter("stuffed");
  await until("writes that have stopped for want of room", 5 * MINUTE_MS, async () => {
    const before = writer.lastTick?.acked;
    // What checkpoints give back is taken again, as by a log that nobody rotates.
    await Promise.all(podsOf("stuffed").map((pod) => within(pod, "sh", "-c", FILL).catch(() => undefined)));
    await pause(10_000);
    return writer.lastTick?.acked === before ? true : undefined;
  });
  const advice = await until("the command that helps", MINUTE_MS, async () => {
    const { blocked = [] } = (await readCluster(NAMESPACE, "stuffed"))?.status ?? {};
    return blocked.find(({ guard }) => guard === "VolumeHasRoom")?.override;
  });
  expect(await terminal.paste(`kubectl quorate why -n ${NAMESPACE} stuffed`)).toContain(advice);
  await terminal.paste(advice);
  await until("volumes that have grown", 5 * MINUTE_MS, async () =>
    (await sizesOf("stuffed")).every((size) => size === "1280Mi") ? true : undefined,
  );
  const stoppedAt = writer.lastTick?.acked ?? 0;
  await until("writes that go on", 5 * MINUTE_MS, async () =>
    (writer.lastTick?.acked ?? 0) > stoppedAt + 100 ? true : undefined,
  );
  await quorateSubject(NAMESPACE, "stuffed").untilHealthy(3 * MINUTE_MS);
  const verdict = await writer.finish();
  expectNothingLost(verdict);
  process.stdout.write(`${JSON.stringify({ acked: verdict.acked, largestGapMs: verdict.largestGapMs })}\n`);
});
