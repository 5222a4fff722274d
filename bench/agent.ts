/**
 * What an agent costs beside its engine: memory and CPU at rest, and how soon after its start the engine starts. Beside it, in the
 * same run, a bare Node with an HTTP server (`node`): the floor of the language.
 *
 * REST_SECONDS (120) is how long rest is watched; RUNS (5) how often each member's container is started anew. Appends to
 * bench/results/agent.jsonl.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { applyExample, removeNamespace } from "../hack/scenario/example.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { kubectl, lab, type PodProcess, podProcesses } from "../hack/scenario/lab.ts";
import { pause, until } from "../hack/scenario/shell.ts";
import { quorateSubject } from "../hack/scenario/subject.ts";
import { nameOf } from "../src/api/names.ts";
import { type About, record } from "./figures.ts";

const REST_SECONDS = Number(process.env["REST_SECONDS"] ?? 120);
const RUNS = Number(process.env["RUNS"] ?? 5);
const NAMESPACE = "bench-agent";
const CLUSTER = "orders";
const MEMBERS = 3;
/** Of starts and times in /proc. */
const TICKS_PER_SECOND = 100;
/** After a start, until what it needed is given back. */
const SETTLE_MS = 30_000;
const UNHEALTHY_AFTER_MS = 180_000;
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);

/** Memory and times of a process. */
interface ProcessCost {
  readonly anonymousMib: number;
  readonly rssMib: number;
  readonly cpuSeconds: number;
  /** Since boot, to a hundredth. */
  readonly startedSeconds: number;
}

async function costOf(pid: number): Promise<ProcessCost> {
  const [status, stat] = await Promise.all(["status", "stat"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8")));
  const mib = (field: string): number => Number(new RegExp(`${field}:\\s+([0-9]+)`).exec(status ?? "")?.[1]) / 1024;
  // proc(5): after the name in brackets comes field 3; 14 and 15 are its own times, 22 its start.
  const fields = (stat ?? "").slice((stat ?? "").lastIndexOf(")") + 2).split(" ");
  const seconds = (field: number): number => Number(fields[field - 3]) / TICKS_PER_SECOND;
  return {
    anonymousMib: mib("RssAnon"),
    rssMib: mib("VmRSS"),
    cpuSeconds: seconds(14) + seconds(15),
    startedSeconds: seconds(22),
  };
}

async function pidOf(pod: string, which: (process: PodProcess) => boolean): Promise<number> {
  const pids = (await podProcesses(NAMESPACE, pod)).filter(which).map(({ pid }) => pid);
  return until(`a process of ${pod}`, 1_000, () => Promise.resolve(pids[0]));
}

/** Bare Node, with an HTTP server that nobody asks, until `end` is called. */
async function bareNode(): Promise<{ readonly pid: number; readonly end: () => void }> {
  const program = "require('node:http').createServer((_, answer) => answer.end()).listen(0, '127.0.0.1')";
  const child = spawn(process.execPath, ["-e", program], { stdio: "ignore" });
  const pid = await until("bare Node", 1_000, () => Promise.resolve(child.pid));
  return { pid, end: () => void child.kill() };
}

function note(about: Omit<About, "bench">, values: readonly number[]): Promise<void> {
  return record({ bench: "agent", ...about }, values);
}

async function measureRest(pods: readonly string[]): Promise<void> {
  const bare = await bareNode();
  const agents = await Promise.all(pods.map((pod) => pidOf(pod, SUBJECT.isAgent)));
  await pause(SETTLE_MS);
  const look = (pids: readonly number[]): Promise<ProcessCost[]> => Promise.all(pids.map(costOf));
  const before = await look([...agents, bare.pid]);
  await pause(REST_SECONDS * 1000);
  const after = await look([...agents, bare.pid]);
  bare.end();
  const cpuPercent = (at: number): number =>
    (100 * ((after[at]?.cpuSeconds ?? 0) - (before[at]?.cpuSeconds ?? 0))) / REST_SECONDS;
  const noteRest = async (subject: string, places: readonly number[]): Promise<void> => {
    const values = (pick: (cost: ProcessCost) => number): number[] =>
      after.filter((_, at) => places.includes(at)).map(pick);
    const anonymous = values((one) => one.anonymousMib);
    await note({ case: "rest", subject, metric: "anonymous_memory", unit: "MiB" }, anonymous);
    const rss = values((one) => one.rssMib);
    await note({ case: "rest", subject, metric: "rss", unit: "MiB" }, rss);
    await note({ case: "rest", subject, metric: "cpu", unit: "% of a core" }, places.map(cpuPercent));
  };
  await noteRest("quorate", [...agents.keys()]);
  await noteRest("node", [agents.length]);
}

/** Starts every member's container anew and takes the time from its agent's start to its engine's. */
async function measureStarts(pods: readonly string[]): Promise<void> {
  const delaysMs: number[] = [];
  for (const pod of Array.from({ length: RUNS }, () => pods).flat()) {
    const old = await pidOf(pod, SUBJECT.isFirstProcess);
    await lab("kill", String(old));
    await until(`another container of ${pod}`, UNHEALTHY_AFTER_MS, async () => {
      const first = await pidOf(pod, SUBJECT.isFirstProcess);
      return first === old ? undefined : true;
    });
    await SUBJECT.untilHealthy(UNHEALTHY_AFTER_MS);
    const [agent, engine] = await Promise.all(
      [SUBJECT.isAgent, SUBJECT.isEngine].map(async (which) => costOf(await pidOf(pod, which))),
    );
    delaysMs.push(Math.round(1000 * ((engine?.startedSeconds ?? 0) - (agent?.startedSeconds ?? 0))));
  }
  await note({ case: "start", subject: "quorate", metric: "agent_to_engine", unit: "ms" }, delaysMs);
}

await lab("up");
await installOperator();
await removeNamespace(NAMESPACE);
await applyExample({ namespace: NAMESPACE, cluster: CLUSTER, members: MEMBERS });
try {
  await SUBJECT.untilHealthy(UNHEALTHY_AFTER_MS);
  const pods = Array.from({ length: MEMBERS }, (_, ordinal) => nameOf.pod(nameOf.member(CLUSTER, ordinal)));
  await kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=60s", ...pods.map((pod) => `pod/${pod}`));
  await measureRest(pods);
  await measureStarts(pods);
} finally {
  await removeNamespace(NAMESPACE);
}
