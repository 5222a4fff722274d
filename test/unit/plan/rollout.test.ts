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

  test("leaves a new leader alone for a moment, in which clients come over, before the old one's pod ends", () => {
    const world = rolling(3, { minReadySeconds: 0 });
    while (world.leader === "orders-0") {
      world.pass();
      world.move();
      world.nowMs += 1_000;
    }
    const report = world.pods.get(world.leader ?? "")?.report;
    if (report !== undefined) Object.assign(report, { leaderSince: new Date(world.nowMs).toISOString() });
    run(world);
    expect(replaced(world)).toEqual(["orders-2", "orders-1"]);
    expect(world.plan().requeueAfterMs).toBeLessThanOrEqual(3_000);
    expect(world.plan().blocked).toEqual([]);
    world.nowMs += 3_000;
    run(world);
    expect(replaced(world)).toEqual(["orders-2", "orders-1", "orders-0"]);
  });

  test("waits for a lot before each step, which differs between clusters and stays the same in one", () => {
    const world = rolling(3, { minReadySeconds: 0, jitterSeconds: 3600 });
    for (const names of [[], ["orders-2"], ["orders-2", "orders-1"], ["orders-2", "orders-1", "orders-0"]]) {
      run(world);
      if (names.includes("orders-0")) world.nowMs += 3_000; // the new leader's clients come over
      run(world);
      expect(replaced(world)).toEqual(names);
      world.nowMs += 1_000;
      run(world);
      expect(replaced(world)).toEqual(names); // one in 3,600 clusters would draw less than a second
      world.nowMs += 3_600_000;
    }
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

/** Lets the world go on for `seconds`, a pass a second. */
function live(world: Simulator, seconds: number): void {
  for (let second = 0; second < seconds; second += 1) {
    world.pass();
    world.move();
    world.nowMs += 1_000;
  }
}

const FAST = { progressDeadlineSeconds: 60 };

describe("a revision that never gets ready", () => {
  function broken(members: number, update: object = {}): Simulator {
    const world = new Simulator({ members, update: { ...FAST, ...update } });
    world.settle();
    world.broken.add("example/engine:2");
    world.trace.length = 0;
    world.change({ members, update: { ...FAST, ...update }, ...VERSION_2 });
    return world;
  }

  test("is left again by itself; the leader was never touched", () => {
    const world = broken(3);
    const uids = new Map([...world.pods].map(([name, pod]) => [name, pod.uid]));
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.pods.get("orders-0")?.uid).toBe(uids.get("orders-0"));
    expect(world.pods.get("orders-1")?.uid).toBe(uids.get("orders-1"));
    expect(world.status.readyRatio).toBe("3/3");
    expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
    expect(world.status.rollout?.failed?.[0]?.reason).toContain("orders-2 was not ready within 60 s: ImagePullBackOff");
    const [block] = world.status.blocked ?? [];
    expect(block).toMatchObject({ guard: "RevisionFailed", object: "orders" });
  });

  test.each([
    { what: "nothing else", happen: () => undefined, failures: 1 },
    {
      what: "a volume that went with its node",
      happen: (world: Simulator) =>
        Object.assign(world.volumes.get("orders-2") ?? {}, { homes: [{ node: "node-c", gone: "Deleted" }] }),
      failures: 0,
    },
    {
      what: "a majority that is gone",
      happen: (world: Simulator) => {
        const report = { ...world.pods.get("orders-1")?.report, role: "none", state: "Blocked", reason: "QuorumLost" };
        Object.assign(world.pods.get("orders-2") ?? {}, { report });
      },
      failures: 0,
    },
  ])("is to blame when there is $what: $failures", ({ happen, failures }) => {
    const world = broken(3);
    live(world, 30);
    happen(world);
    expect(world.status.rollout?.failed ?? []).toEqual([]);
    live(world, 60);
    expect(world.status.rollout?.failed ?? []).toHaveLength(failures);
  });

  test("is not waited for when it crashes again and again", () => {
    const world = broken(3);
    world.trouble = "CrashLoopBackOff: back-off 20s restarting failed container";
    live(world, 20);
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
  });

  test("is not tried again until the spec changes, also when status was lost and by another operator", () => {
    const world = broken(3);
    world.settle();
    const count = replaced(world).length;
    world.status = {};
    world.settle();
    expect(replaced(world)).toHaveLength(count);
    world.change({ members: 3, update: FAST, engine: { name: "example", version: "1" }, parameters: { size: "20" } });
    world.settle();
    expect(replaced(world)).toHaveLength(count + 3);
    expect(world.status.rollout).toMatchObject({ phase: "Complete" });
  });

  test("is tried once more for every override, and not twice for one", () => {
    const world = broken(3);
    world.settle();
    const override = () => world.status.blocked?.find((b) => b.guard === "RevisionFailed")?.override ?? "";
    const annotate = (command: string) => {
      const [, key = "", value = ""] = /(quorate.io\/\S+)=(\S+)/.exec(command) ?? [];
      world.annotations = { [key]: value };
    };
    const first = override();
    annotate(first);
    world.settle();
    expect(replaced(world)).toHaveLength(4);
    expect(override()).not.toBe(first);
    annotate(override());
    world.broken.clear();
    world.settle();
    expect(world.status.rollout).toMatchObject({ phase: "Complete" });
    expect(world.status.blocked).toBeUndefined();
  });

  test("is left also when all members were updated before it failed", () => {
    const world = broken(3);
    world.broken.clear();
    while (replaced(world).length < 3) live(world, 1);
    live(world, 1);
    world.broken.add("example/engine:2");
    const last = world.pods.get("orders-0");
    if (last !== undefined) world.pods.set("orders-0", { ...last, works: false, ready: false, report: undefined });
    world.settle();
    expect(world.status.rollout).toMatchObject({ phase: "RolledBack" });
    expect(world.status.readyRatio).toBe("3/3");
    expect(replaced(world)).toHaveLength(6);
  });

  test("stays where it is with Hold", () => {
    const world = broken(3, { onFailure: "Hold" });
    world.settle();
    expect(replaced(world)).toEqual(["orders-2"]);
    expect(world.status.rollout).toMatchObject({ phase: "Held" });
    expect(world.status.blocked?.map((b) => b.guard)).toContain("RevisionFailed");
  });

  test("began when it began, also when a new version of the operator renders it anew", () => {
    const world = broken(3, { onFailure: "Hold" });
    world.settle();
    world.agentImage = "quorate/agent:2";
    run(world);
    const { rollout } = world.status;
    expect(rollout).toMatchObject({ phase: "Held" });
    world.nowMs += 60_000;
    run(world);
    expect(world.status.rollout).toEqual(rollout);
  });

  test("can be left by hand before its deadline", () => {
    const world = broken(3);
    live(world, 5);
    world.annotations = { "quorate.io/abort-revision": world.status.rollout?.revision ?? "" };
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.status.rollout?.failed?.[0]?.reason).toBe("it was given up by hand");
  });

  test("is not blamed for a node that does not answer", () => {
    const world = broken(3);
    world.broken.clear();
    live(world, 1);
    const pod = world.pods.get("orders-2");
    live(world, 1);
    const node = world.pods.get("orders-2")?.node ?? pod?.node ?? "";
    const member = world.pods.get("orders-2");
    if (member !== undefined) world.pods.set("orders-2", { ...member, works: false, ready: false, report: undefined });
    world.nodes.set(node, { ready: false, unschedulable: false });
    live(world, 200);
    expect(world.status.rollout?.failed).toBeUndefined();
    world.nodes.set(node, { ready: true, readySinceMs: world.nowMs, unschedulable: false });
    live(world, 50);
    expect(world.status.rollout?.failed).toBeUndefined();
    expect(world.status.blocked?.map((b) => b.guard)).toContain("MembersInSync");
  });

  test("is what no new and no lost member gets, while the others run the last good one", () => {
    const world = broken(3);
    world.settle();
    const good = world.pods.get("orders-0")?.templateHash;
    world.children.delete("StatefulSet/orders-1");
    world.pods.delete("orders-1");
    world.change({ members: 4, update: FAST, ...VERSION_2 });
    world.settle();
    expect([...world.pods.values()].map((pod) => pod.templateHash)).toEqual([good, good, good, good]);
    expect(world.status.readyRatio).toBe("4/4");
  });

  test("in a new cluster has nothing to go back to, and says so; another spec is tried at once", () => {
    const world = new Simulator({ members: 3, update: FAST });
    world.broken.add("example/engine:1").add("example/engine:2");
    live(world, 100);
    expect(world.status.rollout?.failed).toBeUndefined();
    world.change({ members: 3, update: FAST, ...VERSION_2 });
    live(world, 200);
    expect(world.status.blocked?.find((b) => b.guard === "RevisionFailed")?.message).toContain("No revision is known");
    world.change({ members: 3, update: FAST, parameters: { size: "20" } });
    world.broken.clear();
    world.settle();
    expect(world.status.readyRatio).toBe("3/3");
    expect(world.status.rollout).toMatchObject({ phase: "Complete" });
  });
});

