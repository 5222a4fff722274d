import { describe, expect, test } from "vitest";
import { EXPERIMENT_NAMES, type ExperimentName } from "../../../src/chaos/experiments.ts";
import { CHAOS_GUARDS, fractionLeft, type GuardFacts, judgeGuards, mayBegin } from "../../../src/chaos/guards.ts";
import { cluster, facts, look, member, NOW, three } from "./chaos-world.ts";

/** Guards that hold the experiment back. */
function held(name: ExperimentName, more: Partial<GuardFacts> = {}): string[] {
  return judgeGuards(facts(name, more)).flatMap(({ id, result }) => (result === "Pass" || result === "Warn" ? [] : id));
}

const FLEET = { topology: "Stateless" };
const pods = (count: number) =>
  Array.from({ length: count }, (_, at) => member(`front-${at}`, { role: undefined, epoch: 0 }));

test.each(EXPERIMENT_NAMES.filter((name) => name !== "kill-half"))("%s may begin when all is well", (name) => {
  expect(held(name)).toEqual([]);
});

test("half of the members of topology Stateless may go, of others not", () => {
  const fleet = cluster(FLEET, { desiredMembers: 6 });
  expect(held("kill-half", { cluster: fleet, look: look(0, pods(6)) })).toEqual([]);
  expect(held("kill-half")).toContain("fits-topology");
});

/** What must hold an experiment back, the guard that does, and what is different. */
const HELD: readonly (readonly [why: string, guard: string, name: ExperimentName, more: Partial<GuardFacts>])[] = [
  [
    "of a whole that is parted into shards",
    "fits-topology",
    "kill-member",
    { cluster: cluster({ topology: "Sharded" }) },
  ],
  [
    "of members that all write, for the leader",
    "fits-topology",
    "kill-leader",
    { cluster: cluster({ topology: "ActiveActive" }) },
  ],
  ["paused", "in-force", "kill-leader", { cluster: cluster({ paused: true }) }],
  ["stopped", "in-force", "kill-leader", { cluster: cluster({ stopped: true }) }],
  ["not Ready", "ready", "switchover", { look: look(0, three(), { ready: false }) }],
  [
    "a spec that the operator has not taken in",
    "ready",
    "switchover",
    { cluster: cluster({}, { observedGeneration: 2 }) },
  ],
  ["a change under way", "at-rest", "kill-member", { cluster: cluster({}, { change: "Rolling out abc" }) }],
  ["an operation that is open", "at-rest", "kill-member", { openOperations: ["orders-restart"] }],
  [
    "a member that is not ready",
    "all-there",
    "switchover",
    { look: look(0, [...three().slice(0, 2), member("orders-2", { ready: false })]) },
  ],
  [
    "a member that is just leaving",
    "all-there",
    "switchover",
    { look: look(0, [...three(), member("orders-3", { leaving: true })]) },
  ],
  [
    "two members, both of which writes wait for",
    "somebody-to-spare",
    "kill-member",
    { cluster: cluster({ members: 2 }, { desiredMembers: 2 }), look: look(0, three().slice(0, 2)) },
  ],
  [
    "writes that wait for all",
    "somebody-to-spare",
    "kill-member",
    { cluster: cluster({ durability: { mode: "All" } }) },
  ],
  [
    "nobody who leads",
    "target",
    "kill-leader",
    { look: look(0, [member("orders-1"), member("orders-2"), member("orders-3")]) },
  ],
  [
    "a budget that burns",
    "budget-left",
    "kill-leader",
    { cluster: cluster({}, {}, "False"), look: look(0, three(), { objectives: "Missed" }) },
  ],
  [
    "a budget that burns, whatever is said",
    "budget-left",
    "kill-leader",
    { look: look(0, three(), { objectives: "Missed" }), withoutBudget: true },
  ],
  ["a budget of which little is left", "budget-left", "kill-leader", { cluster: cluster({}, { budgetLeft: ">=10%" }) }],
  [
    "no objectives",
    "budget-left",
    "kill-leader",
    { cluster: cluster({ slo: undefined }, { budgetLeft: undefined }), look: look(0, three(), { objectives: "None" }) },
  ],
  [
    "a budget that nobody has measured",
    "budget-left",
    "kill-leader",
    { cluster: cluster({}, { budgetLeft: undefined }, "Unknown"), look: look(0, three(), { objectives: "Unknown" }) },
  ],
  [
    "a budget of seconds",
    "budget-bears-it",
    "kill-leader",
    { cluster: cluster({ slo: { window: "7d", dataPlane: { availabilityPercent: "99.999" } } }) },
  ],
  ["no maintenance window at all", "window-open", "kill-leader", { cluster: cluster({ maintenanceWindows: [] }) }],
  ["a window that is closed", "window-open", "kill-leader", { nowMs: NOW + 7_200_000 }],
  ["a window that closes before the end", "window-open", "kill-leader", { nowMs: Date.parse("2030-01-05T04:58:00Z") }],
  ["another experiment", "alone", "kill-leader", { turn: "eve: kill-leader of carts" }],
  ["a right that is missing", "allowed", "kill-leader", { refusal: 'pods "orders-0-0" is forbidden' }],
];

test.each(HELD)("%s: %s", (_why, guard, name, more) => {
  const findings = judgeGuards(facts(name, more));
  expect(findings.find(({ id }) => id === guard)).toMatchObject({ result: "Fail", fix: expect.stringMatching(/\w/) });
  expect(mayBegin(findings)).toBe(false);
});

test("every guard is seen to hold something back", () => {
  expect(new Set(HELD.map(([, guard]) => guard))).toEqual(new Set(CHAOS_GUARDS.map(({ id }) => id)));
});

describe("what a person may say", () => {
  test("--outside-window, when no window is open", () => {
    expect(held("kill-leader", { cluster: cluster({ maintenanceWindows: [] }), outsideWindow: true })).toEqual([]);
  });

  test("--without-budget, when there is none, or it is not measured", () => {
    const none = cluster({ slo: undefined }, { budgetLeft: undefined });
    const unseen = look(0, three(), { objectives: "None" });
    expect(held("kill-leader", { cluster: none, look: unseen, withoutBudget: true })).toEqual([]);
  });
});

test("a copy that nobody waits for may go: writes go on without it", () => {
  const two = { members: 2, durability: { mode: "Async" } };
  const look2 = look(0, three().slice(0, 2));
  expect(held("kill-leader", { cluster: cluster(two, { desiredMembers: 2 }), look: look2 })).toEqual([]);
});

test("the coarse steps of a budget stand for the least they can mean", () => {
  const steps = ["100%", ">=90%", ">=25%", "<5%", "0%", undefined, "nonsense"];
  expect(steps.map(fractionLeft)).toEqual([1, 0.9, 0.25, 0, 0, undefined, undefined]);
});
