/**
 * The main job, as a person sees it: a real Kubernetes, the operator, a three-member PostgreSQL, a client that writes,
 * three faults, and what they cost. Leaves the cluster up.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pc from "picocolors";
import type { ClusterSpec } from "../../src/api/cluster-spec.ts";
import { renderTree } from "../../src/cli/tree.ts";
import { type Fault, inject } from "../scenario/faults.ts";
import { installOperator } from "../scenario/install.ts";
import { apply, KUBECONFIG, KUBECTL, kubectl, lab } from "../scenario/lab.ts";
import { pause, until } from "../scenario/shell.ts";
import { quorateSubject, readCluster } from "../scenario/subject.ts";
import { type Tick, WriterRun } from "../scenario/writer-run.ts";
import { type Mark, renderStrip, type Slice } from "./strip.ts";

const ROOT = join(import.meta.dirname, "../..");
const TARGET = { namespace: "demo", cluster: "orders" };
const SUBJECT = quorateSubject(TARGET.namespace, TARGET.cluster);
const WRITER_SECONDS = 90;
const SETTLE_MS = 12_000;
const STORY: readonly { fault: Fault; quietMs: number }[] = [
  { fault: "engine-kill", quietMs: SETTLE_MS },
  { fault: "pod-delete", quietMs: SETTLE_MS },
  { fault: "node-cut", quietMs: 20_000 },
];
const palette = { bold: pc.bold, dim: pc.dim, green: pc.green, yellow: pc.yellow, red: pc.red };

function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

function heading(text: string): void {
  say(`\n${pc.bold(pc.cyan(`── ${text} `.padEnd(78, "─")))}`);
}

/** Draws the tree in place on a terminal, and only when it changed elsewhere. */
class LiveTree {
  #lines = 0;
  #last = "";

  draw(cluster: ClusterSpec): void {
    const lines = renderTree(cluster, palette);
    const text = lines.join("\n");
    if (text === this.#last) return;
    if (process.stdout.isTTY && this.#lines > 0) process.stdout.write(`\u001b[${this.#lines}A\u001b[J`);
    say(text);
    this.#lines = lines.length;
    this.#last = text;
  }
}

async function untilReady(timeoutMs: number): Promise<void> {
  const tree = new LiveTree();
  await until(`${TARGET.cluster} to be ready`, timeoutMs, async () => {
    const cluster = await readCluster(TARGET.namespace, TARGET.cluster);
    if (cluster !== undefined) tree.draw(cluster);
    const ready = cluster?.status?.conditions?.find((condition) => condition.type === "Ready");
    return ready?.status === "True" && cluster?.status?.readyMembers === 3 ? true : undefined;
  });
}

async function bringUp(): Promise<void> {
  heading("A real Kubernetes on this machine");
  if (process.env["KUBECONFIG"] === undefined) {
    await new Promise<void>((resolve, reject) => {
      const up = spawn(join(ROOT, "hack/lab/lab"), ["up"], { stdio: "inherit" });
      up.on("close", (code) => (code === 0 ? resolve() : reject(new Error("the lab did not come up"))));
    });
  }
  say(await kubectl("get", "nodes", "-o", "wide"));
  heading("The operator");
  await installOperator();
  say(await kubectl("-n", "quorate-system", "get", "deployment,pod"));
  heading("One ClusterSpec");
  const manifest = await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8");
  say(pc.dim(manifest.trim()));
  await kubectl("create", "namespace", TARGET.namespace).catch(() => undefined); // a second demo finds it there
  await apply(manifest);
  say();
  await untilReady(300_000);
}

/** What one fault cost. */
interface Outcome {
  readonly mark: Mark;
  readonly endMs: number;
}

async function breakThings(): Promise<void> {
  heading("A client writes every 20 ms; we break the leader three times");
  const slices: Slice[] = [];
  const writer = new WriterRun({
    ...SUBJECT.writer,
    name: "writer",
    seconds: WRITER_SECONDS,
    onTick: (tick: Tick) => void slices.push({ atMs: tick.atMs, acked: tick.newly }),
  });
  await writer.start();
  await pause(3000);
  const outcomes: Outcome[] = [];
  for (const { fault, quietMs } of STORY) {
    const injected = await inject(fault, SUBJECT);
    say(`\n${pc.yellow("▼")} ${pc.bold(injected.description)}`);
    await pause(quietMs);
    outcomes.push({ mark: { atMs: injected.atMs, label: injected.description }, endMs: Date.now() });
    await injected.heal();
    await untilReady(120_000);
  }
  say(pc.dim("\nwaiting for the client to end and to read everything back …"));
  const verdict = await writer.verdict();
  heading("What the client saw (one cell is half a second)");
  const marks = outcomes.map((outcome) => outcome.mark);
  for (const line of renderStrip(slices, marks, { cellMs: 500, cellsPerLine: 66, expectedPerCell: 20, palette }))
    say(line);
  heading("What it cost");
  for (const { mark, endMs } of outcomes) {
    const gaps = verdict.gaps.filter((gap) => gap.atMs + gap.ms > mark.atMs && gap.atMs < endMs).map((gap) => gap.ms);
    say(`  ${mark.label.padEnd(44)} largest write gap ${pc.bold(String(Math.max(0, ...gaps)).padStart(6))} ms`);
  }
  const lost = verdict.lost === 0 ? pc.green("0") : pc.red(String(verdict.lost));
  say(
    `\n  attempted ${verdict.attempted} · acknowledged ${verdict.acked} · unknown ${verdict.unknown} · ` +
      `acknowledged and lost ${pc.bold(lost)} · written out of turn ${verdict.outOfOrder}`,
  );
  if (verdict.lost > 0 || verdict.outOfOrder > 0 || verdict.unexpected > 0) process.exitCode = 1;
}

await bringUp();
await breakThings();
heading("Next");
say(`  export KUBECONFIG=${KUBECONFIG}`);
say(
  `  ${KUBECTL[0]} -n ${TARGET.namespace} get qcs,pods     # the cluster is yours now; 'make lab-down' removes everything`,
);
if (process.env["KUBECONFIG"] === undefined) await lab("status").then(say);
