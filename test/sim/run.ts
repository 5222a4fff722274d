/**
 * The simulator by hand: schedules of every scenario until the time or the seeds are used up; a failing one is shrunk and printed.
 *
 * node test/sim/run.ts [--scenario a,b] [--seed 1] [--seeds N] [--minutes M] [--every CrashAfter,…] [--watch HoldWatch,…] [--faults JSON] [--all] [--raw]
 *   --every: instead of drawing, that fault at every write of the scenario, one schedule each.
 *   --watch: as --every, at every change that the operator is sent.
 *   --faults: exactly these, as JSON ([]: none), with every seed; nothing is compared with runs without faults then.
 *   --all: go on after a failure. --raw: print it as it is, not shrunk.
 */
import { parseArgs } from "node:util";
import { judgeSchedule, referenceOf } from "./compare.ts";
import type { Fault, WatchFault, WriteFault } from "./faults.ts";
import { atEveryEvent, atEveryWrite, randomSchedule } from "./generate.ts";
import { runSchedule, type Schedule } from "./run-schedule.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { shrink, timelineOf } from "./shrink.ts";

const { values } = parseArgs({
  options: {
    scenario: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "100" },
    minutes: { type: "string", default: "Infinity" },
    every: { type: "string", default: "" },
    watch: { type: "string", default: "" },
    all: { type: "boolean", default: false },
    raw: { type: "boolean", default: false },
    faults: { type: "string", default: "" },
  },
});

const PROGRESS_EVERY = 50;
const names = values.scenario.split(",").filter((name) => name !== "");
const scenarios = SCENARIOS.filter(({ name }) => names.length === 0 || names.includes(name));
const limitMs = Number(values.minutes) * 60_000;
const startMs = performance.now();
const startCpu = process.cpuUsage();
let count = 0;
let steps = 0;
let virtualMs = 0;
const failures: string[] = [];

async function* schedules(): AsyncGenerator<Schedule> {
  const first = Number(values.seed);
  const seeds = Array.from({ length: Number(values.seeds) }, (_, at) => first + at);
  if (values.faults !== "") {
    const faults = JSON.parse(values.faults) as readonly Fault[];
    for (const seed of seeds) for (const scenario of scenarios) yield { scenario, seed, faults };
    return;
  }
  if (values.every !== "") {
    const kinds = values.every.split(",") as WriteFault["kind"][];
    for (const scenario of scenarios) yield* atEveryWrite(scenario, await referenceOf(scenario), kinds);
    return;
  }
  if (values.watch !== "") {
    const kinds = values.watch.split(",") as WatchFault["kind"][];
    for (const scenario of scenarios) yield* atEveryEvent(scenario, await referenceOf(scenario), kinds);
    return;
  }
  for (const seed of seeds) {
    const scenario = scenarios[seed % scenarios.length] as Scenario;
    yield randomSchedule(seed, scenario, await referenceOf(scenario));
  }
}

const judge = values.faults === "" ? judgeSchedule : runSchedule;
for await (const schedule of schedules()) {
  if (performance.now() - startMs >= limitMs) break;
  const outcome = await judge(schedule);
  count += 1;
  if (count % PROGRESS_EVERY === 0) process.stdout.write(`${count} schedules, ${failures.length} failed\n`);
  steps += outcome.steps;
  virtualMs += outcome.virtualMs;
  if (outcome.violation === undefined) continue;
  const shrunk = values.raw ? { schedule, outcome } : await shrink(schedule, outcome, judge);
  failures.push(`${schedule.scenario.name} seed ${schedule.seed}: ${outcome.violation.oracle}`);
  process.stdout.write(`${timelineOf(shrunk)}\n\n`);
  if (!values.all) break;
}
const cpu = process.cpuUsage(startCpu);
const cpuSeconds = (cpu.user + cpu.system) / 1e6;
const seconds = (performance.now() - startMs) / 1000;
process.stdout.write(
  `${count} schedules, ${steps} events, ${(virtualMs / 3_600_000).toFixed(1)} virtual hours in ${seconds.toFixed(1)} s ` +
    `(${cpuSeconds.toFixed(1)} s of processor, ${(count / cpuSeconds).toFixed(2)} schedules a second of it), ${failures.length} failed\n`,
);
for (const failure of failures) process.stdout.write(`  ${failure}\n`);
process.exitCode = failures.length === 0 ? 0 : 1;
