/**
 * Agents by hand: drawn schedules until the time or the seeds are used up; what fails is shortened and printed.
 *
 * node test/sim/agents/run.ts [--seed 1] [--seeds 100] [--minutes M] [--mode Quorum|Async|All] [--kinds Cut,Slow] [--members 5] [--all] [--raw]
 *   --kinds: only these go wrong. --members: so many; drawn without. --all: go on after a failure. --raw: print it as it is, not shortened.
 */
import { parseArgs } from "node:util";
import { describeFault, type Fault } from "../faults.ts";
import { type AgentOutcome, type AgentSchedule, type Draw, drawnAgents, runAgents } from "./world.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "100" },
    minutes: { type: "string", default: "Infinity" },
    all: { type: "boolean", default: false },
    raw: { type: "boolean", default: false },
    mode: { type: "string", default: "Quorum" },
    kinds: { type: "string" },
    members: { type: "string" },
  },
});
const LINES = 80;
const startMs = performance.now();
const startCpu = process.cpuUsage();
const sums = { count: 0, failed: 0, steps: 0, acknowledged: 0, failovers: 0, virtualMs: 0 };

/** Takes faults away for as long as the same promise stays broken. */
async function shortened(schedule: AgentSchedule, outcome: AgentOutcome): Promise<[AgentSchedule, AgentOutcome]> {
  for (const at of schedule.faults.keys()) {
    const shorter = { ...schedule, faults: schedule.faults.toSpliced(at, 1) };
    const tried = await runAgents(shorter);
    if (tried.violation?.oracle === outcome.violation?.oracle) return shortened(shorter, tried);
  }
  return [schedule, outcome];
}

const draw: Draw = {
  mode: values.mode as AgentSchedule["mode"],
  ...(values.kinds === undefined ? {} : { kinds: values.kinds.split(",") }),
  ...(values.members === undefined ? {} : { members: Number(values.members) }),
};
const first = Number(values.seed);
for (let seed = first; seed < first + Number(values.seeds); seed += 1) {
  if (performance.now() - startMs >= Number(values.minutes) * 60_000) break;
  const schedule = drawnAgents(seed, draw);
  const outcome = await runAgents(schedule);
  sums.count += 1;
  sums.steps += outcome.steps;
  sums.acknowledged += outcome.acknowledged;
  sums.failovers += outcome.failovers;
  sums.virtualMs += outcome.virtualMs;
  if (outcome.violation === undefined) continue;
  sums.failed += 1;
  const [shorter, { violation, trace }] = values.raw ? [schedule, outcome] : await shortened(schedule, outcome);
  process.stdout.write(`seed ${seed}, ${shorter.members} members\n`);
  for (const fault of shorter.faults) process.stdout.write(`  ⚡ ${describeFault(fault as Fault)}\n`);
  process.stdout.write(
    `  ✗ ${violation?.oracle ?? ""}: ${violation?.what ?? ""}\n${trace.slice(-LINES).join("\n")}\n\n`,
  );
  if (!values.all) break;
}
const { user, system } = process.cpuUsage(startCpu);
const cpuSeconds = (user + system) / 1e6;
process.stdout.write(
  `${sums.count} schedules, ${sums.failed} failed, ${sums.steps} events, ${sums.acknowledged} rows confirmed, ${sums.failovers} changes of leader, ` +
    `${(sums.virtualMs / 3_600_000).toFixed(1)} virtual hours, ${cpuSeconds.toFixed(1)} s of processor, ${(sums.count / cpuSeconds).toFixed(2)} schedules a second of it\n`,
);
process.exitCode = sums.failed === 0 ? 0 : 1;
