// Every pair of changes in both orders, with and without stale views, in the topologies ActivePassive, Consensus, ActiveActive and
// Sharded, which share the time. Once each from its own beginning, at a step of the first that is drawn for it; and at each of the first
// steps, with what schedules have in common run once.
// QUORATE_PAIR_STEPS=n tries each of the first n steps, QUORATE_PAIR_SEED=n shares the pairs out anew; `make bench-simulator` tries
// every pair in every topology.
import { describe, expect, test } from "vitest";
import { INTERLOCKS } from "../../src/plan/interlock.ts";
import {
  CHANGE_NAMES,
  changesIn,
  drawnSchedules,
  rowsIn,
  runSchedule,
  type Schedule,
  schedules,
  sharedSchedules,
  TOPOLOGIES,
} from "../unit/plan/pairs.ts";

const STEPS = Number(process.env["QUORATE_PAIR_STEPS"] ?? 2);
const SEED = Number(process.env["QUORATE_PAIR_SEED"] ?? 1);
const DRAWN_AMONG = 12; // a roll of three members takes about as many
const drawn = [...drawnSchedules(DRAWN_AMONG, SEED)];

test.each(CHANGE_NAMES)("%s, and anything else that begins meanwhile, end as asked", (first) => {
  const found = drawn
    .filter((schedule) => schedule.first === first)
    .flatMap((schedule) => violationOf(schedule, () => runSchedule(schedule)));
  const shared = sharedSchedules({ steps: STEPS, seeds: [SEED], firsts: [first] });
  for (const { schedule, run } of shared) found.push(...violationOf(schedule, run));
  expect(found).toEqual([]);
});

describe.each(TOPOLOGIES)("topology %s", (topology) => {
  test.each(INTERLOCKS.map(({ change }) => change))(
    "knows %s of the interlock table, or says who does that",
    (change) => {
      const names = rowsIn(topology)[change];
      if (typeof names === "string") expect(names).toContain("planner");
      else for (const name of names) expect(changesIn(topology)).toContain(name);
      expect(names).not.toHaveLength(0);
    },
  );
});

test("in four turns every change begins in every topology that knows it", () => {
  const turns = [1, 2, 3, 4].map((seed) =>
    [...sharedSchedules({ steps: 1, seeds: [seed] })].map((run) => run.schedule),
  );
  for (const topology of TOPOLOGIES) {
    const firsts = new Set(turns.flatMap((all) => all.flatMap((one) => (one.topology === topology ? one.first : []))));
    expect([...firsts].toSorted()).toEqual([...changesIn(topology)].toSorted());
  }
});

test.each<[string, Schedule]>([
  [
    "a pod that two planners want gone is deleted once",
    { topology: "ActivePassive", first: "Resize", second: "VolumeGone", at: 3, seed: 1, stale: false },
  ],
  [
    "a change that does not work in one shard can be corrected",
    { topology: "Sharded", first: "BadImageLater", second: "Failover", at: 0, seed: 1, stale: false },
  ],
  [
    "a roll over members that all write comes to its end, with one change of who speaks for them",
    { topology: "ActiveActive", first: "Failover", second: "Rollout", at: 0, seed: 1, stale: false },
  ],
  [
    "nobody leads by force where votes are counted",
    { topology: "Consensus", first: "Rollout", second: "SeldomOperations", at: 0, seed: 1, stale: false },
  ],
  [
    "no member is removed that the leader took into the engine's list a moment ago",
    { topology: "Consensus", first: "ScaleOut", second: "ScaleIn", at: 3, seed: 1, stale: false },
  ],
])("found by it: %s", (_, found) => {
  expect(violationOf(found, () => runSchedule(found))).toEqual([]);
});

test.each(TOPOLOGIES)(
  "a schedule of %s comes out the same whether it shares its beginning with others or not",
  (topology) => {
    let count = 0;
    for (const { schedule, run } of schedules({
      steps: 3,
      seeds: [7],
      topologies: [topology],
      firsts: ["Rollout", "Failover"],
    })) {
      count += 1;
      if (count % 41 !== 0) continue;
      const [shared, alone] = [run(), runSchedule(schedule)];
      expect([schedule, ...shared.trace]).toEqual([schedule, ...alone.trace]);
      expect(shared.status).toEqual(alone.status);
      expect(shared.nowMs).toBe(alone.nowMs);
    }
    expect(count).toBe(3 * 2 * 2 * changesIn(topology).length);
  },
);

function violationOf(schedule: Schedule, run: () => unknown): string[] {
  try {
    run();
    return [];
  } catch (error) {
    return [`${JSON.stringify(schedule)}: ${(error as Error).message}`];
  }
}
