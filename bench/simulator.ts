/**
 * Every pair of changes in every topology that knows both, the second begun at each step of the first, in the planner's simulator: how
 * many schedules, how many a second, and how many did not end as both changes ask. Appends to bench/results/simulator.jsonl.
 *
 * STEPS (8) of the first change, SEEDS (1) from SEED (1) on for each; TOPOLOGY: one of them alone; SECONDS after which no other schedule
 * is begun (no limit); JOBS (1) processors at once, each at a seed of its own.
 *
 * A seed that came to its end is recorded at once, and not run again by the same code: what was stopped goes on where it was, and the
 * seeds of one code add up, also over commits that change nothing of it.
 */
import { on } from "node:events";
import { readFile } from "node:fs/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type PairTopology, schedules, TOPOLOGIES } from "../test/unit/plan/pairs.ts";
import { codeDigest } from "./code-digest.ts";
import { type Figure, record, resultsFile } from "./figures.ts";

const TOLD_EVERY = 1_000;
const MOST_NAMED = 10;
/** What the code is that is run: this, and all that it imports. */
const ENTRY = "test/unit/plan/pairs.ts";

/** What is run for every seed. */
interface Plan {
  readonly topologies: readonly PairTopology[];
  readonly steps: number;
  readonly endMs: number;
}

/** How many schedules there were, and what came of them. */
interface Tally {
  readonly count: number;
  readonly looks: number;
  readonly cpuMs: number;
  /** Schedules that did not end as they should, each with the reason. */
  readonly violations: readonly string[];
}

/** What a job says of its seed: what it has come to since it spoke last, and whether that was the last of it. */
interface Progress extends Tally {
  readonly state: "Running" | "Whole" | "CutShort";
}

const NOTHING: Tally = { count: 0, looks: 0, cpuMs: 0, violations: [] };

function sum(a: Tally, b: Tally): Tally {
  const violations = [...a.violations, ...b.violations];
  return { count: a.count + b.count, looks: a.looks + b.looks, cpuMs: a.cpuMs + b.cpuMs, violations };
}

/** Runs all schedules of a seed. */
function run({ topologies, steps, endMs }: Plan, seed: number, tell: (progress: Progress) => void): void {
  let cpu = process.threadCpuUsage();
  let tally = NOTHING;
  const speak = (state: Progress["state"]): void => {
    const { user, system } = process.threadCpuUsage(cpu);
    tell({ ...tally, cpuMs: (user + system) / 1000, state });
    cpu = process.threadCpuUsage();
    tally = NOTHING;
  };
  for (const { schedule, run: runSchedule } of schedules({ topologies, steps, seeds: [seed] })) {
    if (Date.now() >= endMs) return speak("CutShort");
    try {
      tally = { ...tally, count: tally.count + 1, looks: tally.looks + runSchedule().looks };
    } catch (error) {
      const reason = `${JSON.stringify(schedule)}: ${error instanceof Error ? error.message : String(error)}`;
      tally = { ...tally, count: tally.count + 1, violations: [...tally.violations, reason] };
    }
    if (tally.count === TOLD_EVERY) speak("Running");
  }
  speak("Whole");
}

const ABOUT = { bench: "simulator", subject: "quorate" };

function seedCase(seed: number): string {
  return `seed ${seed}`;
}

/** Seeds that this code has run to their end, as it is asked now. */
async function seedsDone(
  { topologies, steps }: Plan,
  seeds: readonly number[],
  code: string,
): Promise<readonly number[]> {
  const text = await readFile(resultsFile(ABOUT.bench), "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  const done = lines
    .map((line) => JSON.parse(line) as Figure & Partial<Plan>)
    .filter((figure) => {
      return figure.code === code && figure.steps === steps && figure.topologies?.join() === topologies.join();
    });
  return seeds.filter((seed) => done.some((figure) => figure.case === seedCase(seed)));
}

async function recordSeed(plan: Plan, seed: number, code: string, tally: Tally): Promise<void> {
  const { count, looks, cpuMs, violations } = tally;
  const { topologies, steps } = plan;
  const about = { ...ABOUT, case: seedCase(seed), metric: "schedules", unit: "count" };
  const named = violations.length === 0 ? {} : { violated: violations.slice(0, MOST_NAMED) };
  const cpuSeconds = Math.round(cpuMs / 1000);
  await record(about, [count], { violations: violations.length, ...named, cpuSeconds, looks, steps, topologies, code });
}

async function recordRun(total: Tally, seconds: number, further: object): Promise<void> {
  const { count, looks, cpuMs, violations } = total;
  const about = { ...ABOUT, case: "pairs" };
  const rate = Number((count / seconds).toFixed(2));
  const all = { seconds: Math.round(seconds), looks, ...further };
  await record({ ...about, metric: "schedules", unit: "count" }, [count], all);
  await record({ ...about, metric: "violations", unit: "count" }, [violations.length]);
  await record({ ...about, metric: "rate", unit: "schedules/s" }, [rate], further);
  const perCpu = { ...about, metric: "rate_per_processor", unit: "schedules/s" };
  await record(perCpu, [Number(((1000 * count) / cpuMs).toFixed(2))]);
}

async function main(): Promise<void> {
  const jobs = Number(process.env["JOBS"] ?? 1);
  const first = Number(process.env["SEED"] ?? 1);
  const only = process.env["TOPOLOGY"];
  const startMs = performance.now();
  const plan: Plan = {
    topologies: TOPOLOGIES.filter((topology) => (only ?? topology) === topology),
    steps: Number(process.env["STEPS"] ?? 8),
    endMs: Date.now() + Number(process.env["SECONDS"] ?? Number.POSITIVE_INFINITY) * 1000,
  };
  const seeds = Array.from({ length: Number(process.env["SEEDS"] ?? 1) }, (_, at) => first + at);
  const code = await codeDigest(ENTRY); // a checkout may move on meanwhile
  const done = await seedsDone(plan, seeds, code);
  if (done.length > 0) process.stdout.write(`${code} has run already: ${done.map(seedCase).join(", ")}\n`);
  const left = seeds.filter((seed) => !done.includes(seed));
  let total = NOTHING;
  const runSeed = async (worker: Worker, seed: number): Promise<void> => {
    let tally = NOTHING;
    worker.postMessage(seed);
    for await (const [progress] of on(worker, "message") as AsyncIterable<readonly [Progress]>) {
      for (const violation of progress.violations) process.stdout.write(`${violation}\n`);
      tally = sum(tally, progress);
      total = sum(total, progress);
      if (progress.state === "Whole") await recordSeed(plan, seed, code, tally);
      if (progress.state !== "Running") return;
    }
  };
  const work = async (): Promise<void> => {
    const worker = new Worker(import.meta.filename, { workerData: plan });
    while (Date.now() < plan.endMs) {
      const seed = left.shift();
      if (seed === undefined) break;
      await runSeed(worker, seed);
    }
    await worker.terminate();
  };
  await Promise.all(Array.from({ length: jobs }, work));
  const seconds = (performance.now() - startMs) / 1000;
  if (total.count > 0) await recordRun(total, seconds, { jobs, firstSeed: first, topologies: plan.topologies });
  process.exitCode = total.violations.length === 0 ? 0 : 1;
}

if (isMainThread) await main();
else
  parentPort?.on("message", (seed: number) => run(workerData as Plan, seed, (said) => parentPort?.postMessage(said)));
