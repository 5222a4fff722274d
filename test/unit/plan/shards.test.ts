import { array, assert, infiniteStream, integer, nat, property } from "fast-check";
import { describe, expect, test } from "vitest";
import { ShardsWorld, SLOTS } from "./shards-world.ts";

const sharding = (shards: number) => ({ sharding: { shards, batchSlots: 4, slotsPerSecond: 4 } });

function running(shards = 3, spec: object = {}): ShardsWorld {
  const world = new ShardsWorld({ ...sharding(shards), ...spec });
  world.settle();
  return world;
}

const condition = (world: ShardsWorld, type: string) => world.status.conditions?.find((one) => one.type === type);

describe("a new cluster", () => {
  test("has passwords before its shards, and every slot is given away once", () => {
    const world = running();
    expect(world.trace.findIndex((line) => line.includes("GenerateCredentials"))).toBeLessThan(
      world.trace.findIndex((line) => line.includes("orders-s0")),
    );
    expect(world.sizes()).toEqual({ "orders-s0": 22, "orders-s1": 21, "orders-s2": 21 });
    expect(condition(world, "Ready")).toMatchObject({
      status: "True",
      message: expect.stringContaining("all 64 slots"),
    });
    expect(world.status).toMatchObject({ readyRatio: "3/3" });
    expect(world.plan().steps).toEqual([]);
  });

  test("gives no slots away while a shard does not say what it owns", () => {
    const world = running();
    world.shard(1).leads = false;
    world.shard(0).owned.clear();
    const plan = world.plan();
    expect(plan.change).toContain("Waiting for orders-s1");
    expect(plan.steps).toEqual([]);
  });
});

test("a shard is a cluster of topology ActivePassive that says what the whole says, and where it belongs", () => {
  const world = running(2, { members: 5, parameters: { size: "20" }, services: { read: { type: "NodePort" } } });
  const { metadata, spec } = world.shard(0).manifest as { metadata: object; spec?: object };
  expect(spec).toMatchObject({ topology: "ActivePassive", members: 5, parameters: { size: "20" } });
  expect(spec).toMatchObject({ shard: { of: "orders", shards: ["orders-s0", "orders-s1"] } });
  expect(spec).toMatchObject({ services: { read: { type: "ClusterIP" } } });
  expect(spec).not.toHaveProperty("sharding");
  expect(metadata).toMatchObject({ ownerReferences: [{ kind: "ClusterSpec", uid: "uid-orders" }] });
});

test("an operation on the whole is refused, with the name of a shard to ask instead", () => {
  const world = running();
  world.operate("move", { type: "Switchover" });
  const [step] = world.plan().steps;
  const message = "orders is parted into shards: name one of them in spec.clusterName, such as orders-s0";
  expect(step).toMatchObject({ kind: "ReportOperation", name: "move", status: { phase: "Refused", message } });
});

test.each([
  ["a parameter", ({ spec }: { spec: object }) => ({ ...spec, parameters: { size: "20" } })],
  ["TLS", ({ spec, shard }: { spec: object; shard: object }) => ({ ...spec, shard: { ...shard, tls: true } })],
])("%s that somebody adds to a shard is found, although all else is as it was told", (_what, more) => {
  const world = running();
  const told = world.shard(1);
  const { spec } = told.manifest as unknown as { readonly spec: { readonly shard: object } };
  told.manifest = { ...told.manifest, spec: more({ spec, shard: spec.shard }) };
  const { name } = told.manifest.metadata;
  expect(world.plan().steps).toMatchObject([
    { kind: "Apply", manifest: { metadata: { name }, spec }, reason: "another added to it" },
  ]);
});

describe("a changed spec", () => {
  test("reaches one shard after the other", () => {
    const world = running();
    world.mostUnsettled = 0;
    world.change({ ...sharding(3), parameters: { size: "20" } });
    world.settle();
    expect(world.mostUnsettled).toBe(1);
    for (const { manifest } of world.shards.values())
      expect(manifest["spec"]).toMatchObject({ parameters: { size: "20" } });
  });

  test("waits while another shard that has it is in trouble, and says so", () => {
    const world = running();
    world.change({ ...sharding(3), parameters: { size: "20" } });
    world.pass();
    world.move();
    world.shard(0).leads = false;
    const { blocked, steps } = world.plan();
    expect(steps).toEqual([]);
    expect(blocked).toMatchObject([{ guard: "ShardsSettled", object: "orders-s0" }]);
  });

  test("goes first to the shard in trouble, which it may mend, and to no two shards at a time", () => {
    const world = running();
    world.broken.set("example/bad", ["orders-s0", "orders-s1", "orders-s2"]);
    const bad = { engine: { name: "example", image: "example/bad" } };
    world.change({ ...sharding(3), ...bad, stopped: true }); // which reaches all at once
    world.settle();
    world.change({ ...sharding(3), ...bad });
    world.settle();
    expect(condition(world, "Ready")).toMatchObject({ status: "False" });
    world.trace.length = 0;
    world.change(sharding(3));
    world.pass();
    expect(world.trace).toEqual([expect.stringContaining("Apply ClusterSpec orders-s0")]);
    world.settle();
    expect(condition(world, "Ready")).toMatchObject({ status: "True" });
  });

  test("that works in all but one shard can be corrected there before the others are touched", () => {
    const world = running();
    world.broken.set("example/bad", ["orders-s1"]);
    world.change({ ...sharding(3), engine: { name: "example", image: "example/bad" } });
    world.settle();
    expect(world.status.blocked).toMatchObject([{ guard: "ShardsSettled", object: "orders-s1" }]);
    world.trace.length = 0;
    world.change(sharding(3));
    world.pass();
    expect(world.trace).toEqual([expect.stringContaining("Apply ClusterSpec orders-s1")]);
    world.settle();
    expect(condition(world, "Ready")).toMatchObject({ status: "True" });
  });

  test("that stops the whole reaches all shards at once, and rest is told as such", () => {
    const world = running();
    world.change({ ...sharding(3), stopped: true });
    expect(world.plan().steps).toHaveLength(3);
    world.settle();
    expect(condition(world, "Ready")).toMatchObject({ status: "False", reason: "Stopped" });
    world.change(sharding(3));
    world.settle();
    expect(condition(world, "Ready")).toMatchObject({ status: "True" });
  });

  test("changes nothing while paused but the pause itself", () => {
    const world = running();
    world.change({ ...sharding(5), paused: true });
    world.settle();
    expect(world.status.blocked).toMatchObject([{ guard: "NotPaused" }]);
    expect(world.sizes()).toEqual({ "orders-s0": 22, "orders-s1": 21, "orders-s2": 21 });
  });
});

