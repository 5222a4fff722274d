/**
 * What one operator needs for many clusters at rest: the real program against a server that has copies of one recorded cluster.
 *
 * CLUSTERS (0,250,500,1000) chooses how many; NODE_FLAGS replaces NODE_OPTIONS of the Deployment, LIMIT_MIB its limit; PAGES=1 takes
 * streamed lists away. Root, for the limit.
 * Prints a line for each; `byCluster` tells who holds the heap, in bytes of each cluster, as far as the first number has fewer.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { PROGRAMS } from "../hack/programs.ts";
import { claimPort } from "../src/conformance/ports.ts";
import { AGENT_IMAGE } from "./heap/copies.ts";
import { type Owners, ownersOf } from "./heap/owners.ts";
import { recording } from "./heap/recording.ts";
import { memoryGroup } from "./scale/memory-group.ts";
import { QUORATE, sumOf } from "./scale/subject.ts";

const CLUSTERS = (process.env["CLUSTERS"] ?? "0,250,500,1000").split(",").map(Number);
const NODE_FLAGS = process.env["NODE_FLAGS"] ?? QUORATE.env["NODE_OPTIONS"] ?? "";
/** The operator as it is shipped, but with its names: owners are found by them. */
const PROGRAM = process.env["PROGRAM"] ?? join(import.meta.dirname, "../dist/named/operator.mjs");
const STIRRED = 1_000;
const STIR_PAUSE_MS = 5;
const QUIET_MS = 4_000;
const REST_MS = 10_000;
const MIB = 2 ** 20;
/** Of the container, unless LIMIT_MIB is another; a snapshot needs as much again, and is taken without a limit. */
const LIMIT_BYTES =
  process.env["LIMIT_MIB"] === undefined ? QUORATE.limitBytes : Number(process.env["LIMIT_MIB"]) * MIB;

interface Operator {
  readonly child: ChildProcess;
  readonly metrics: () => Promise<string>;
  readonly folder: string;
}

/** A process's memory and processor time by now. */
async function usage({ pid = 0 }: ChildProcess): Promise<{ rss: number; peak: number; cpuSeconds: number }> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, "utf8"),
    readFile(`/proc/${pid}/status`, "utf8"),
  ]);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const mib = (name: string) => Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1024);
  return { rss: mib("VmRSS"), peak: mib("VmHWM"), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100 };
}

async function startOperator(server: string, folder: string): Promise<Operator> {
  const kubeconfig = join(folder, "kubeconfig");
  const context = { context: { cluster: "copies", user: "operator", namespace: "quorate-system" }, name: "copies" };
  const config = {
    "current-context": "copies",
    contexts: [context],
    clusters: [{ name: "copies", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "operator", user: { token: "none" } }],
  };
  await writeFile(kubeconfig, JSON.stringify(config));
  const port = await claimPort();
  const memory = await memoryGroup(LIMIT_BYTES, "quorate-bench-heap");
  const inGroup = ["-c", 'echo $$ > "$0" && exec "$@"', memory.procsFile]; // Node sizes its heap by the limit
  const flags = ["--heapsnapshot-signal=SIGUSR2", `--diagnostic-dir=${folder}`];
  const child = spawn("sh", [...inGroup, process.execPath, ...flags, PROGRAM], {
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      ...QUORATE.env,
      NODE_OPTIONS: NODE_FLAGS,
      KUBECONFIG: kubeconfig,
      QUORATE_AGENT_IMAGE: AGENT_IMAGE,
      QUORATE_HEALTH_PORT: String(port),
      QUORATE_LEADER_ELECTION: "off",
      QUORATE_STATUS_ADDRESS: undefined,
      QUORATE_LOG_LEVEL: process.env["LOG"] ?? "error",
    },
  });
  process.once("exit", () => child.kill("SIGKILL"));
  const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return { child, metrics, folder };
}

async function passesOf({ metrics }: Operator): Promise<{ passes: number; waiting: number }> {
  const text = await metrics().catch(() => "");
  return { passes: sumOf(text, QUORATE.passes), waiting: sumOf(text, QUORATE.waiting) };
}

