import { describe, expect, test } from "vitest";
import { EXPERIMENTS, promiseOf } from "../../../src/chaos/experiments.ts";
import { EXPECTATIONS, type ExpectationId, judgeExpectations } from "../../../src/chaos/expectations.ts";
import { commandFor, GAME_DAYS } from "../../../src/chaos/game-days.ts";
import type { Look, SeenMember } from "../../../src/chaos/looks.ts";
import { abortOf, isOver, measure, type Round, surprises } from "../../../src/chaos/measure.ts";
import { describeAct, targetOf } from "../../../src/chaos/target.ts";
import { scenarios } from "../../../hack/scenario/runbook.ts";
import { AROUND, cluster, look, member, three } from "./chaos-world.ts";

const SPEC = cluster().spec;
const PROMISE = promiseOf(EXPERIMENTS["kill-leader"], SPEC, 60_000);
const NEW = member("orders-0", { uid: "uid-new", epoch: 2 });
const others = (role: SeenMember["role"], epoch: number) => [
  member("orders-1", { role, epoch }),
  member("orders-2", { epoch }),
];

function round(looks: readonly Look[], more: Partial<Round> = {}): Round {
  return { intent: SPEC, before: look(-100), looks, faultAtMs: 0, taken: ["uid-orders-0"], ...more };
}

/** The leader's pod is leaving at once, gone after a second, its successor leads after two, and all is as before after nine. */
const KILLED = [
  look(250, [member("orders-0", { role: "leader", leaving: true }), ...others("follower", 1)], { ready: false }),
  look(1_000, others("follower", 1), { ready: false }),
  look(2_000, others("leader", 2), { ready: false }),
  look(9_000, [NEW, ...others("leader", 2)]),
  look(12_000, [NEW, ...others("leader", 2)]),
];

describe("a leader that is lost", () => {
  test("is measured: without a leader, not Ready, as before", () => {
    expect(measure(round(KILLED))).toEqual({
      leaderBefore: "orders-0",
      leaderAfter: "orders-1",
      epochBefore: 1,
      epochAfter: 2,
      leaderlessMs: 1_750, // from the look that saw it leave to the one that saw another lead
      unreadyMs: 8_750,
      wholeAfterMs: 9_000,
      fewestReady: 2,
      replaced: ["orders-0"],
    });
  });

  test("is over when all has been as before for three seconds, and not before", () => {
    expect(isOver(round(KILLED.slice(0, 4)))).toBe(false);
    expect(isOver(round(KILLED))).toBe(true);
    expect(isOver(round([look(250), look(9_000)]))).toBe(false); // the cluster has not noticed yet: its pod is still there
  });

  test("counts as no surprise, and one that leads on does", () => {
    expect(surprises(EXPERIMENTS["kill-leader"], round(KILLED))).toEqual([]);
    expect(surprises(EXPERIMENTS["kill-leader"], round([look(5_000)]))[0]).toContain("nobody took over");
    expect(surprises(EXPERIMENTS["kill-member"], round(KILLED))[0]).toContain("the leader was to stay");
  });
});

describe("a round is broken off", () => {
  const empty = [look(100, others("follower", 1)), look(100 + PROMISE.leaderlessMs + 100, others("follower", 1))];
  const whole = round(KILLED);
  test.each<readonly [string, string | undefined, Round]>([
    ["when the cluster says no", "Refused", round([look(500, three(), { refusal: "Refused: not in sync" })])],
    ["when a budget burns that did not", "BudgetBurns", round([look(500, three(), { objectives: "Missed" })])],
    ["when nobody leads for longer than promised", "LeaderlessTooLong", round(empty)],
    [
      "when two lead in one epoch",
      "TwoLeaders",
      round([look(500, [...three(), member("orders-3", { role: "leader" })])]),
    ],
    [
      "when an epoch goes back",
      "EpochWentBack",
      round([look(500, others("leader", 5)), look(900, others("leader", 4))]),
    ],
    ["when it takes too long to be as before", "NotWholeInTime", round([look(61_000, three(), { ready: false })])],
    ["and not while all is as promised", undefined, whole],
    [
      "nor for a budget that burnt before",
      undefined,
      round([look(500, three(), { objectives: "Missed" })], { before: look(-1, three(), { objectives: "Missed" }) }),
    ],
  ])("%s", (_why, reason, one) => {
    expect(abortOf(one, PROMISE)?.reason).toBe(reason);
  });
});

test("what is promised: less when it is planned, more with a slower lease", () => {
  const standard = cluster({ failover: { profile: "Standard" } }).spec;
  const of = (name: keyof typeof EXPERIMENTS, spec = SPEC) => promiseOf(EXPERIMENTS[name], spec, 1).leaderlessMs;
  expect(of("switchover")).toBeLessThan(of("kill-leader"));
  expect(of("kill-leader")).toBe(11_060);
  expect(of("kill-leader", standard)).toBe(23_150);
  expect(of("kill-member")).toBe(1_000);
});

