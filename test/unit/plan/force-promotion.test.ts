// A member that shall lead by force: what is known of pods and nodes must bear out what a person states, and what becomes of it.
import { beforeEach, describe, expect, test } from "vitest";
import type { MemberReport } from "../../../src/api/agent-wire.ts";
import type { Observation } from "../../../src/plan/observation.ts";
import { planCluster } from "../../../src/plan/plan-cluster.ts";
import { computeStatus } from "../../../src/status/status.ts";
import { forcedPromotions } from "../../../src/controller/narrator.ts";
import { engine } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

const CONSENT = {
  lostMembers: ["orders-0", "orders-1"],
  epoch: 1,
  acceptedLoss: "orders of the last minute",
  approvedBy: "ada",
  reason: "room B burnt down",
};
let world: Simulator;

beforeEach(() => {
  world = new Simulator({ members: 3 });
  world.settle();
});

function order(consent: Partial<typeof CONSENT> = {}): void {
  const forcePromotion = { ...CONSENT, ...consent };
  world.operate("forced", { type: "ForcePromote", member: "orders-2", forcePromotion });
}

function lose(...members: readonly string[]): void {
  for (const member of members) {
    const pod = world.pods.get(member);
    if (pod === undefined) throw new Error(`there is no pod of ${member}`);
    pod.ready = false;
  }
}

function say(member: string, report: Partial<MemberReport>): void {
  const pod = world.pods.get(member);
  if (pod?.report === undefined) throw new Error(`${member} says nothing`);
  pod.report = { ...pod.report, ...report };
}

/** The last operation's phase and message, after a pass. */
function outcome(): string {
  world.pass();
  const { phase, message } = world.operations.get("forced")?.status ?? {};
  return `${phase ?? ""}: ${message ?? ""}`;
}

describe("is refused", () => {
  test("while somebody leads who is not lost", () => {
    order({ lostMembers: ["orders-1"] });
    expect(outcome()).toMatch(/^Refused: orders-0 leads: a switchover moves the leader and loses nothing/);
  });

  test("while a lost member's pod is ready", () => {
    lose("orders-0");
    order();
    expect(outcome()).toMatch(/^Refused: orders-1 is not lost: its pod orders-1-0 is ready$/);
  });

  test("while the node of a lost member may merely be cut off", () => {
    lose("orders-0", "orders-1");
    world.nodes.set(world.pods.get("orders-1")?.node ?? "", { ready: false, unschedulable: false });
    order();
    expect(outcome()).toMatch(
      /^Refused: orders-1 may still run: node \S+ does not answer.*kubectl taint nodes \S+ node.kubernetes.io\/out-of-service/,
    );
  });

  test("when the member was elected before anything was ordered: nothing was given up for that", () => {
    say("orders-0", { role: "follower" });
    say("orders-2", { role: "leader", epoch: 3 });
    order();
    expect(outcome()).toBe("Refused: orders-2 leads epoch 3");
  });

  test.each(["Consensus", "ActiveActive"] as const)("in topology %s, whoever leads since", (topology) => {
    world = new Simulator({ members: 3, topology });
    world.engine = { ...engine, topologies: [topology] };
    world.settle();
    say("orders-2", { role: "leader", epoch: 3 });
    order();
    expect(outcome()).toMatch(/^Refused: topology \w+ counts its votes itself: .*Recover/);
  });

  test("for members that there are not", () => {
    order({ lostMembers: ["orders-7"] });
    expect(outcome()).toBe("Refused: orders-7 is no member: there are orders-0, orders-1, orders-2");
  });
});

describe("with everything borne out", () => {
  beforeEach(() => {
    lose("orders-0");
    world.nodes.set(world.pods.get("orders-1")?.node ?? "", {
      ready: false,
      unschedulable: false,
      outOfService: true,
    });
    lose("orders-1");
    order();
  });

  test("tells the agents, and lets no write wait for those who are lost", () => {
    expect(outcome()).toMatch(/^Running: orders-2 shall lead as soon as the Lease is vacant/);
    expect(world.intent).toMatchObject({
      forcedPromotion: { id: "op-forced", member: "orders-2", epoch: 1, lost: ["orders-0", "orders-1"] },
      learners: ["orders-0", "orders-1"],
    });
  });

  test("is Done when the member leads, says what was given up by whom, and takes the order back", () => {
    world.pass();
    say("orders-2", { role: "leader", epoch: 3 });
    const seen: Observation = world.observe();
    const plan = planCluster(seen);
    expect(forcedPromotions(seen, plan)).toEqual([
      "orders-2 leads epoch 3 by force, without what only orders-0, orders-1 had. Ordered by ada: room B burnt down. Accepted loss: orders of the last minute",
    ]);
    expect(outcome()).toMatch(/^Done: orders-2 leads epoch 3 by force/);
    world.pass();
    expect(world.intent?.forcedPromotion).toBeUndefined();
    const after = world.observe();
    if (after.cluster === undefined) throw new Error("the cluster is gone");
    const { conditions = [] } = computeStatus(after, after.cluster, planCluster(after), undefined);
    expect(conditions.find(({ type }) => type === "PromotedByForce")).toMatchObject({
      status: "True",
      reason: "LossAccepted",
    });
  });

  test("is refused when somebody else leads in the end", () => {
    world.pass();
    say("orders-1", { role: "leader", epoch: 3 });
    expect(outcome()).toBe("Refused: orders-1 leads epoch 3");
  });
});
