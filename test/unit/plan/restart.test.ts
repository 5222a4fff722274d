import { describe, expect, test } from "vitest";
import { running } from "./running.ts";

describe("a Restart operation", () => {
  test.each([
    ["all members, the leader last", {}, ["orders-2", "orders-1", "orders-0"], 2],
    ["the followers", { role: "Followers" }, ["orders-2", "orders-1"], 1],
    ["the leader", { role: "Leader" }, ["orders-0"], 2],
    ["one follower", { member: "orders-1" }, ["orders-1"], 1],
    ["the member that leads", { member: "orders-0" }, ["orders-0"], 2],
  ])("restart %s", (_which, operation, restarted, epoch) => {
    const world = running(3);
    world.operate("restart", { type: "Restart", ...operation });
    world.settle();
    expect(world.operations.get("restart")?.status).toMatchObject({ phase: "Done" });
    expect(world.restarts).toEqual(restarted);
    expect(world.status).toMatchObject({ epoch, readyRatio: "3/3" });
  });

  test("restart the only member in place", () => {
    const world = running(1);
    world.operate("restart", { type: "Restart" });
    world.settle();
    expect(world.operations.get("restart")?.status).toMatchObject({ phase: "Done" });
    expect(world.restarts).toEqual(["orders-0"]);
  });

  test("restart no member while another one is away, and go on when it is back", () => {
    const world = running(3);
    world.operate("restart", { type: "Restart" });
    for (let turn = 0; turn < 60 && world.restarts.length === 0; turn += 1) {
      world.pass();
      world.move();
      world.nowMs += 1_000;
    }
    const [first] = world.restarts;
    const pod = world.pods.get(first ?? "");
    if (pod === undefined) throw new Error("nobody was restarted");
    const works = pod.works;
    Object.assign(pod, { works: false });
    for (let turn = 0; turn < 20; turn += 1) world.pass();
    expect(world.restarts).toEqual([first]);
    expect(world.status.blocked).toMatchObject([{ guard: "MembersInSync", object: first }]);
    Object.assign(pod, { works });
    world.settle();
    expect(world.restarts).toHaveLength(3);
  });

  test("in a paused cluster say that they wait", () => {
    const world = running(3);
    world.change({ members: 3, paused: true });
    world.operate("restart", { type: "Restart" });
    world.settle();
    expect(world.operations.get("restart")?.status).toMatchObject({
      phase: "Pending",
      message: "waits: spec.paused is true",
    });
  });
});
