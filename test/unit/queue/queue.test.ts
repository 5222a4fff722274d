import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PRIORITIES, type Priority, WorkQueue } from "../../../src/queue/queue.ts";
import { FakeClock } from "../fake-clock.ts";

function queueWith(random = () => 0.5) {
  const clock = new FakeClock();
  return { clock, queue: new WorkQueue({ clock, random, baseDelayMs: 100, maxDelayMs: 1000 }) };
}

describe("WorkQueue", () => {
  test("hands out by priority, then by arrival, each key once", async () => {
    const { queue } = queueWith();
    queue.add("r1", "resync");
    queue.add("c1");
    queue.add("c2");
    queue.add("c1");
    queue.add("f1", "failover");
    const order = [];
    while (queue.depth > 0) order.push((await queue.take())?.key);
    expect(order).toEqual(["f1", "c1", "c2", "r1"]);
  });

  test("a worker that is kept free gets what is urgent enough and nothing else", async () => {
    const { queue } = queueWith();
    queue.add("r", "resync");
    const urgent = queue.take(undefined, "failover");
    const other = queue.take();
    expect(await other).toMatchObject({ key: "r" });
    const another = queue.take(undefined, "change");
    queue.add("c", "change");
    expect(await another).toMatchObject({ key: "c" });
    queue.add("f", "failover");
    expect(await urgent).toMatchObject({ key: "f" });
  });

  test("a more urgent reason moves a key forward, a less urgent one does not move it back", async () => {
    const { queue } = queueWith();
    queue.add("a", "resync");
    queue.add("b", "change");
    queue.add("a", "failover");
    queue.add("a", "resync");
    expect(await queue.take()).toEqual({ key: "a", priority: "failover", failures: 0 });
  });

  test("a key added while a worker has it comes once more, after done and not before", async () => {
    const { queue } = queueWith();
    queue.add("a");
    await queue.take();
    queue.add("a");
    queue.add("a", "failover");
    expect(queue.depth).toBe(0);
    queue.done("a");
    expect(await queue.take()).toMatchObject({ key: "a", priority: "failover" });
    queue.done("a");
    expect(queue.depth).toBe(0);
  });

  test("backoff doubles per key up to the limit, honours what the other side asked, and ends with a success", () => {
    const { clock, queue } = queueWith(() => 0);
    const delays = [1, 2, 3, 4, 5, 6].map(() => queue.retry("a"));
    expect(delays).toEqual([50, 100, 200, 400, 500, 500]);
    expect(queue.retry("b", 7000)).toBe(7000);
    queue.forget("a");
    expect(queue.retry("a")).toBe(50);
    clock.advance(6999);
    expect(queue.depth).toBe(1); // a
    clock.advance(1);
    expect(queue.depth).toBe(2);
  });

  test("jitter keeps the delay between half and all of the ceiling", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (random) => {
        const { queue } = queueWith(() => random);
        const delayMs = queue.retry("a");
        expect(delayMs).toBeGreaterThanOrEqual(50);
        expect(delayMs).toBeLessThanOrEqual(100);
      }),
    );
  });

  test("news that is to wait moves a key forward that is ready already", async () => {
    const { queue } = queueWith();
    queue.add("a", "change");
    queue.add("b", "resync");
    queue.addAfter("b", 200, "failover");
    expect(await queue.take()).toMatchObject({ key: "b", priority: "failover" });
  });

  test("of several delays the earliest counts, with the most urgent priority; an add ends the waiting", async () => {
    const { clock, queue } = queueWith();
    queue.addAfter("a", 1000);
    queue.addAfter("a", 500);
    queue.addAfter("a", 2000, "failover");
    clock.advance(500);
    expect(await queue.take()).toMatchObject({ key: "a", priority: "failover" });
    queue.done("a");
    queue.addAfter("a", 1000);
    queue.add("a");
    expect(clock.pending).toBe(0);
    expect(queue.depth).toBe(1);
  });

  test("close ends waiting workers, drops what is queued and waits for what is running", async () => {
    const { clock, queue } = queueWith();
    queue.add("a");
    await queue.take();
    const waiting = queue.take();
    queue.addAfter("c", 10);
    let closed = false;
    const closing = queue.close().then(() => (closed = true));
    expect(await waiting).toBeUndefined();
    expect([queue.depth, clock.pending, closed]).toEqual([0, 0, false]);
    queue.add("a");
    queue.done("a");
    await closing;
    expect(await queue.take()).toBeUndefined();
  });

  test("an aborted take neither waits nor swallows a key", async () => {
    const { queue } = queueWith();
    const abort = new AbortController();
    const waiting = queue.take(abort.signal);
    abort.abort();
    expect(await waiting).toBeUndefined();
    queue.add("a");
    expect(await queue.take(abort.signal)).toBeUndefined();
    expect(await queue.take()).toMatchObject({ key: "a" });
  });

  test("reports depth, waiting time and retries", async () => {
    const clock = new FakeClock();
    const seen: unknown[] = [];
    const queue = new WorkQueue({
      clock,
      observer: {
        depth: (priority, keys) => seen.push([priority, keys]),
        waited: (priority, seconds) => seen.push([priority, seconds, "s"]),
        retried: () => seen.push("retried"),
      },
    });
    queue.add("a");
    clock.advance(250);
    await queue.take();
    queue.retry("a");
    expect(seen).toEqual([["change", 1], ["change", 0], ["change", 0.25, "s"], "retried"]);
  });
});

type Step =
  | { readonly do: "add"; readonly key: string; readonly priority: Priority }
  | { readonly do: "addAfter"; readonly key: string; readonly ms: number }
  | { readonly do: "retry"; readonly key: string }
  | { readonly do: "take" }
  | { readonly do: "done"; readonly nth: number }
  | { readonly do: "advance"; readonly ms: number };

const key = fc.constantFrom("a", "b", "c", "d");
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("add" as const), key, priority: fc.constantFrom(...PRIORITIES) }),
  fc.record({ do: fc.constant("addAfter" as const), key, ms: fc.integer({ min: 0, max: 500 }) }),
  fc.record({ do: fc.constant("retry" as const), key }),
  fc.record({ do: fc.constant("take" as const) }),
  fc.record({ do: fc.constant("done" as const), nth: fc.nat(3) }),
  fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 400 }) }),
);

test("whatever the order of calls: one worker per key, and a pass after every add", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { clock, queue } = queueWith();
      const working: string[] = [];
      const owed = new Set<string>(); // added, and no pass has begun since
      const take = async () => {
        const item = await queue.take();
        if (item === undefined) throw new Error("take gave nothing although depth was above 0");
        expect(working).not.toContain(item.key);
        working.push(item.key);
        owed.delete(item.key);
      };
      for (const at of steps) {
        if (at.do === "add") queue.add(at.key, at.priority);
        else if (at.do === "addAfter") queue.addAfter(at.key, at.ms);
        else if (at.do === "retry") queue.retry(at.key);
        else if (at.do === "advance") clock.advance(at.ms);
        else if (at.do === "take") {
          if (queue.depth > 0) await take();
        } else {
          const [returned] = working.splice(at.nth, 1);
          if (returned !== undefined) queue.done(returned);
        }
        if ("key" in at) owed.add(at.key);
      }
      clock.advance(10_000); // every delay ends
      while (working.length > 0 || queue.depth > 0) {
        for (const returned of working.splice(0)) queue.done(returned);
        clock.advance(10_000);
        while (queue.depth > 0) await take();
      }
      expect([...owed]).toEqual([]);
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 500 },
  );
});
