/**
 * The agents' own program in a simulated world: elections, fences and leases under partitions, stops, crashes and clocks that differ.
 * No row that a client was told of is lost, one member writes at a time, and what was broken serves again. `make sim-agents` runs more.
 */
import { expect, test } from "vitest";
import { type AgentOutcome, drawnAgents, runAgents } from "./world.ts";

test("a seed is a run: the same again, to the last line and millisecond", async () => {
  const schedule = drawnAgents(5);
  const [first, second] = [await runAgents(schedule), await runAgents(schedule)];
  expect(second.trace).toEqual(first.trace);
  expect(second.steps).toBe(first.steps);
  expect(second.virtualMs).toBe(first.virtualMs);
  const other = await runAgents({ ...schedule, seed: 6 });
  expect(other.trace).not.toEqual(first.trace);
});

test.each([
  { mode: "Quorum", seeds: 60 },
  { mode: "Async", seeds: 25 },
  { mode: "All", seeds: 15 },
] as const)("drawn schedules keep every promise in mode $mode", async ({ mode, seeds }) => {
  const broken: object[] = [];
  const outcomes: AgentOutcome[] = [];
  for (let seed = 1; seed <= seeds; seed += 1) {
    const schedule = drawnAgents(seed, { mode });
    const outcome = await runAgents(schedule);
    outcomes.push(outcome);
    const { violation, trace } = outcome;
    if (violation !== undefined) broken.push({ schedule, violation, trace: trace.slice(-40) });
  }
  expect(broken).toEqual([]);
  // It was no quiet time.
  expect(outcomes.filter(({ failovers }) => failovers > 0).length).toBeGreaterThan(seeds / 5);
});
