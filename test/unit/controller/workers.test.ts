// What urgent work waits for, with the real queue and the real event loop: thousands of other keys must not be among it.
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { Pass, PassResult } from "../../../src/controller/reconcile.ts";
import { RetryableError } from "../../../src/errors.ts";
import { runWorkers } from "../../../src/controller/workers.ts";
import { WorkQueue } from "../../../src/queue/queue.ts";

const CONCURRENCY = 4;
const OTHERS = 5_000;
const NOTHING_DONE: PassResult = { requeueAfterMs: undefined, steps: 0, wroteStatus: false };

let queue: WorkQueue;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  queue = new WorkQueue();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await queue.close();
  await running;
});

function start(reconcile: (pass: Pass) => Promise<PassResult>): void {
  running = runWorkers(
    {
      queue,
      reconcile,
      clock: systemClock,
      random: Math.random,
      log: pino({ level: "fatal" }),
      observe: () => undefined,
      concurrency: CONCURRENCY,
    },
    stop.signal,
  );
}

/** A pass that never ends by itself: the API server does not answer. */
function hang(signal: AbortSignal): Promise<PassResult> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(NOTHING_DONE), { once: true }));
}

describe("failover work", () => {
  test("stays failover work when it has to be tried again", async () => {
    const priorities: string[] = [];
    const take = queue.take.bind(queue);
    vi.spyOn(queue, "take").mockImplementation(async (...args) => {
      const item = await take(...args);
      if (item !== undefined) priorities.push(item.priority);
      return item;
    });
    queue.add("urgent/failover", "failover");
    start(() => {
      const reason = priorities.length === 1 ? "CacheBehindOwnWrites" : "Unreachable";
      if (priorities.length > 2) return Promise.resolve(NOTHING_DONE);
      return Promise.reject(new RetryableError("Not now", { reason, retryAfterMs: 1 }));
    });
    await vi.waitFor(() => expect(priorities).toEqual(["failover", "failover", "failover"]), { timeout: 2_000 });
  });

  for (const priority of ["resync", "change"] as const) {
    test(`is heard of and taken next, however many ${priority} passes wait`, async () => {
      const order: string[] = [];
      let endedWhenHeard: number | undefined;
      for (let at = 0; at < OTHERS; at += 1) queue.add(`other/${at}`, priority);
      // News comes from the event loop, as a watch does: a pass that waits for nothing must let it turn.
      setImmediate(() => {
        endedWhenHeard = order.length;
        queue.add("urgent/failover", "failover");
      });
      start(({ key }) => {
        order.push(key);
        return Promise.resolve(NOTHING_DONE);
      });
      await vi.waitFor(() => expect(order).toContain("urgent/failover"), { timeout: 10_000 });
      expect(endedWhenHeard).toBeLessThanOrEqual(2 * CONCURRENCY);
      expect(order.indexOf("urgent/failover") - (endedWhenHeard ?? 0)).toBeLessThanOrEqual(CONCURRENCY);
    });

    test(`does not wait for ${priority} passes that the API server keeps waiting`, async () => {
      const ended: string[] = [];
      for (let at = 0; at < OTHERS; at += 1) queue.add(`other/${at}`, priority);
      start(({ key, signal }) => {
        if (!key.startsWith("urgent/")) return hang(signal);
        ended.push(key);
        return Promise.resolve(NOTHING_DONE);
      });
      await new Promise((resolve) => setTimeout(resolve, 20)); // every worker that takes such a key has one by now
      for (const key of ["urgent/a", "urgent/b"]) queue.add(key, "failover");
      await vi.waitFor(() => expect(ended).toEqual(["urgent/a", "urgent/b"]), { timeout: 2_000 });
    });
  }
});
