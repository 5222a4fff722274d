import { expect, test } from "vitest";
import { membershipChanges } from "../../../src/controller/membership-changes.ts";
import { Simulator } from "../plan/simulator.ts";

/** What changed since the simulator's last pass. */
function changesOf(simulator: Simulator): object {
  const seen = simulator.observe();
  if (seen.cluster === undefined) throw new Error("the cluster is there");
  return membershipChanges(seen, seen.cluster);
}

test("a cluster that starts joins its members once; a quiet one joins nobody", () => {
  const simulator = new Simulator({ members: 3 });
  const joined: string[] = [];
  for (let turn = 0; turn < 60; turn++) {
    const before = changesOf(simulator) as { joined: string[]; left: string[] };
    joined.push(...before.joined);
    expect(before.left).toEqual([]);
    simulator.pass();
    simulator.move();
  }
  expect(joined.toSorted()).toEqual(["orders-0", "orders-1", "orders-2"]);
});

test("a member that dies leaves, and joins again; a switchover is neither", () => {
  const simulator = new Simulator({ members: 3 });
  simulator.settle();
  simulator.kill("orders-1");
  expect(changesOf(simulator)).toEqual({ joined: [], left: ["orders-1"] });
  simulator.pass();
  expect(changesOf(simulator)).toEqual({ joined: [], left: [] });
  simulator.settle();
  simulator.operate("move", { type: "Switchover" });
  const { leader } = simulator;
  for (let turn = 0; turn < 20; turn++) {
    simulator.pass();
    simulator.move();
    expect(changesOf(simulator)).toEqual({ joined: [], left: [] });
  }
  expect(simulator.leader).not.toBe(leader);
});
