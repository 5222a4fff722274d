/**
 * Pairs of changes by hand: each of them that is asked for, and the first thing that is not as it must be.
 *
 * node test/unit/plan/run-pairs.ts [--topology Consensus] [--first Rollout] [--second Failover] [--steps 8] [--seed 1] [--seeds 1]
 *   What is left out is any of them.
 */
import { parseArgs } from "node:util";
import { schedules, TOPOLOGIES } from "./pairs.ts";

const { values } = parseArgs({
  options: {
    topology: { type: "string" },
    first: { type: "string" },
    second: { type: "string" },
    steps: { type: "string", default: "8" },
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1" },
    raw: { type: "boolean", default: false }, // as other simulators have it; nothing is shortened here
  },
});
const seeds = Array.from({ length: Number(values.seeds) }, (_, at) => Number(values.seed) + at);
const topologies = TOPOLOGIES.filter((topology) => (values.topology ?? topology) === topology);
const firsts = values.first === undefined ? {} : { firsts: [values.first] };
let count = 0;
try {
  // A cluster that does not even begin as it must ends the run, too.
  for (const { schedule, run } of schedules({ steps: Number(values.steps), seeds, topologies, ...firsts })) {
    if ((values.second ?? schedule.second) !== schedule.second) continue;
    count += 1;
    try {
      run();
    } catch (error) {
      process.stdout.write(`${JSON.stringify(schedule)}\n`);
      throw error;
    }
  }
} catch (error) {
  process.stdout.write(`  ✗ ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
process.stdout.write(`${count} schedules\n`);
