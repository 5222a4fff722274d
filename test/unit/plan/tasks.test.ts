import { describe, expect, test } from "vitest";
import { running } from "./running.ts";
import type { Simulator } from "./simulator.ts";

const BACKUP = { s3: { endpoint: "https://store.example", bucket: "copies", prefix: "eu", secretName: "store" } };

function statusOf(world: Simulator, name: string) {
  return world.operations.get(name)?.status;
}

function asked(world: Simulator): string[] {
  return world.tasks.map(({ action, member }) => `${action} ${member}`);
}

describe("a Backup", () => {
  test("is made by a follower, under a path of its own that the operation names", () => {
    const world = running(3, { backup: BACKUP });
    world.operate("nightly", { type: "Backup" });
    world.settle();
    const path = expect.stringMatching(/^shop\/orders\/\d{8}T\d{6}Z-nightly$/);
    expect(statusOf(world, "nightly")).toMatchObject({ phase: "Done", path, message: "backup says Done" });
    expect(world.tasks).toMatchObject([{ action: "backup", member: "orders-1", path }]);
    expect(world.intent?.task).toBeUndefined();
    expect(world.intent?.store).toMatchObject({ bucket: "copies", engine: "example" });
    expect(world.intent?.store).not.toHaveProperty("restorePath");
  });

  test.each([
    [1, {}, "orders-0"],
    [3, { member: "orders-0" }, "orders-0"],
    [3, { member: "orders-2" }, "orders-2"],
  ])("of %i members with %j is made by %s", (members, operation, by) => {
    const world = running(members, { backup: BACKUP });
    world.operate("nightly", { type: "Backup", ...operation });
    world.settle();
    expect(asked(world)).toEqual([`backup ${by}`]);
  });

  test.each([
    ["where there is no place for it", {}, {}, /spec.backup of the ClusterSpec does not say/],
    ["by somebody else", { backup: BACKUP }, { member: "orders-7" }, /orders-7 is no member/],
    ["of what is stopped", { backup: BACKUP, stopped: true }, {}, /spec.stopped is true/],
  ])("%s is refused", (_why, spec, operation, message) => {
    const world = running(3, spec);
    world.operate("nightly", { type: "Backup", ...operation });
    world.settle();
    expect(statusOf(world, "nightly")).toMatchObject({ phase: "Refused", message: expect.stringMatching(message) });
    expect(world.tasks).toEqual([]);
  });

  test("holds up no other operation, and waits for none", () => {
    const world = running(3, { backup: BACKUP });
    world.mute = true;
    world.operate("nightly", { type: "Backup" });
    world.operate("move", { type: "Switchover" });
    for (let turn = 0; turn < 5; turn += 1) world.pass();
    expect(statusOf(world, "nightly")).toMatchObject({ phase: "Running" });
    expect(statusOf(world, "move")).toMatchObject({ phase: "Running" });
    expect(world.intent).toMatchObject({ task: { action: "backup" }, switchover: { from: "orders-0" } });
    world.mute = false;
    world.settle();
    expect(statusOf(world, "nightly")).toMatchObject({ phase: "Done" });
    expect(statusOf(world, "move")).toMatchObject({ phase: "Done" });
  });

  test("stays with the member that makes it while another one would be chosen now, unless that member is gone", () => {
    const world = running(3, { backup: BACKUP });
    world.mute = true;
    world.operate("nightly", { type: "Backup" });
    for (let turn = 0; turn < 5; turn += 1) world.pass();
    const [source, other] = ["orders-1", "orders-2"];
    world.report(source, { lagBucket: "<1Gi" });
    for (let turn = 0; turn < 5; turn += 1) world.pass();
    expect(world.intent?.task?.member).toBe(source);
    const pod = world.pods.get(source);
    if (pod === undefined) throw new Error("no pod");
    world.setReady(pod, false);
    for (let turn = 0; turn < 5; turn += 1) world.pass();
    expect(world.intent?.task?.member).toBe(other);
  });

  test("that is not done in time has failed, and its member is told", () => {
    const world = running(3, { backup: BACKUP });
    world.mute = true;
    world.operate("nightly", { type: "Backup", deadlineSeconds: 60 });
    for (let turn = 0; turn < 5; turn += 1) world.pass();
    world.nowMs += 61_000;
    for (let turn = 0; turn < 5; turn += 1) world.pass();
    expect(statusOf(world, "nightly")).toMatchObject({ phase: "Failed", message: /^not done within 60 s/ });
    expect(world.intent?.task).toBeUndefined();
  });
});

describe("a Verify", () => {
  test("asks one member after the other, the leader last", () => {
    const world = running(3);
    world.operate("look", { type: "Verify" });
    world.settle();
    expect(asked(world)).toEqual(["verify orders-2", "verify orders-1", "verify orders-0"]);
    expect(statusOf(world, "look")).toMatchObject({ phase: "Done" });
  });

  test("asks all of them, whatever the first one finds, and says whose copy is damaged", () => {
    const world = running(3);
    world.damaged.add("orders-2");
    world.operate("look", { type: "Verify" });
    world.settle();
    expect(asked(world)).toHaveLength(3);
    expect(statusOf(world, "look")).toMatchObject({ phase: "Failed", message: "orders-2: verify says Failed" });
  });

  test("and a Repair take turns, oldest first", () => {
    const world = running(3);
    world.operate("look", { type: "Verify", member: "orders-1" });
    world.nowMs += 1000;
    world.operate("mend", { type: "Repair", member: "orders-1" });
    world.pass();
    expect(statusOf(world, "mend")).toMatchObject({ phase: "Pending", message: "waits for operation look" });
    world.settle();
    expect(asked(world)).toEqual(["verify orders-1", "repair orders-1"]);
    expect(statusOf(world, "mend")).toMatchObject({ phase: "Done" });
  });
});

test("what a new cluster begins with is told to its members", () => {
  const world = running(3, { backup: BACKUP, restore: { path: "shop/former/20261128T000000Z-nightly" } });
  expect(world.intent?.store).toMatchObject({ restorePath: "shop/former/20261128T000000Z-nightly" });
});