describe("more and fewer shards", () => {
  test("new ones take the least that can be, no faster than the rate", () => {
    const world = running();
    const startMs = world.nowMs;
    world.change(sharding(5));
    world.settle();
    expect(Object.values(world.sizes()).toSorted((a, b) => a - b)).toEqual([12, 13, 13, 13, 13]);
    const moved = SLOTS - 13 - 13 - 13; // what the two new ones have
    expect(world.nowMs - startMs).toBeGreaterThan((1000 * (moved - 4)) / 4);
    expect(world.status.resharding).toMatchObject({ left: 0 });
  });

  test("the next batch is looked at when its time has come, and not only at the next recheck", () => {
    const world = running();
    world.change(sharding(5));
    const waits: number[] = [];
    for (let turn = 0; turn < 40; turn += 1) {
      world.pass();
      const { requeueAfterMs } = world.plan();
      if (!world.move() && requeueAfterMs !== undefined) waits.push(requeueAfterMs);
      world.nowMs += 100;
    }
    expect(waits.filter((waitMs) => waitMs <= 1000).length).toBeGreaterThan(5); // four slots at four a second
    for (const waitMs of waits) expect(waitMs).toBeLessThanOrEqual(1000);
  });

  test("one that gave everything away is deleted only when it has heard what becomes of its volumes", () => {
    const keeping = (whenScaled: string) => ({ ...sharding(4), volumeRetention: { whenScaled } });
    const world = running(5);
    world.change(keeping("Retain"));
    while (world.shard(4).owned.size > 0 || world.shard(4).moving !== undefined) {
      world.pass();
      world.move();
      world.nowMs += 1000;
    }
    const deletions = () => world.plan().steps.filter(({ kind }) => kind === "Delete");
    expect(deletions()).toHaveLength(1);
    world.change({ ...keeping("Delete"), deletionProtection: false });
    const isTold = () => JSON.stringify(world.shard(4).manifest["spec"]).includes('"whenDeleted":"Delete"');
    for (let turn = 0; turn < 100 && !isTold(); turn += 1) {
      expect(deletions()).toEqual([]);
      world.move();
      world.nowMs += 1000;
      world.pass();
    }
    expect(isTold()).toBe(true);
    expect(deletions()).toEqual([]); // told, and not heard yet
    world.settle();
    expect([...world.shards.keys()]).not.toContain("orders-s4");
  });

  test("those that are to go give everything away first, and their volumes are told what becomes of them", () => {
    const kept = { deletionProtection: false, volumeRetention: { whenScaled: "Delete" } };
    const world = running(5, kept);
    world.change({ ...sharding(4), ...kept });
    world.pass();
    expect(world.shard(4).manifest["spec"]).toMatchObject({ volumeRetention: { whenDeleted: "Delete" } });
    expect(world.shard(0).manifest["spec"]).toMatchObject({ volumeRetention: { whenDeleted: "Retain" } });
    world.settle();
    expect(world.sizes()).toEqual({ "orders-s0": 16, "orders-s1": 16, "orders-s2": 16, "orders-s3": 16 });
  });

  test("two owners of a slot block, and nothing moves", () => {
    const world = running();
    world.shard(1).owned.add(0);
    world.change(sharding(2));
    const { blocked } = world.plan();
    expect(blocked).toMatchObject([{ guard: "SlotsClear", message: expect.stringContaining("slot 0 is owned by") }]);
  });

  test("property: whatever happens in whatever order, and wherever leaders are lost, every slot has one owner in the end", () => {
    const counts = array(integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 });
    assert(
      property(counts, infiniteStream(nat()), infiniteStream(nat({ max: 39 })), (shards, order, losses) => {
        const world = new ShardsWorld(sharding(3), (length) => (order.next().value as number) % length);
        world.settle();
        for (const count of shards) {
          world.change(sharding(count));
          for (let turn = 0; turn < 60; turn += 1) {
            world.pass();
            world.move();
            world.nowMs += 1000;
            const lost = [...world.shards.values()][losses.next().value as number];
            if (lost !== undefined) lost.leads = false;
          }
        }
        world.settle();
        const sizes = Object.values(world.sizes());
        expect(sizes).toHaveLength(shards.at(-1) ?? 3);
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(SLOTS);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 5 },
    );
  });
});
