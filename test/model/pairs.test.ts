// Every pair of changes in both orders, with and without stale views. `node bench/simulator.ts` tries every step of the first.
import { expect, test } from "vitest";
import { CHANGES, type ChangeName, runSchedule, type Schedule, schedules } from "../unit/plan/pairs.ts";

const names = Object.keys(CHANGES) as ChangeName[];
/** Steps of the first at which the second begins; QUORATE_PAIR_STEPS asks for more. */
const STEPS = Number(process.env["QUORATE_PAIR_STEPS"] ?? 2);
const all = [...schedules(STEPS, 1)];

test.each(names)("%s, and anything else that begins meanwhile, end as asked", (first) => {
  const found = all.filter((schedule) => schedule.first === first).flatMap(violationOf);
  expect(found).toEqual([]);
});

function violationOf(schedule: Schedule): string[] {
  try {
    runSchedule(schedule);
    return [];
  } catch (error) {
    return [`${JSON.stringify(schedule)}: ${(error as Error).message}`];
  }
}
