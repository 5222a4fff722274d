// One roll at a time, in the order and with the pauses that were asked for.
import { describe, expect, test } from "vitest";
import { Simulator } from "./simulator.ts";

const VERSION_2 = { engine: { name: "example", version: "2" } };

/** A cluster at rest that was then given version 2. */
function rolling(members: number, update: object = {}): Simulator {
  const world = new Simulator({ members, update });
  world.settle();
  world.trace.length = 0;
  world.change({ members, update, ...VERSION_2 });
  return world;
}

/** Names of the pods deleted so far, in order. */
function replaced(world: Simulator): string[] {
  return world.trace.flatMap((line) => /^Delete Pod (\S+)-0:/.exec(line)?.[1] ?? []);
}

/** Lets everything happen that happens without waiting. */
function run(world: Simulator): void {
  for (let turn = 0; turn < 20; turn += 1) {
    world.pass();
    world.move();
  }
}

describe("a rollout", () => {
  test("takes the followers in the order in which they would be the last to succeed", () => {
    const world = rolling(3);
    const lagging = world.pods.get("orders-1");
    if (lagging?.report !== undefined) lagging.report = { ...lagging.report, lagBucket: "<1Mi" };
    world.settle();
    expect(replaced(world)).toEqual(["orders-1", "orders-2", "orders-0"]);
  });

  test("takes first who cannot succeed at all, because its node is about to go", () => {
    const world = rolling(3);
    world.nodes.set(world.pods.get("orders-1")?.node ?? "", { ready: true, unschedulable: true });
    world.pass();
    expect(replaced(world)).toEqual(["orders-1"]);
  });

  test("waits until the replaced member was ready for minReadySeconds, and says no one is to blame", () => {
    const world = rolling(3, { minReadySeconds: 30 });
    run(world);
    expect(replaced(world)).toEqual(["orders-2"]);
    expect(world.plan().blocked).toEqual([]);
    expect(world.plan().requeueAfterMs).toBeLessThanOrEqual(10_000);
    world.nowMs += 29_000;
    run(world);
    expect(replaced(world)).toEqual(["orders-2"]);
    world.nowMs += 1_000;
    run(world);
    expect(replaced(world)).toEqual(["orders-2", "orders-1"]);
  });

  test("waits for a lot between steps, which differs between clusters and stays the same in one", () => {
    const world = rolling(3, { minReadySeconds: 0, jitterSeconds: 3600 });
    run(world);
    world.nowMs += 1_000;
    run(world);
    expect(replaced(world)).toEqual(["orders-2"]); // one in 3,600 clusters would draw less than a second
    world.nowMs += 3_600_000;
    run(world);
    expect(replaced(world)).toEqual(["orders-2", "orders-1"]);
  });

  test("takes as many as maxUnavailable at once, the leader alone", () => {
    const world = rolling(5, { maxUnavailable: 2 });
    world.pass();
    expect(replaced(world)).toEqual(["orders-4", "orders-3"]);
    world.settle();
    expect(replaced(world)).toEqual(["orders-4", "orders-3", "orders-2", "orders-1", "orders-0"]);
  });

  test("leaves a majority also where a maxUnavailable from before a scale-in would not", () => {
    const world = rolling(3, { maxUnavailable: 2 });
    world.pass();
    expect(replaced(world)).toEqual(["orders-2"]);
  });

  test("takes nobody whose confirmation the leader's commits need", () => {
    const world = rolling(3);
    const leader = world.pods.get("orders-0");
    if (leader?.report !== undefined) leader.report = { ...leader.report, ackCount: 2 };
    world.pass();
    expect(replaced(world)).toEqual([]);
    expect(world.status.blocked?.map((b) => b.guard)).toEqual(["QuorumKept"]);
  });

  test("leaves the members that are held back by hand, the leader among them, and goes on when told", () => {
    const world = rolling(3, { partition: 2 });
    world.settle();
    expect(replaced(world)).toEqual(["orders-2"]);
    const [block] = world.status.blocked ?? [];
    expect(block).toMatchObject({ guard: "PartitionReached", object: "orders" });
    expect(block?.override).toContain("kubectl patch -n shop clusterspec/orders");
    world.change({ members: 3, ...VERSION_2 });
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-1", "orders-0"]);
  });

  test("asks the leader again after its deadline, and with Proceed replaces it all the same", () => {
    const world = rolling(3, { onSwitchoverFailure: "Proceed", switchoverDeadlineSeconds: 20 });
    world.refusesSwitchover = true;
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-1", "orders-0"]);
  });

  test("counts no answer within the deadline as a failed switchover", () => {
    const world = rolling(3, { switchoverDeadlineSeconds: 20 });
    world.mute = true;
    for (let step = 0; step < 3; step += 1) {
      run(world);
      world.nowMs += 15_000;
    }
    expect(world.intent?.switchover?.from).toBe("orders-0");
    world.nowMs += 10_000;
    run(world);
    expect(world.leader).toBe("orders-0");
    expect(world.status.blocked?.[0]).toMatchObject({ guard: "SwitchoverDone" });
    expect(world.status.blocked?.[0]?.message).toContain("no answer within 20 s");
  });
});
