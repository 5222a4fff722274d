// Planner and world taking turns, in order and in any order: it ends where the user wanted, and safely all the way.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { names, running } from "./running.ts";
import { lottery } from "./pairs.ts";
import { Simulator } from "./simulator.ts";

describe("a new cluster", () => {
  test.each([1, 2, 3, 5])("of %i comes up with one leader and every member in sync", (members) => {
    const world = running(members);
    expect(world.leader).toBe("orders-0");
    expect([...world.pods.keys()].toSorted()).toEqual(names(members));
    expect(world.status).toMatchObject({ readyRatio: `${members}/${members}`, initialized: true, epoch: 1 });
    expect(world.status.conditions?.find((c) => c.type === "Ready")?.status).toBe("True");
    expect(world.intent?.bootstrapMember).toBeNull();
  });

  test("initialises no volume while one of an earlier cluster is among them", () => {
    const former = running(3);
    const world = new Simulator({ members: 3 });
    const kept = former.volumes.get("orders-1");
    if (kept === undefined) throw new Error("no volume");
    const annotations = { ...kept.manifest.metadata.annotations, "quorate.io/cluster-uid": "uid-of-the-former" };
    const manifest = { ...kept.manifest, metadata: { ...kept.manifest.metadata, annotations } };
    world.volumes.set("orders-1", { ...kept, manifest });
    world.children.set("PersistentVolumeClaim/orders-1-data", { uid: kept.uid, version: 1, manifest });
    world.settle();
    expect(world.leader).toBe("orders-1"); // the only one with data; the others cloned from it
    expect(world.status.readyRatio).toBe("3/3");
    expect(world.volumes.get("orders-1")?.manifest.metadata.annotations).toMatchObject({
      "quorate.io/cluster-uid": "uid-of-the-former",
    });
  });
});

describe("scaling", () => {
  test("1 to 3 to 5 to 3 keeps the data and the leader", () => {
    const world = running(1);
    for (const members of [3, 5, 3]) {
      world.change({ members });
      world.settle();
      expect(world.intent?.members.map((m) => m.name).toSorted()).toEqual(names(members));
      expect([...world.pods.keys()].toSorted()).toEqual(names(members));
      expect(world.leader).toBe("orders-0");
    }
    expect([...world.volumes.keys()].toSorted()).toEqual(names(5)); // kept by default
  });

  test("out makes learners of those who are added, until they are in sync once", () => {
    const world = new Simulator({ members: 1 });
    world.settle();
    expect(world.intent?.learners).toEqual([]);
    world.change({ members: 3 });
    const seen = new Set<string>();
    for (let turn = 0; turn < 200; turn += 1) {
      world.pass();
      for (const { name } of world.intent?.members ?? []) {
        const serves = world.pods.get(name)?.report?.state === "Running";
        if (world.intent?.learners.includes(name) === true) seen.add(name);
        else expect(serves).toBe(true);
      }
      world.move();
      world.nowMs += 1_000;
    }
    expect([...seen].toSorted()).toEqual(["orders-1", "orders-2"]);
    expect(world.intent?.learners).toEqual([]);
    world.kill("orders-2"); // it had been in sync: it stays one whose confirmation counts
    world.pass();
    expect(world.intent?.learners).toEqual([]);
  });

  test("in moves the leader off the member that goes", () => {
    const world = running(3);
    world.operate("to-2", { type: "Switchover", member: "orders-2" });
    world.settle();
    expect(world.leader).toBe("orders-2");
    world.change({ members: 1 });
    world.settle();
    expect(world.leader).toBe("orders-0");
    expect([...world.pods.keys()]).toEqual(["orders-0"]);
  });

  test("in waits until commits no longer wait for the member that goes", () => {
    const world = running(3);
    world.change({ members: 2 });
    world.pass();
    expect(world.intent).toMatchObject({ learners: ["orders-2"] });
    expect(world.pods.get("orders-0")?.report?.syncNames).toContain("orders-2");
    world.pass();
    expect(world.intent?.members).toHaveLength(3);
    world.move();
    world.pass();
    expect(world.intent?.members.map((m) => m.name)).toEqual(["orders-0", "orders-1"]);
    world.settle();
    expect([...world.pods.keys()]).toEqual(["orders-0", "orders-1"]);
  });

  test.each([3, 2])("%i to 1 ends with a leader that waits for nobody", (members) => {
    const world = running(members);
    world.operate("to-1", { type: "Switchover", member: "orders-1" });
    world.settle();
    world.change({ members: 1 });
    world.settle();
    expect(world.pods.get("orders-0")?.report).toMatchObject({ role: "leader", syncNames: [] });
    expect([...world.pods.keys()]).toEqual(["orders-0"]);
  });

  test("in from two waits for a member that cannot be told, and is taken back", () => {
    const world = running(2);
    world.kill("orders-1");
    const pod = world.pods.get("orders-1");
    if (pod !== undefined) Object.assign(pod, { works: false });
    world.change({ members: 1 });
    for (let turn = 0; turn < 10; turn += 1) world.pass();
    expect(world.status.blocked).toMatchObject([{ guard: "QuorumKept", object: "orders-1" }]);
    expect(world.intent?.members).toHaveLength(2);
    if (pod !== undefined) Object.assign(pod, { works: true });
    world.change({ members: 2 });
    world.settle();
    expect(world.intent?.learners).toEqual([]);
    expect(world.status.readyRatio).toBe("2/2");
  });

  test("in deletes volumes when asked to", () => {
    const spec = { deletionProtection: false, volumeRetention: { whenScaled: "Delete" } };
    const world = running(3, spec);
    world.change({ members: 1, ...spec });
    world.settle();
    expect([...world.volumes.keys()]).toEqual(["orders-0"]);
  });

  test("in is refused while the rest would be without a majority", () => {
    const world = running(3);
    world.kill("orders-1");
    const broken = world.pods.get("orders-1");
    world.pods.set("orders-1", { ...broken, works: false } as NonNullable<typeof broken>);
    world.change({ members: 2 });
    world.pass();
    expect(world.status.blocked?.map((b) => b.guard)).toEqual(["QuorumKept"]);
    expect(world.intent?.members).toHaveLength(3);
  });

  test("out adds one member at a time", () => {
    const world = running(1);
    world.change({ members: 3 });
    world.pass();
    expect(world.intent?.members.map((m) => m.name)).toEqual(["orders-0", "orders-1"]);
    world.pass();
    expect(world.status.blocked?.map((b) => b.guard)).toEqual(["MembersInSync"]);
    expect(world.intent?.members).toHaveLength(2);
  });
});