describe("whom it is done to", () => {
  const aim = (name: keyof typeof EXPERIMENTS, wanted?: string, at = look(0)) => {
    const target = targetOf(EXPERIMENTS[name], cluster(), at, { wanted, id: "x", around: AROUND });
    return "problem" in target ? target.problem : target.acts.map(describeAct).join("; ");
  };
  test.each<readonly [keyof typeof EXPERIMENTS, string | undefined, string]>([
    ["kill-leader", undefined, "delete Pod shop/orders-0-0, with 1 s to end"],
    ["kill-leader", "orders-1", "orders-0 leads, not orders-1"],
    ["kill-member", undefined, "delete Pod shop/orders-2-0, with 1 s to end"],
    ["kill-member", "orders-1", "delete Pod shop/orders-1-0, with 1 s to end"],
    ["kill-member", "orders-0", "orders-0 leads: choose another member, or the experiment for the leader"],
    ["kill-member", "orders-9", "ready, and not leading: orders-1, orders-2"],
    ["evict-leader", undefined, "evict Pod orders-0-0"],
    ["switchover", "orders-2", "create a ClusterOperation: Switchover of orders to orders-2"],
    ["delete-lease", undefined, "delete Lease shop/orders"],
    ["delete-route", undefined, "delete EndpointSlice shop/orders-rw"],
    ["kill-operator", undefined, "delete Pod quorate-system/quorate-operator-x, with 1 s to end"],
  ])("%s %s: %s", (name, wanted, said) => {
    expect(aim(name, wanted)).toBe(said);
  });

  test("half of the members leaves the larger half, and names the pods that were seen", () => {
    const five = Array.from({ length: 5 }, (_, at) => member(`front-${at}`, { role: undefined }));
    expect(aim("kill-half", undefined, look(0, five)).split("; ")).toHaveLength(2);
    expect(aim("kill-half", undefined, look(0, five.slice(0, 1)))).toContain("there is no half of them");
    const target = targetOf(EXPERIMENTS["kill-half"], cluster(), look(0, five), { id: "x", around: AROUND });
    expect("acts" in target && target.acts[0]).toMatchObject({ aim: { uid: "uid-front-0" }, graceSeconds: 1 });
  });
});

describe("what game days check", () => {
  const killed = round(KILLED);
  const nothing = round([look(5_000)], { taken: [] });
  const stranger = round([look(5_000, [...three(), member("orders-9")])]);
  const forked = round([look(500, [...three(), member("orders-3", { role: "leader" })])]);
  const astray = round([look(500, [member("orders-0", { role: "leader", epoch: 2 }), member("orders-1")])]);
  const register = { leader: "orders-1", epoch: 2 };
  const told = [{ reason: "LeaderChanged", note: "orders-1 leads now instead of orders-0, epoch 2." }];
  const memory = (after: number) => ({ before: new Map([["orders-0", 200]]), after: new Map([["orders-1", after]]) });
  const cases: readonly (readonly [ExpectationId, "Pass" | "Fail" | "Unknown", object])[] = [
    ["leader-stays", "Pass", { round: nothing }],
    ["leader-stays", "Fail", { round: killed }],
    ["epoch-grew", "Pass", { round: killed }],
    ["epoch-grew", "Fail", { round: nothing }],
    ["one-leader-an-epoch", "Pass", { round: killed }],
    ["one-leader-an-epoch", "Fail", { round: forked }],
    ["others-follow", "Pass", { round: killed }],
    ["others-follow", "Fail", { round: astray }],
    ["register-agrees", "Pass", { round: killed, register }],
    ["register-agrees", "Fail", { round: killed, register: { leader: "orders-0", epoch: 1 } }],
    ["register-agrees", "Unknown", { round: killed, register: undefined }],
    ["change-was-told", "Pass", { round: killed, told }],
    ["change-was-told", "Fail", { round: killed, told: [] }],
    ["change-was-told", "Unknown", { round: killed, told: undefined }],
    ["nobody-came-or-went", "Pass", { round: nothing }],
    ["nobody-came-or-went", "Fail", { round: killed }],
    ["only-the-taken-went", "Pass", { round: killed }],
    ["only-the-taken-went", "Fail", { round: { ...stranger, taken: [] } }],
    ["half-serves", "Pass", { round: killed }],
    ["half-serves", "Fail", { round: round([look(500, [member("orders-1")])]) }],
    ["successor-is-warm", "Pass", { round: killed, memory: memory(150) }],
    ["successor-is-warm", "Fail", { round: killed, memory: memory(20) }],
    ["successor-is-warm", "Unknown", { round: killed, memory: undefined }],
    ["budget-whole", "Pass", { round: killed }],
    ["budget-whole", "Fail", { round: round([look(500, three(), { objectives: "Missed" })]) }],
    ["budget-whole", "Unknown", { round: round([look(500, three(), { objectives: "None" })]) }],
  ];

  test.each(cases)("%s: %s", (id, result, known) => {
    const aftermath = { round: killed, register: undefined, told: undefined, memory: undefined, ...known };
    expect(judgeExpectations([id], aftermath)[0]?.result).toBe(result);
  });

  test("each of them passes and fails somewhere here", () => {
    for (const id of Object.keys(EXPECTATIONS)) {
      const results = cases.filter(([one]) => one === id).map(([, result]) => result);
      expect([id, ...results]).toEqual(expect.arrayContaining(["Pass", "Fail"]));
    }
  });
});

describe("game days", () => {
  test("there is one for each scenario that has a runbook", async () => {
    const pages = (await scenarios()).map((name) => name.replace("scenarios/", ""));
    expect(Object.keys(GAME_DAYS).toSorted()).toEqual(pages.toSorted());
  });

  test.each(Object.values(GAME_DAYS))(
    "$name has only experiments that fit all its topologies",
    ({ topologies, steps }) => {
      const misfits = steps.flatMap(({ experiment }) =>
        topologies.filter((topology) => !EXPERIMENTS[experiment].topologies.includes(topology)),
      );
      expect(misfits).toEqual([]);
      expect(steps.every(({ expects }) => expects.length > 0)).toBe(true);
    },
  );

  test("commands for the windows beside name the cluster", () => {
    expect(commandFor("kubectl quorate -n NAMESPACE status NAME", "shop", "orders")).toBe(
      "kubectl quorate -n shop status orders",
    );
  });
});
