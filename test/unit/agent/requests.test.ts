// What an engine counts of its clients' requests becomes counters that begin when the agent does, and never fall.
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { ActionError } from "../../../src/agent/engine/driver.ts";
import { countRequests } from "../../../src/agent/requests.ts";
import type { RequestCounts } from "../../../src/api/engine-observation.ts";
import { FakeClock } from "../fake-clock.ts";
import { driverOf } from "./driver-of.ts";

const PERIOD_MS = 10_000;

/** A member that counts; what its engine says next is set by the test. */
function counter(actions: Record<string, unknown> = { countRequests: { exec: ["/bin/true"] } }) {
  const registry = new Registry();
  const clock = new FakeClock();
  const world: { says: RequestCounts | "nothing"; isUp: boolean } = { says: null, isUp: true };
  const end = new AbortController();
  const answer = () =>
    world.says === "nothing"
      ? Promise.reject(new ActionError("countRequests", 1, "no answer"))
      : Promise.resolve(world.says);
  const { spec } = driverOf(actions);
  const done = countRequests({
    driver: { spec, countRequests: answer },
    isEngineUp: () => world.isUp,
    registry,
    clock,
    signal: end.signal,
  });
  const look = async (says: RequestCounts | "nothing") => {
    world.says = says;
    await clock.run(PERIOD_MS, PERIOD_MS);
    const series = (await registry.metrics()).matchAll(/^quorate_member_requests_total\{result="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...series].map(([, result, value]) => [result, Number(value)]));
  };
  const stop = () => {
    end.abort();
    return done;
  };
  return { world, look, stop };
}

test("counts what came after the first look", async () => {
  const { look, stop } = counter();
  expect(await look({ served: 5000, failed: 7 })).toEqual({ good: 0, bad: 0 });
  expect(await look({ served: 5010, failed: 8 })).toEqual({ good: 10, bad: 1 });
  expect(await look({ served: 5010, failed: 8 })).toEqual({ good: 10, bad: 1 });
  await stop();
});

test("goes on after an engine that lost its counts, and after looks without an answer", async () => {
  const { world, look, stop } = counter();
  await look({ served: 100, failed: 50 });
  expect(await look({ served: 3, failed: 60 }), "all of it is new").toEqual({ good: 3, bad: 60 });
  expect(await look("nothing")).toEqual({ good: 3, bad: 60 });
  world.isUp = false;
  expect(await look({ served: 900, failed: 900 }), "an engine that is starting is not asked").toEqual({
    good: 3,
    bad: 60,
  });
  world.isUp = true;
  expect(await look({ served: 13, failed: 61 })).toEqual({ good: 13, bad: 61 });
  await stop();
});

test("does not count what was asked while clients could not be told from the rest", async () => {
  const { look, stop } = counter();
  await look({ served: 10, failed: 0 });
  expect(await look(null)).toEqual({ good: 0, bad: 0 });
  expect(await look({ served: 9010, failed: 5 })).toEqual({ good: 0, bad: 0 });
  expect(await look({ served: 9011, failed: 5 })).toEqual({ good: 1, bad: 0 });
  await stop();
});

test("of an engine that counts nothing there is no series", async () => {
  const { look, stop } = counter({});
  expect(await look({ served: 1, failed: 0 })).toEqual({});
  await stop();
});
