// Every pair of changes in both orders, with and without stale views, at a step of the first that is drawn for it.
// QUORATE_PAIR_STEPS=n tries each of the first n steps, and so does `node bench/simulator.ts`.
import { expect, test } from "vitest";
import { CHANGES, type ChangeName, drawnSchedules, runSchedule, type Schedule, schedules } from "../unit/plan/pairs.ts";

const names = Object.keys(CHANGES) as ChangeName[];
const STEPS = process.env["QUORATE_PAIR_STEPS"];
const DRAWN_AMONG = 12; // a roll of three members takes about as many
const all = [...(STEPS === undefined ? drawnSchedules(DRAWN_AMONG) : schedules(Number(STEPS), 1))];

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
