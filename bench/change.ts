/**
 * What changes cost: a roll of three members, and the way out of revisions that do not work, under the counting client.
 *
 * RUNS (5) and CASES (all) choose what is measured. Appends to bench/results/change.jsonl.
 */
import { execFileSync } from "node:child_process";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ChangeResult, measureChange, patchSpec } from "../hack/scenario/change.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../hack/scenario/lab.ts";
import { quorateSubject } from "../hack/scenario/subject.ts";

const ROOT = join(import.meta.dirname, "..");
const RUNS = Number(process.env["RUNS"] ?? 5);
const NAMESPACE = "bench-change";
const SUBJECT = quorateSubject(NAMESPACE, "orders");

/** A change for the run with this number, and what takes it back. */
interface Case {
  readonly name: string;
  readonly spec: (run: number) => object;
  readonly undo?: object;
}

const ALL: readonly Case[] = [
  { name: "roll", spec: (run) => ({ parameters: { max_connections: String(110 + run) } }) },
  {
    name: "rollback-bad-image",
    spec: (run) => ({ engine: { image: `localhost/no-such-image:${run}` } }),
    undo: { engine: { image: null } },
  },
  {
    name: "rollback-bad-config",
    spec: (run) => ({ parameters: { shared_preload_libraries: `no_such_library_${run}` } }),
    undo: { parameters: { shared_preload_libraries: null } },
  },
];
const CASES = (process.env["CASES"]?.split(",") ?? ALL.map(({ name }) => name)).map((name) => {
  const found = ALL.find((one) => one.name === name);
  if (found === undefined) throw new Error(`unknown case ${name}; there are ${ALL.map((one) => one.name).join(", ")}`);
  return found;
});

/** Value at a fraction of the sorted figures (nearest rank). */
function percentile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
}

async function record(name: string, results: readonly ChangeResult[]): Promise<void> {
  const sum = (of: (result: ChangeResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const shared = {
    bench: "change",
    case: name,
    subject: "quorate",
    n: results.length,
    lost: sum((result) => result.lost),
    outOfOrder: sum((result) => result.outOfOrder),
    acked: sum((result) => result.acked),
    leaderChanges: sum((result) => result.leaderChanges),
    leaderTouched: results.filter((result) => !result.leaderUntouched).length,
    leastServing: Math.min(...results.map((result) => result.leastServing)),
    commit: execFileSync("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
    date: new Date().toISOString(),
  };
  const figures = [
    { metric: "write_gap_total", unit: "ms", values: results.map((result) => result.totalGapMs) },
    { metric: "duration", unit: "s", values: results.map((result) => result.seconds) },
  ];
  await mkdir(join(ROOT, "bench/results"), { recursive: true });
  for (const { metric, unit, values } of figures) {
    const sorted = values.toSorted((a, b) => a - b);
    const statistics = { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95), max: sorted.at(-1) ?? 0 };
    const line = JSON.stringify({ ...shared, metric, unit, ...statistics });
    await appendFile(join(ROOT, "bench/results/change.jsonl"), `${line}\n`);
    process.stdout.write(`${line}\n`);
  }
}

await lab("up");
await installOperator();
await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
const manifest = await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8");
await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
await patchSpec(NAMESPACE, "orders", { update: { minReadySeconds: 2, progressDeadlineSeconds: 30 } });
for (const { name, spec, undo } of CASES) {
  const results: ChangeResult[] = [];
  for (let run = 1; run <= RUNS; run += 1) {
    const result = await measureChange(SUBJECT, "orders", { name: `${name}-${run}`, spec: spec(run) });
    process.stdout.write(`${name} ${run}/${RUNS}: ${JSON.stringify(result)}\n`);
    results.push(result);
    if (undo !== undefined) await measureChange(SUBJECT, "orders", { name: `${name}-${run}-undone`, spec: undo });
  }
  await record(name, results);
}
await kubectl("delete", "namespace", NAMESPACE);
