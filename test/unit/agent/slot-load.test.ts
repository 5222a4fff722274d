// What the leader of a shard measures becomes figures, which the command line reads.
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { ActionError } from "../../../src/agent/engine/driver.ts";
import { measureSlots, shardMetrics } from "../../../src/agent/slot-load.ts";
import type { SlotLoad } from "../../../src/api/engine-observation.ts";
import { toShardSample } from "../../../src/observe/exposition.ts";
import { FakeClock } from "../fake-clock.ts";
import { driverOf } from "./driver-of.ts";

const PERIOD_MS = 10_000;
const NOTHING = { operationsPerSecond: undefined, keys: undefined, bytes: undefined, busiest: undefined };

/** A member that measures; what its engine says next, and whether it serves, are set by the test. */
function meter() {
  const registry = new Registry();
  registry.setDefaultLabels({ cluster: "cache-s0", member: "cache-s0-0" });
  const clock = new FakeClock();
  const world: { says: SlotLoad | undefined; epoch: number | undefined } = { says: undefined, epoch: 1 };
  const end = new AbortController();
  const { spec } = driverOf({ measureSlots: { exec: ["/bin/true"] } });
  const done = measureSlots({
    driver: {
      spec,
      measureSlots: () =>
        world.says === undefined
          ? Promise.reject(new ActionError("measureSlots", 1, "no answer"))
          : Promise.resolve(world.says),
    },
    servingEpoch: () => world.epoch,
    isOfShard: () => true,
    show: shardMetrics(registry),
    clock,
    signal: end.signal,
  });
  const look = async () => {
    await clock.run(PERIOD_MS, PERIOD_MS);
    return toShardSample(await registry.metrics());
  };
  const stop = () => {
    end.abort();
    return done;
  };
  return { world, look, stop };
}

test("operations a second lie between two looks; the rest is as it was found", async () => {
  const { world, look, stop } = meter();
  const load = { operations: 5000, keys: 10, bytes: 2048, sampled: 400, busiest: { slot: 16_013, operations: 300 } };
  world.says = load;
  const first = { keys: 10, bytes: 2048, busiest: { slot: 16_013, share: 0.75 } };
  expect(await look()).toEqual({ ...first, operationsPerSecond: undefined });
  world.says = { ...load, operations: 6000 };
  expect(await look()).toEqual({ ...first, operationsPerSecond: 100 });
  world.says = { operations: 20, keys: 0, bytes: 0, sampled: 0 };
  expect(await look(), "the server was started anew").toEqual({ ...NOTHING, keys: 0, bytes: 0 });
  await stop();
});

test("nothing is shown of an engine that does not say, nor by a member that does not serve", async () => {
  const { world, look, stop } = meter();
  expect(await look()).toEqual(NOTHING);
  world.says = { operations: 0, keys: 1, bytes: 1, sampled: 0 };
  expect(await look()).toMatchObject({ keys: 1 });
  world.epoch = undefined;
  expect(await look()).toEqual(NOTHING);
  await stop();
});
