/**
 * Write gaps of every fault, ours and the peer's, on the same lab in the same run.
 *
 * RUNS (30), CASES (all), SUBJECTS (quorate-fast,quorate-standard,patroni,patroni-tuned) choose what is measured. Appends to
 * bench/results/failover.jsonl; docs/benchmarks.md is made from that.
 */
import { execFileSync } from "node:child_process";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FAULTS, type Fault } from "../hack/scenario/faults.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../hack/scenario/lab.ts";
import { measure, type Measurement } from "../hack/scenario/measure.ts";
import { quorateSubject, type Subject } from "../hack/scenario/subject.ts";
import { patroniSubject } from "./patroni.ts";

const ROOT = join(import.meta.dirname, "..");
const RUNS = Number(process.env["RUNS"] ?? 30);
const DEFAULT_CASES: readonly Fault[] = [
  "engine-kill",
  "container-kill",
  "pod-delete",
  "node-cut",
  "switchover",
  "drain",
];
const CASES = (process.env["CASES"]?.split(",") ?? DEFAULT_CASES).map((name) => {
  const fault = FAULTS.find((one) => one === name);
  if (fault === undefined) throw new Error(`unknown case ${name}; there are ${FAULTS.join(", ")}`);
  return fault;
});
const SUBJECTS = process.env["SUBJECTS"]?.split(",") ?? [
  "quorate-fast",
  "quorate-standard",
  "patroni",
  "patroni-tuned",
];

/** Time in which a fault's gap must show. */
const WATCH_MS: Partial<Record<Fault, number>> = { "node-cut": 40_000 };
const DEFAULT_WATCH_MS = 8_000;
const QUIET_MS = 16_000;

/** Value at a fraction of the sorted figures (nearest rank). */
function percentile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
}

async function record(subject: string, result: Measurement): Promise<void> {
  const sorted = result.gapsMs.toSorted((a, b) => a - b);
  const line = {
    bench: "failover",
    case: result.fault,
    subject,
    metric: "write_gap",
    unit: "ms",
    n: sorted.length,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    max: sorted.at(-1) ?? 0,
    lost: result.lost,
    outOfOrder: result.outOfOrder,
    acked: result.acked,
    unknown: result.unknown,
    commit: execFileSync("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
    date: new Date().toISOString(),
  };
  await mkdir(join(ROOT, "bench/results"), { recursive: true });
  await appendFile(join(ROOT, "bench/results/failover.jsonl"), `${JSON.stringify(line)}\n`);
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function quorate(profile: "Fast" | "Standard"): Promise<{ subject: Subject; remove: () => Promise<void> }> {
  const namespace = `bench-${profile.toLowerCase()}`;
  await kubectl("create", "namespace", namespace).catch(() => undefined);
  const manifest = await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8");
  await apply(
    manifest.replace("namespace: demo", `namespace: ${namespace}`).replace("profile: Fast", `profile: ${profile}`),
  );
  const subject = quorateSubject(namespace, "orders");
  return { subject, remove: async () => void (await kubectl("delete", "namespace", namespace)) };
}

async function subjectOf(name: string): Promise<{ subject: Subject; remove: () => Promise<void> }> {
  switch (name) {
    case "quorate-fast":
      return quorate("Fast");
    case "quorate-standard":
      return quorate("Standard");
    case "patroni":
      return patroniSubject("bench-patroni", { ttl: 30, loopWait: 10, retryTimeout: 10 });
    case "patroni-tuned":
      return patroniSubject("bench-patroni-tuned", { ttl: 20, loopWait: 1, retryTimeout: 3 });
    default:
      throw new Error(`unknown subject ${name}`);
  }
}

await lab("up");
await installOperator();
for (const name of SUBJECTS) {
  const { subject, remove } = await subjectOf(name);
  for (const fault of CASES) {
    const result = await measure(subject, fault, {
      runs: RUNS,
      watchMs: WATCH_MS[fault] ?? DEFAULT_WATCH_MS,
      quietMs: QUIET_MS,
      onRun: (run, description) => void process.stdout.write(`${name} ${fault} ${run}/${RUNS}: ${description}\n`),
    });
    await record(name, result);
  }
  await remove(); // two subjects at once would share two cores
}
