/**
 * Every pair of changes, the second begun at each step of the first, in the planner's simulator: how many schedules, how
 * many a second, and how many did not end as both changes ask. Appends to bench/results/simulator.jsonl.
 *
 * STEPS (8) of the first change, SEEDS (1) for each; SECONDS after which no other schedule is begun (no limit).
 */
import { runSchedule, schedules } from "../test/unit/plan/pairs.ts";
import { record } from "./figures.ts";

const PROGRESS_EVERY = 100;

const limitMs = Number(process.env["SECONDS"] ?? Number.POSITIVE_INFINITY) * 1000;
const startMs = performance.now();
let count = 0;
let violations = 0;
for (const schedule of schedules(Number(process.env["STEPS"] ?? 8), Number(process.env["SEEDS"] ?? 1))) {
  if (performance.now() - startMs >= limitMs) break;
  count += 1;
  try {
    runSchedule(schedule);
  } catch (error) {
    violations += 1;
    process.stdout.write(`${JSON.stringify(schedule)}: ${error instanceof Error ? error.message : String(error)}\n`);
  }
  if (count % PROGRESS_EVERY === 0) process.stdout.write(`${count} schedules, ${violations} violations\n`);
}
const seconds = (performance.now() - startMs) / 1000;
const about = { bench: "simulator", case: "pairs", subject: "quorate" };
await record({ ...about, metric: "schedules", unit: "count" }, [count], { seconds: Math.round(seconds) });
await record({ ...about, metric: "violations", unit: "count" }, [violations]);
await record({ ...about, metric: "rate", unit: "schedules/s" }, [Number((count / seconds).toFixed(2))]);
process.exitCode = violations === 0 ? 0 : 1;
