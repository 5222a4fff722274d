/**
 * The operator's real program in a simulated world: a seed is a run, every story ends as it was asked, and what was found once stays
 * reproducible by name. `make sim` runs more of it, for longer.
 */
import { describe, expect, test } from "vitest";
import { judgeSchedule } from "./compare.ts";
import type { Fault } from "./faults.ts";
import { runSchedule } from "./run-schedule.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { timelineOf } from "./shrink.ts";

function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  return scenario;
}

async function assertHolds(name: string, seed: number, faults: readonly Fault[] = []): Promise<void> {
  const schedule = { scenario: scenarioOf(name), seed, faults };
  const outcome = await judgeSchedule(schedule);
  if (outcome.violation !== undefined) throw new Error(timelineOf({ schedule, outcome }));
}

test("a seed is a run: the same again, to the last line and millisecond", async () => {
  const faults: Fault[] = [
    { kind: "CrashAfter", actor: "operator", write: 7 },
    { kind: "Skew", actor: "operator", rate: 1.005, aheadMs: 4_000 },
    { kind: "HoldWatch", actor: "operator", of: "Pod", event: 5, forMs: 20_000 },
    { kind: "Cut", a: "leader", b: "others", atMs: 20_000, forMs: 15_000 },
  ];
  const run = () => runSchedule({ scenario: scenarioOf("roll"), seed: 11, faults });
  const [first, second] = [await run(), await run()];
  expect(first.trace.length).toBeGreaterThan(50);
  expect(second.trace).toEqual(first.trace);
  expect(second.steps).toBe(first.steps);
  const other = await runSchedule({ scenario: scenarioOf("roll"), seed: 12, faults });
  expect(other.trace).not.toEqual(first.trace);
});

describe("found by the simulator, and mended", () => {
  test("a cluster that is deleted and made anew at once does not take its predecessor's members for its own", () =>
    assertHolds("delete-and-create-again", 1));

  test("a switchover that nobody needs any more is taken back when its time is over, not at the next resync", () =>
    assertHolds("drain", 4));

  test("a member that leaves is removed only when the leader has heard of it, and so cannot begin to wait for it", () =>
    assertHolds("scale", 1, [
      { kind: "Deaf", atMs: 236_000, forMs: 10_000 },
      { kind: "Crash", actor: "orders-4", atMs: 236_500 },
    ]));

  test("a status that is stored long after it was sent does not take the place of a newer one", () =>
    assertHolds("drain", 264, [{ kind: "Ghost", actor: "operator", write: 1, delayMs: 20_200 }]));

  test("a revision that works is not given up because the watch of pods fell silent: that is judged on a live read", () =>
    assertHolds("roll", 1, [{ kind: "SilenceWatch", actor: "operator", of: "Pod", event: 8 }]));
});