describe("a canary", () => {
  const CANARY = { strategy: "Canary", minReadySeconds: 0, ...FAST };
  const canary = (members: number, change: object = {}) =>
    rolling(members, { ...CANARY, canary: { members: 1, bakeSeconds: 300, ...change } });

  test("goes on to half and then to all, after the time to bake, the leader in the last step", () => {
    const world = canary(5);
    live(world, 290);
    expect(replaced(world)).toEqual(["orders-4"]);
    expect(world.status.rollout).toMatchObject({ phase: "Baking", step: "1/5", updated: ["orders-4"] });
    live(world, 40);
    expect(replaced(world)).toEqual(["orders-4", "orders-3", "orders-2"]);
    live(world, 270);
    expect(replaced(world)).toHaveLength(3);
    live(world, 100);
    expect(replaced(world)).toEqual(["orders-4", "orders-3", "orders-2", "orders-1", "orders-0"]);
    world.settle();
    expect(world.status.rollout).toMatchObject({ phase: "Complete" });
  });

  test("begins to bake anew when a member of the step went away meanwhile", () => {
    const world = canary(3);
    live(world, 200);
    world.kill("orders-2");
    live(world, 200);
    expect(replaced(world)).toEqual(["orders-2"]);
    live(world, 150);
    expect(replaced(world)).toHaveLength(2);
  });

  test("comes back at its revision when its pod is lost, and the others at theirs", () => {
    const world = canary(3);
    live(world, 100);
    const before = new Map([...world.pods].map(([name, pod]) => [name, pod.templateHash]));
    for (const name of ["orders-1", "orders-2"]) {
      world.pods.delete(name);
      live(world, 10);
    }
    expect(new Map([...world.pods].map(([name, pod]) => [name, pod.templateHash]))).toEqual(before);
  });

  test("waits for a person at every step with Manual, and takes one word for all of them", () => {
    const world = canary(5, { promotion: "Manual", bakeSeconds: 10 });
    live(world, 60);
    expect(replaced(world)).toHaveLength(1);
    const [block] = world.status.blocked ?? [];
    expect(block?.guard).toBe("PromotionGiven");
    const value = /quorate.io\/promote=(\S+)/.exec(block?.override ?? "")?.[1] ?? "";
    expect(value).toMatch(/\.half$/);
    world.annotations = { "quorate.io/promote": value };
    live(world, 60);
    expect(replaced(world)).toHaveLength(3);
    world.annotations = { "quorate.io/promote": value.replace("half", "all") };
    world.settle();
    expect(replaced(world)).toHaveLength(5);
  });

  test("that fails is left, and a word for it does not count for the next revision", () => {
    const world = canary(3, { promotion: "Manual" });
    world.broken.add("example/engine:2");
    world.annotations = { "quorate.io/promote": `${world.plan().rollout?.revision ?? ""}.all` };
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    world.change({
      members: 3,
      update: { ...CANARY, canary: { bakeSeconds: 10, promotion: "Manual" } },
      parameters: { size: "9" },
    });
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-2", "orders-2"]);
    expect(world.status.blocked?.map((b) => b.guard)).toEqual(["PromotionGiven"]);
  });

  test("goes on by operations of type Promote, a step for each, and is refused when nothing is tried", () => {
    const world = canary(3, { promotion: "Manual", bakeSeconds: 10 });
    for (const [operation, count] of [
      ["first", 2],
      ["second", 3],
    ] as const) {
      live(world, 40);
      world.operate(operation, { type: "Promote" });
      live(world, 20);
      expect(replaced(world)).toHaveLength(count);
    }
    world.settle();
    world.operate("third", { type: "Promote" });
    world.settle();
    expect([...world.operations.values()].map((o) => o.status.phase)).toEqual(["Done", "Done", "Refused"]);
  });

  test("is given up by an operation of type Abort", () => {
    const world = canary(3);
    live(world, 20);
    world.operate("enough", { type: "Abort" });
    world.settle();
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
    expect(world.status.rollout?.failed?.[0]?.reason).toBe("it was given up by operation enough");
  });

  test("goes back without steps when the spec is taken back", () => {
    const world = canary(3);
    live(world, 10);
    world.change({ members: 3, update: CANARY });
    live(world, 10);
    expect(replaced(world)).toEqual(["orders-2", "orders-2"]);
  });
});
