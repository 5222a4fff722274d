import { expect, test } from "vitest";
import { running } from "./running.ts";
import type { Simulator } from "./simulator.ts";
import { requestedBytes } from "./views.ts";

const GIB = 2 ** 30;
const LARGER = { members: 3, storage: { data: { size: "20Gi" } } };

function asked(world: Simulator): string[] {
  return [...world.volumes].filter(([, v]) => requestedBytes(v.manifest) === 20 * GIB).map(([name]) => name);
}

test("volumes grow one after the other, the leader's last, and nothing restarts", () => {
  const world = running(3);
  const before = [...world.pods.values()].map((pod) => pod.uid);
  world.change(LARGER);
  const order: string[] = [];
  for (let turn = 0; turn < 12; turn += 1) {
    world.pass();
    expect([...world.volumes.values()].filter((v) => v.capacityBytes < requestedBytes(v.manifest)).length).toBeLessThan(
      2,
    );
    for (const name of asked(world)) if (!order.includes(name)) order.push(name);
    world.move();
  }
  expect(order).toEqual(["orders-2", "orders-1", "orders-0"]);
  world.settle();
  expect([...world.pods.values()].map((pod) => pod.uid)).toEqual(before);
  expect(world.plan().steps).toEqual([]);
  expect(world.status.change).toBeUndefined();
});

test("a class that cannot expand leaves every claim as it is, and says what to do", () => {
  const world = running(3);
  world.expandable = false;
  world.change(LARGER);
  world.settle();
  expect(asked(world)).toEqual([]);
  expect(world.status.blocked).toMatchObject([{ guard: "VolumeExpandable", object: "orders-2-data" }]);
  expect(world.status.blocked?.[0]?.override).toBe(
    `kubectl patch storageclass standard --type=merge -p '{"allowVolumeExpansion":true}'`,
  );
  expect(world.status.change).toBeUndefined(); // nothing goes on
  world.expandable = true;
  world.settle();
  expect(asked(world)).toHaveLength(3);
});

test.each([
  ["Refused", "only grows by night", "only grows by night"],
  ["FileSystemPending", "", "kubectl delete -n shop pod orders-2-0"],
] as const)("a resize that is %s is told, and the others wait", (state, message, told) => {
  const world = running(3);
  const volume = world.volumes.get("orders-2");
  if (volume !== undefined) volume.resize = { state, message };
  world.change(LARGER);
  world.settle();
  expect(asked(world)).toEqual(["orders-2"]);
  expect(world.status.blocked).toMatchObject([{ guard: "VolumeGrown", object: "orders-2-data" }]);
  expect(JSON.stringify(world.status.blocked)).toContain(told);
  if (volume !== undefined) volume.resize = { state: "None", message: "" };
  world.settle();
  expect(asked(world)).toHaveLength(3);
});

test("a new member starts with the new size", () => {
  const world = running(3);
  world.change({ ...LARGER, members: 5 });
  world.settle();
  expect(asked(world)).toHaveLength(5);
});

test("a volume without room is told with the command that makes it larger, until it grows", () => {
  const world = running(3);
  const pod = world.pods.get("orders-1");
  if (pod?.report === undefined) throw new Error("orders-1 reports nothing");
  pod.report = { ...pod.report, volumeFull: true };
  const { blocked } = world.plan();
  expect(blocked).toMatchObject([{ guard: "VolumeHasRoom", object: "orders-1-data" }]);
  expect(blocked[0]?.override).toBe(
    `kubectl patch -n shop clusterspec/orders --type=merge -p '{"spec":{"storage":{"data":{"size":"20Gi"}}}}'`,
  );
  world.change(LARGER);
  expect(world.plan().blocked).toEqual([]);
});