describe("a rollout", () => {
  test("takes followers first, the leader last and after a switchover", () => {
    const world = running(3);
    world.trace.length = 0;
    world.change({ members: 3, engine: { name: "example", version: "2" } });
    world.settle();
    const deleted = world.trace.flatMap((line) => /^Delete Pod (\S+):/.exec(line)?.[1] ?? []);
    expect(deleted).toEqual(["orders-2-0", "orders-1-0", "orders-0-0"]);
    expect(world.leader).not.toBe("orders-0");
    expect(new Set([...world.pods.values()].map((pod) => pod.templateHash)).size).toBe(1);
    expect(world.status.conditions?.find((c) => c.type === "Ready")?.status).toBe("True");
  });

  test("hands over once only, also when the leader is not the first member", () => {
    const world = running(3);
    world.operate("to-2", { type: "Switchover", member: "orders-2" });
    world.settle();
    world.trace.length = 0;
    world.change({ members: 3, engine: { name: "example", version: "2" } });
    world.settle();
    const deleted = world.trace.flatMap((line) => /^Delete Pod (\S+):/.exec(line)?.[1] ?? []);
    expect(deleted).toEqual(["orders-1-0", "orders-0-0", "orders-2-0"]);
    expect(world.status.epoch).toBe(3);
  });

  test("stops at the first member that does not come up, and can be taken back", () => {
    const world = running(3);
    world.broken.add("example/engine:2");
    world.change({ members: 3, engine: { name: "example", version: "2" } });
    world.settle();
    expect([...world.pods].filter(([, pod]) => pod.ready).map(([name]) => name)).toEqual(["orders-0", "orders-1"]);
    expect(world.leader).toBe("orders-0");
    expect(world.status.blocked?.[0]).toMatchObject({ guard: "MembersInSync", object: "orders-2" });
    world.change({ members: 3, engine: { name: "example", version: "1" } });
    world.settle();
    expect(world.status.readyRatio).toBe("3/3");
  });

  test("does not start because the operator's version renders pods differently", () => {
    const world = running(3);
    const before = [...world.pods.values()].map((pod) => pod.uid);
    world.agentImage = "quorate/agent:2";
    world.settle();
    expect([...world.pods.values()].map((pod) => pod.uid)).toEqual(before);
    const [block] = world.status.blocked ?? [];
    expect(block?.guard).toBe("TemplateAccepted");
    const hash = /accept-template=(\w+)/.exec(block?.override ?? "")?.[1] ?? "";
    world.annotations = { "quorate.io/accept-template": hash };
    world.settle();
    expect([...world.pods.values()].some((pod) => before.includes(pod.uid))).toBe(false);
    expect(world.status.blocked).toBeUndefined();
  });

  test("never passes over a leader that refuses to hand over", () => {
    const world = running(3);
    world.refusesSwitchover = true;
    world.change({ members: 3, engine: { name: "example", version: "2" } });
    for (let turn = 0; turn < 300; turn += 1) {
      world.pass();
      world.move();
      world.nowMs += 1_000;
    }
    expect(world.leader).toBe("orders-0");
    const [block] = world.status.blocked ?? [];
    expect(block?.guard).toBe("SwitchoverDone");
    expect(Date.parse(block?.nextTry ?? "")).toBeGreaterThan(world.nowMs - 1_000);
    world.refusesSwitchover = false;
    world.settle();
    expect(world.status.blocked).toBeUndefined();
  });

  test("of a single member replaces it", () => {
    const world = running(1);
    world.change({ members: 1, engine: { name: "example", version: "2" } });
    world.settle();
    expect(world.leader).toBe("orders-0");
    expect(world.status.readyRatio).toBe("1/1");
  });
});

