import { describe, expect, test } from "vitest";
import { names, running } from "./running.ts";
import type { Simulator } from "./simulator.ts";

describe("a stopped cluster", () => {
  function stopped(members: number): Simulator {
    const world = running(members);
    world.change({ members, stopped: true });
    world.settle();
    return world;
  }

  test.each([1, 2, 3, 5])("of %i has no pod, keeps its volumes, and says so", (members) => {
    const world = stopped(members);
    expect([...world.pods.keys()]).toEqual([]);
    expect([...world.volumes.keys()].toSorted()).toEqual(names(members));
    expect(world.status.conditions?.map((c) => `${c.type} ${c.status} ${c.reason}`)).toEqual([
      "Available False Stopped",
      "Degraded False Stopped",
      "Progressing False Stopped",
      "Ready False Stopped",
    ]);
    expect(world.status.members?.every((member) => member.state === "Stopped")).toBe(true);
    expect(world.plan().steps).toEqual([]);
  });

  test("starts with the member that led last, and nobody else may initialise anything", () => {
    const world = running(3);
    world.operate("to-2", { type: "Switchover", member: "orders-2" });
    world.settle();
    world.change({ members: 3, stopped: true });
    world.settle();
    world.change({ members: 3 });
    world.pass();
    world.move();
    expect([...world.pods.keys()]).toEqual(["orders-2"]);
    world.settle();
    expect(world.status.readyRatio).toBe("3/3");
    expect(world.intent?.bootstrapMember).toBeNull();
  });

  test("starts the others after a while when the member that led last does not come up", () => {
    const world = stopped(3);
    world.broken.add("example/engine:1");
    world.change({ members: 3 });
    world.pass();
    world.move();
    world.broken.clear();
    expect([...world.pods.keys()]).toEqual(["orders-0"]);
    expect(world.status.change).toContain("orders-0 first");
    world.nowMs += 31_000;
    world.settle();
    expect(world.leader).toBe("orders-1");
    expect([...world.pods.keys()].toSorted()).toEqual(names(3));
  });

  test("takes other changes when it is started again", () => {
    const world = stopped(3);
    world.change({ members: 5, stopped: true, engine: { name: "example", version: "2" } });
    world.operate("asked", { type: "Switchover" });
    world.settle();
    expect([...world.pods.keys()]).toEqual([]);
    expect(world.operations.get("asked")?.status).toMatchObject({ phase: "Refused" });
    world.change({ members: 5, engine: { name: "example", version: "2" } });
    world.settle();
    expect(world.status.readyRatio).toBe("5/5");
    expect(new Set([...world.pods.values()].map((pod) => pod.templateHash)).size).toBe(1);
  });

  test("is a planned step while it stops, and none once it has", () => {
    const world = running(3);
    world.change({ members: 3, stopped: true });
    expect(world.plan().planned).toBe("Stop");
    world.settle();
    expect(world.plan().planned).toBeUndefined();
  });
});