/** Waits until it has looked at all clusters and does nothing more. @returns after how many seconds the last pass was over. */
async function untilQuiet(operator: Operator, clusters: number): Promise<number> {
  const startMs = performance.now();
  let last = { passes: -1, atMs: startMs };
  for (;;) {
    await sleep(200);
    if (operator.child.signalCode !== null) throw new Error(`the operator ended: ${operator.child.signalCode}`);
    const { passes, waiting } = await passesOf(operator);
    const nowMs = performance.now();
    if (passes !== last.passes || passes < clusters || waiting > 0) last = { passes, atMs: nowMs };
    else if (nowMs - last.atMs > QUIET_MS) return (last.atMs - startMs) / 1000;
  }
}

async function stop({ child }: Operator): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the operator ended: ${child.signalCode}`);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exited;
}

/** All that is alive in its heap, by owner. */
async function owners({ child, folder }: Operator): Promise<Owners> {
  await memoryGroup(undefined, "quorate-bench-heap");
  child.kill("SIGUSR2");
  for (let bytes = -1; ; ) {
    await sleep(1_000);
    const name = (await readdir(folder)).find((one) => one.endsWith(".heapsnapshot"));
    const file = name === undefined ? undefined : join(folder, name);
    const size = file === undefined ? 0 : (await readFile(file)).length;
    if (file !== undefined && size > 0 && size === bytes) return ownersOf(file);
    bytes = size;
  }
}

async function measure(clusters: number): Promise<Owners> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-heap-"));
  const server = fork(join(import.meta.dirname, "heap/server.ts"), {
    env: { ...process.env, CLUSTERS: String(clusters) },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  process.once("exit", () => server.kill("SIGKILL"));
  const address = await new Promise<string>((resolve) => {
    server.stdout?.once("data", (text: Buffer) => resolve(text.toString().trim()));
  });
  try {
    const first = await startOperator(address, folder); // writes all that is hashed with other names
    await untilQuiet(first, clusters);
    const made = await usage(first.child);
    await stop(first);
    const before: unknown = await (await fetch(`${address}/writes`)).json();
    const operator = await startOperator(address, folder);
    const quietSeconds = await untilQuiet(operator, clusters);
    const started = await usage(operator.child);
    await sleep(REST_MS);
    const rested = await usage(operator.child);
    const { passes } = await passesOf(operator);
    if (clusters > 0) await fetch(`${address}/stir?count=${STIRRED}&pauseMs=${STIR_PAUSE_MS}`);
    await untilQuiet(operator, clusters);
    const stirred = await usage(operator.child);
    const further = (await passesOf(operator)).passes - passes;
    const held = await owners(operator);
    await stop(operator);
    const after: unknown = await (await fetch(`${address}/writes`)).json();
    const line = {
      clusters,
      heapMib: Math.round((held["total"] ?? 0) / MIB),
      firstRssMib: made.rss,
      firstPeakMib: made.peak,
      startPeakMib: started.peak,
      startCpuSeconds: started.cpuSeconds,
      quietSeconds,
      restRssMib: rested.rss,
      stirredRssMib: stirred.rss,
      peakMib: stirred.peak,
      cpuMsPerPass: ((stirred.cpuSeconds - rested.cpuSeconds) / further) * 1000,
      passes: further,
      isCalm: JSON.stringify(before) === JSON.stringify(after),
    };
    console.log(JSON.stringify(line));
    if (!line.isCalm) console.log(JSON.stringify({ before, after }));
    return held;
  } finally {
    server.kill("SIGTERM");
    await rm(folder, { recursive: true });
  }
}

await recording();
// The server speaks plain HTTP, so its address comes from a kubeconfig, which the shipped operator does not read.
const bundled = { ...PROGRAMS.get("dist/operator.mjs"), outfile: PROGRAM, external: [], minify: false };
if (process.env["PROGRAM"] === undefined) await build(bundled);
let least: { readonly clusters: number; readonly held: Owners } | undefined;
for (const clusters of CLUSTERS) {
  const held = await measure(clusters);
  least ??= { clusters, held };
  const more = clusters - least.clusters;
  if (more === 0) continue;
  const { held: base } = least;
  const slopes = Object.entries(held).map(
    ([owner, bytes]) => [owner, Math.round((bytes - (base[owner] ?? 0)) / more)] as const,
  );
  const told = slopes.filter(([, bytes]) => Math.abs(bytes) >= 20).toSorted(([, a], [, b]) => b - a);
  console.log(JSON.stringify({ clusters, byCluster: Object.fromEntries(told) }));
}
process.exit(0);