describe("a drain", () => {
  test("moves the leader off a cordoned node", () => {
    const world = running(3);
    world.nodes.set(world.pods.get("orders-0")?.node ?? "", { ready: true, unschedulable: true });
    world.settle();
    expect(world.leader).toBe("orders-1");
  });

  test("is left to the eviction when nobody else can lead", () => {
    const world = running(3);
    for (const node of world.nodes.keys()) world.nodes.set(node, { ready: true, unschedulable: true });
    world.settle();
    expect(world.leader).toBe("orders-0");
    expect(world.status.blocked?.map((b) => b.guard)).toEqual(["SwitchoverTarget"]);
  });
});

describe("operations", () => {
  test("run one after the other and end", () => {
    const world = running(3);
    world.operate("first", { type: "Switchover", member: "orders-1" });
    world.nowMs += 1;
    world.operate("second", { type: "Restart", member: "orders-2" });
    world.nowMs += 1;
    world.operate("third", { type: "Rebuild", member: "orders-0" });
    world.settle();
    expect([...world.operations.values()].map((o) => o.status.phase)).toEqual(["Done", "Done", "Done"]);
    expect(world.intent).toMatchObject({ switchover: null, restart: null, rebuild: null });
  });

  test.each([
    ["a member that is none", { type: "Switchover", member: "orders-7" }, "Refused"],
    ["the leader as its own successor", { type: "Switchover", member: "orders-0" }, "Done"],
    ["a rebuild of the leader", { type: "Rebuild", member: "orders-0" }, "Refused"],
  ])("%s is answered at once", (_why, operation, phase) => {
    const world = running(3);
    world.operate("asked", operation);
    world.settle();
    expect(world.operations.get("asked")?.status).toMatchObject({ phase });
  });

  test("that ask a leader who is lost before it answers end once another leads", () => {
    const world = running(3);
    world.operate("to-1", { type: "Switchover", member: "orders-1" });
    world.pass();
    expect(world.intent?.switchover).toMatchObject({ from: "orders-0", to: "orders-1" });
    const lost = world.pods.get("orders-0");
    const next = world.pods.get("orders-2");
    if (lost !== undefined) Object.assign(lost, { ready: false, report: undefined });
    if (next?.report !== undefined) next.report = { ...next.report, role: "leader", epoch: 9 };
    world.pass();
    const { status } = world.operations.get("to-1") ?? {};
    expect(status).toMatchObject({ phase: "Failed", message: "orders-2 leads, not orders-1" });
    world.pass();
    expect(world.intent?.switchover).toBeNull();
  });

  test("end as Failed at their deadline", () => {
    const world = running(3);
    world.operate("late", { type: "Switchover", member: "orders-1", deadlineSeconds: 10 });
    for (const pod of world.pods.values())
      pod.report = { ...pod.report, role: "follower" } as NonNullable<typeof pod.report>;
    world.pass();
    world.nowMs += 11_000;
    world.pass();
    expect(world.operations.get("late")?.status).toMatchObject({ phase: "Failed" });
  });

  test("that no member ever answers hold nothing up after their deadline", () => {
    const world = running(3);
    const silent = world.pods.get("orders-2");
    if (silent !== undefined) Object.assign(silent, { ready: false, report: undefined, works: false });
    world.operate("unheard", { type: "Restart", member: "orders-2", deadlineSeconds: 10 });
    for (let turn = 0; turn < 15; turn += 1) {
      world.pass();
      world.nowMs += 1_000;
    }
    expect(world.operations.get("unheard")?.status).toMatchObject({ phase: "Failed" });
    world.pass();
    expect(world.intent?.restart).toBeNull();
    expect(world.status.change).not.toContain("Request");
  });

  test("give a member whose volume is lost a new one", () => {
    const world = running(3);
    const lost = world.volumes.get("orders-2");
    if (lost !== undefined) lost.phase = "Lost";
    world.kill("orders-2");
    world.pass();
    expect(world.status.blocked?.map((b) => b.guard)).toContain("VolumeUsable");
    world.operate("rebuild", { type: "Rebuild", member: "orders-2" });
    world.settle();
    expect(world.volumes.get("orders-2")?.uid).not.toBe(lost?.uid);
    expect(world.operations.get("rebuild")?.status).toMatchObject({ phase: "Done" });
    expect(world.status.readyRatio).toBe("3/3");
  });
});

