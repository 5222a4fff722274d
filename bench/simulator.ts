/**
 * Every pair of changes, the second begun at each step of the first, in the planner's simulator: how many schedules, and how
 * many did not end as both changes ask. Appends to bench/results/simulator.jsonl.
 *
 * STEPS (8) of the first change, SEEDS (1) for each.
 */
import { execFileSync } from "node:child_process";
import { appendFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runSchedule, schedules } from "../test/unit/plan/pairs.ts";

const ROOT = join(import.meta.dirname, "..");
const startMs = performance.now();
let count = 0;
let violations = 0;
for (const schedule of schedules(Number(process.env["STEPS"] ?? 8), Number(process.env["SEEDS"] ?? 1))) {
  count += 1;
  try {
    runSchedule(schedule);
  } catch (error) {
    violations += 1;
    process.stdout.write(`${JSON.stringify(schedule)}: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
const shared = {
  bench: "simulator",
  case: "pairs",
  subject: "quorate",
  n: count,
  seconds: Math.round((performance.now() - startMs) / 1000),
  commit: execFileSync("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
  date: new Date().toISOString(),
};
await mkdir(join(ROOT, "bench/results"), { recursive: true });
for (const [metric, value] of [
  ["schedules", count],
  ["violations", violations],
] as const) {
  const line = JSON.stringify({ ...shared, metric, unit: "count", value });
  await appendFile(join(ROOT, "bench/results/simulator.jsonl"), `${line}\n`);
  process.stdout.write(`${line}\n`);
}
process.exitCode = violations === 0 ? 0 : 1;
