// Every pair of changes in both orders, with and without stale views. Once each from its own beginning, at a step of the first that is
// drawn for it; and at each of the first steps, with what schedules have in common run once.
// QUORATE_PAIR_STEPS=n tries each of the first n steps; `make bench-simulator` goes on for longer.
import { expect, test } from "vitest";
import { CHANGES, type ChangeName, drawnSchedules, runSchedule, type Schedule, schedules } from "../unit/plan/pairs.ts";

const names = Object.keys(CHANGES) as ChangeName[];
const STEPS = Number(process.env["QUORATE_PAIR_STEPS"] ?? 2);
const DRAWN_AMONG = 12; // a roll of three members takes about as many
const drawn = [...drawnSchedules(DRAWN_AMONG)];

test.each(names)("%s, and anything else that begins meanwhile, end as asked", (first) => {
  const found = drawn
    .filter((schedule) => schedule.first === first)
    .flatMap((schedule) => violationOf(schedule, () => runSchedule(schedule)));
  for (const { schedule, run } of schedules(STEPS, [1], [first])) found.push(...violationOf(schedule, run));
  expect(found).toEqual([]);
});

test("found by it: a pod that two planners want gone is deleted once", () => {
  const found: Schedule = { first: "Resize", second: "VolumeGone", at: 3, seed: 1, stale: false };
  expect(violationOf(found, () => runSchedule(found))).toEqual([]);
});

test("a schedule comes out the same whether it shares its beginning with others or not", () => {
  let count = 0;
  for (const { schedule, run } of schedules(3, [7], ["Rollout", "Failover"])) {
    count += 1;
    if (count % 23 !== 0) continue;
    const [shared, alone] = [run(), runSchedule(schedule)];
    expect([schedule, ...shared.trace]).toEqual([schedule, ...alone.trace]);
    expect(shared.status).toEqual(alone.status);
    expect(shared.nowMs).toBe(alone.nowMs);
  }
  expect(count).toBe(3 * 2 * 2 * names.length);
});

function violationOf(schedule: Schedule, run: () => unknown): string[] {
  try {
    run();
    return [];
  } catch (error) {
    return [`${JSON.stringify(schedule)}: ${(error as Error).message}`];
  }
}