describe("deletion", () => {
  test.each([
    ["keeps volumes by default", {}, 3],
    ["keeps them while protected", { volumeRetention: { whenDeleted: "Delete" } }, 3],
    ["takes them along when asked to", { deletionProtection: false, volumeRetention: { whenDeleted: "Delete" } }, 0],
  ])("%s", (_why, spec, left) => {
    const world = running(3, spec);
    world.exists = false;
    for (const name of names(3)) {
      world.children.delete(`StatefulSet/${name}`); // the garbage collector
      world.pods.delete(name);
    }
    world.settle();
    expect(world.volumes.size).toBe(left);
  });

  test("waits for the pods", () => {
    const world = running(3, { deletionProtection: false, volumeRetention: { whenDeleted: "Delete" } });
    world.exists = false;
    expect(world.plan().steps.filter((s) => s.kind === "Delete" && s.object.kind !== "Secret")).toEqual([]);
  });
});

test("paused: agents are told, and nothing else is done", () => {
  const world = running(3);
  world.change({ members: 5, paused: true, engine: { name: "example", version: "2" } });
  world.trace.length = 0;
  world.settle();
  expect(world.trace).toEqual(["Apply ConfigMap orders-intent: it is to be changed"]);
  expect(world.intent).toMatchObject({ paused: true });
  expect(world.intent?.members).toHaveLength(3);
});

describe("in any order", () => {
  const anySpec = fc.record({
    members: fc.integer({ min: 1, max: 5 }),
    version: fc.constantFrom("1", "2"),
    kill: fc.option(fc.integer({ min: 0, max: 4 })),
    cordon: fc.option(fc.integer({ min: 0, max: 4 })),
    switchTo: fc.option(fc.integer({ min: 0, max: 4 })),
    stopped: fc.boolean(),
  });

  test("every sequence of changes ends as wanted, and nothing unsafe is done on the way", () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(anySpec, { minLength: 1, maxLength: 4 }), (seed, changes) => {
        const world = new Simulator({ members: changes[0]?.members ?? 1 }, lottery(seed));
        for (const [at, { members, version, kill, cordon, switchTo, stopped }] of changes.entries()) {
          world.change({ members, stopped, engine: { name: "example", version } });
          for (const node of world.nodes.keys()) world.nodes.set(node, { ready: true, unschedulable: false });
          if (cordon !== null)
            world.nodes.set([...world.nodes.keys()][cordon] ?? "", { ready: true, unschedulable: true });
          for (let turn = 0; turn < 5; turn += 1) {
            world.pass();
            world.move();
            world.nowMs += 1_000;
          }
          if (kill !== null) world.kill(`orders-${kill}`);
          if (switchTo !== null) world.operate(`op-${at}`, { type: "Switchover", member: `orders-${switchTo}` });
        }
        for (const node of world.nodes.keys()) world.nodes.set(node, { ready: true, unschedulable: false });
        const last = changes.at(-1);
        world.change({ members: last?.members, engine: { name: "example", version: last?.version } });
        world.settle(1_500);
        expect([...world.pods.keys()].toSorted()).toEqual(names(last?.members ?? 0));
        expect(world.leader).toBeDefined();
        expect(world.plan().steps).toEqual([]);
        expect([...world.operations.values()].every((o) => o.status.completionTime !== undefined)).toBe(true);
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
