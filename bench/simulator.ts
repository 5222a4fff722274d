/**
 * Every pair of changes in every topology that knows both, the second begun at each step of the first, in the planner's simulator: how
 * many schedules, how many a second, and how many did not end as both changes ask. Appends to bench/results/simulator.jsonl.
 *
 * STEPS (8) of the first change, SEEDS (1) from SEED (1) on for each; TOPOLOGY: one of them alone; SECONDS after which no other schedule
 * is begun (no limit); JOBS (1) processors at once, each with seeds of its own.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type PairTopology, schedules, TOPOLOGIES } from "../test/unit/plan/pairs.ts";
import { record } from "./figures.ts";

const TOLD_EVERY = 1_000;

/** What one of the jobs is given. */
interface Share {
  readonly topologies: readonly PairTopology[];
  readonly steps: number;
  readonly seeds: readonly number[];
  readonly endMs: number;
}

/** What a job says: what it has come to since it spoke last. */
interface Progress {
  readonly count: number;
  readonly looks: number;
  readonly cpuMs: number;
  /** Schedules that did not end as they should, each with the reason. */
  readonly violations: readonly string[];
}

/** Runs one job's share of the schedules. */
function run({ topologies, steps, seeds, endMs }: Share, tell: (progress: Progress) => void): void {
  let cpu = process.threadCpuUsage();
  let count = 0;
  let looks = 0;
  let violations: string[] = [];
  const speak = (): void => {
    const { user, system } = process.threadCpuUsage(cpu);
    tell({ count, looks, cpuMs: (user + system) / 1000, violations });
    cpu = process.threadCpuUsage();
    count = looks = 0;
    violations = [];
  };
  for (const { schedule, run: runSchedule } of schedules({ topologies, steps, seeds })) {
    if (Date.now() >= endMs) break;
    try {
      looks += runSchedule().looks;
    } catch (error) {
      violations.push(`${JSON.stringify(schedule)}: ${error instanceof Error ? error.message : String(error)}`);
    }
    count += 1;
    if (count === TOLD_EVERY) speak();
  }
  speak();
}

async function main(): Promise<void> {
  const jobs = Number(process.env["JOBS"] ?? 1);
  const steps = Number(process.env["STEPS"] ?? 8);
  const first = Number(process.env["SEED"] ?? 1);
  const only = process.env["TOPOLOGY"];
  const topologies = TOPOLOGIES.filter((topology) => (only ?? topology) === topology);
  const seeds = Array.from({ length: Number(process.env["SEEDS"] ?? 1) }, (_, at) => first + at);
  const startMs = performance.now();
  const endMs = Date.now() + Number(process.env["SECONDS"] ?? Number.POSITIVE_INFINITY) * 1000;
  let count = 0;
  let looks = 0;
  let cpuMs = 0;
  const violations: string[] = [];
  const tell = (progress: Progress): void => {
    count += progress.count;
    looks += progress.looks;
    cpuMs += progress.cpuMs;
    violations.push(...progress.violations);
    for (const violation of progress.violations) process.stdout.write(`${violation}\n`);
    if (count % (20 * TOLD_EVERY) < TOLD_EVERY)
      process.stdout.write(`${count} schedules, ${violations.length} violations\n`);
  };
  const workers = Array.from({ length: jobs }, (_, job) => {
    const share: Share = { topologies, steps, seeds: seeds.filter((_seed, at) => at % jobs === job), endMs };
    const worker = new Worker(import.meta.filename, { workerData: share });
    worker.on("message", tell);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.on("error", reject);
    worker.on("exit", () => resolve());
    return promise;
  });
  await Promise.all(workers);
  const seconds = (performance.now() - startMs) / 1000;
  const about = { bench: "simulator", case: "pairs", subject: "quorate" };
  const further = { seconds: Math.round(seconds), jobs, firstSeed: first, looks, topologies };
  await record({ ...about, metric: "schedules", unit: "count" }, [count], further);
  await record({ ...about, metric: "violations", unit: "count" }, [violations.length]);
  await record({ ...about, metric: "rate", unit: "schedules/s" }, [Number((count / seconds).toFixed(2))], { jobs });
  const perCpu = { ...about, metric: "rate_per_processor", unit: "schedules/s" };
  await record(perCpu, [Number(((1000 * count) / cpuMs).toFixed(2))]);
  process.exitCode = violations.length === 0 ? 0 : 1;
}

if (isMainThread) await main();
else run(workerData as Share, (progress) => parentPort?.postMessage(progress));
