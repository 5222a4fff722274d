// Drains of single members, and members whose node is gone for good.
import { describe, expect, test } from "vitest";
import { running } from "./running.ts";
import { Simulator } from "./simulator.ts";

const CORDONED = { ready: true, unschedulable: true };
const USABLE = { ready: true, unschedulable: false };

function cordonLeader(world: Simulator): string {
  const node = world.pods.get(world.leader ?? "")?.node ?? "";
  world.nodes.set(node, CORDONED);
  return node;
}

describe("a drain of a single member", () => {
  test("with Surge: a second one takes over, and the first leaves the node", () => {
    const world = running(1, { disruption: { singleMember: "Surge" } });
    const node = cordonLeader(world);
    world.settle();
    expect([...world.pods.keys()]).toEqual(["orders-1"]);
    expect(world.leader).toBe("orders-1");
    expect(world.pods.get("orders-1")?.node).not.toBe(node);
    expect(world.intent?.members.map((m) => m.name)).toEqual(["orders-1"]);
    expect([...world.volumes.keys()].toSorted()).toEqual(["orders-0", "orders-1"]); // kept by default
    expect(world.status.conditions?.find((c) => c.type === "Ready")?.status).toBe("True");
    world.nodes.set(node, USABLE);
    world.settle();
    expect([...world.pods.keys()]).toEqual(["orders-1"]); // one move is enough
  });

  test("with Surge asks the leader to hand over only once commits wait for the second one", () => {
    const lastFirst = (count: number) => count - 1; // the leader answers before it has changed what commits wait for
    const world = new Simulator({ members: 1, disruption: { singleMember: "Surge" } }, lastFirst);
    world.settle();
    cordonLeader(world);
    world.settle();
    expect(world.leader).toBe("orders-1");
    expect(world.refusals).toBe(0);
  });

  test("with Surge, again and again, and to three afterwards", () => {
    const world = running(1, { disruption: { singleMember: "Surge" } });
    for (const expected of ["orders-1", "orders-0", "orders-1"]) {
      const node = cordonLeader(world);
      world.settle();
      expect([...world.pods.keys()]).toEqual([expected]);
      world.nodes.set(node, USABLE);
    }
    world.change({ members: 3 });
    world.settle();
    expect(world.status.readyRatio).toBe("3/3");
  });

  test("with Surge that is taken back in the middle keeps the member that is there", () => {
    const world = running(1, { disruption: { singleMember: "Surge" } });
    const node = cordonLeader(world);
    world.pass();
    expect(world.intent?.members).toHaveLength(2);
    world.nodes.set(node, USABLE);
    world.settle();
    expect([...world.pods.keys()]).toEqual(["orders-0"]);
    expect(world.status.epoch).toBe(1);
  });

  test("with Block is held back, and the printed command lets it pass", () => {
    const world = running(1, { disruption: { singleMember: "Block" } });
    cordonLeader(world);
    world.settle();
    expect(world.status.blocked).toMatchObject([{ guard: "SingleMemberMayGo", object: "orders-0" }]);
    expect(world.status.blocked?.[0]?.override).toContain('{"disruption":{"singleMember":"Allow"}}');
    expect(world.pods.size).toBe(1);
  });

  test("with Allow is left to the eviction", () => {
    const world = running(1);
    cordonLeader(world);
    world.settle();
    expect(world.status.blocked).toBeUndefined();
    expect(world.intent?.members).toHaveLength(1);
  });
});

describe("a member whose node is gone with its volume", () => {
  function bereft(member: string, spec: object, gone: "Deleted" | "OutOfService" | "No" = "Deleted"): Simulator {
    const world = running(3, spec);
    const volume = world.volumes.get(member);
    if (volume === undefined) throw new Error("no volume");
    volume.homes = [{ node: world.pods.get(member)?.node ?? "", gone }];
    world.kill(member);
    const pod = world.pods.get(member);
    if (pod !== undefined) Object.assign(pod, { works: false });
    return world;
  }

  test.each(["Deleted", "OutOfService"] as const)("gets a new volume with Replace when the node is %s", (gone) => {
    const world = bereft("orders-2", { disruption: { deadNode: "Replace" } }, gone);
    const before = world.volumes.get("orders-2")?.uid;
    world.settle();
    expect(world.volumes.get("orders-2")?.uid).not.toBe(before);
    expect(world.status.readyRatio).toBe("3/3");
  });

  test("keeps its volume while the node may only be cut off", () => {
    const world = bereft("orders-2", { disruption: { deadNode: "Replace" } }, "No");
    const before = world.volumes.get("orders-2")?.uid;
    world.settle();
    expect(world.volumes.get("orders-2")?.uid).toBe(before);
  });

  test("waits for a person by default, who may order a Rebuild", () => {
    const world = bereft("orders-2", {});
    const before = world.volumes.get("orders-2")?.uid;
    world.settle();
    expect(world.volumes.get("orders-2")?.uid).toBe(before);
    expect(world.status.blocked?.map((b) => b.guard)).toContain("VolumeReachable");
    world.operate("rebuild", { type: "Rebuild", member: "orders-2" });
    world.settle();
    expect(world.volumes.get("orders-2")?.uid).not.toBe(before);
    expect(world.status.readyRatio).toBe("3/3");
  });

  test("keeps it when no other member has the data", () => {
    const world = running(1, { disruption: { deadNode: "Replace" } });
    const volume = world.volumes.get("orders-0");
    if (volume !== undefined) volume.homes = [{ node: "node-a", gone: "Deleted" }];
    world.kill("orders-0");
    const pod = world.pods.get("orders-0");
    if (pod !== undefined) Object.assign(pod, { works: false });
    world.settle();
    expect(world.volumes.get("orders-0")).toBe(volume);
    expect(world.status.blocked).toMatchObject([{ guard: "VolumeReachable" }]);
  });

  test("is not replaced while the others are no majority", () => {
    const world = bereft("orders-2", { disruption: { deadNode: "Replace" } });
    world.kill("orders-1");
    const pod = world.pods.get("orders-1");
    if (pod !== undefined) Object.assign(pod, { works: false });
    const before = world.volumes.get("orders-2")?.uid;
    world.pass();
    expect(world.volumes.get("orders-2")?.uid).toBe(before);
  });
});
