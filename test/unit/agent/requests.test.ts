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
  const hear = async (says: RequestCounts | "nothing") => {
    world.says = says;
    await clock.run(PERIOD_MS, PERIOD_MS);
  };
  const look = async (says: RequestCounts | "nothing") => {
    await hear(says);
    const series = (await registry.metrics()).matchAll(/^quorate_member_requests_total\{result="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...series].map(([, result, value]) => [result, Number(value)]));
  };
  const stop = () => {
    end.abort();
    return done;
  };
  /** The histogram after that, its series by the end of their name and their bound. */
  const took = async (says: RequestCounts | "nothing") => {
    await hear(says);
    const series = (await registry.metrics()).matchAll(
      /^quorate_member_request_seconds_(\w+)(?:\{le="(.+)"\})? (.+)$/gm,
    );
    return Object.fromEntries([...series].map(([, part = "", bound, value]) => [bound ?? part, Number(value)]));
  };
  return { world, look, took, stop };
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

test("adds up how long requests took, under the engine's bounds in their order", async () => {
  const { took, stop } = counter();
  const counts = { served: 1, failed: 0 };
  const slow = { seconds: 2, requests: 100, within: { "0.5": 98, "0.025": 90, "10": 100 } };
  expect(await took({ ...counts, took: slow }), "how long before is not known").toEqual({});
  const slower = { seconds: 3.5, requests: 104, within: { "0.5": 101, "0.025": 91, "10": 103 } };
  const sum = { "0.025": 1, "0.5": 3, "10": 3, "+Inf": 4, sum: 1.5, count: 4 };
  expect(Object.entries(await took({ ...counts, took: slower }))).toEqual(Object.entries(sum));
  const anew = { seconds: 0.5, requests: 2, within: { "0.5": 1, "0.025": 0, "10": 2 } };
  const more = { "0.025": 1, "0.5": 4, "10": 5, "+Inf": 6, sum: 2, count: 6 };
  expect(await took({ ...counts, took: anew }), "a restarted engine counts anew").toEqual(more);
  expect(await took(counts), "it stopped measuring").toEqual(more);
  expect(await took({ ...counts, took: slower }), "it measures again, since whenever").toEqual(more);
  await stop();
});

test("of an engine that counts nothing there is no series", async () => {
  const { look, stop } = counter({});
  expect(await look({ served: 1, failed: 0 })).toEqual({});
  await stop();
});
