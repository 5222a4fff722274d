// Spans as they arrive, sent by the real library to a server of this test.
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SpanInbox } from "../../../hack/scenario/span-inbox.ts";
import { openTracer } from "../../../src/telemetry/tracer.ts";

const TRACE = "6927160000000000000000000000000a";
const ROOT = "00000000000000ab";
const TRACEPARENT = `00-${TRACE}-${ROOT}-01`;
const RESOURCE = { "service.name": "quorate-test", member: "orders-0" };

let inbox: SpanInbox;

beforeEach(async () => void (inbox = await SpanInbox.open()));
afterEach(() => inbox.close());

const open = (url: string) => openTracer({ url, resource: RESOURCE, log: pino({ level: "fatal" }) });

test("what is done for a change is one tree below the span of the change", async () => {
  const tracer = await open(inbox.url);
  tracer.noteRoot({ name: "changed", attributes: { generation: 4 }, seconds: 2 }, TRACEPARENT);
  const result = await tracer.inTrace(TRACEPARENT, { name: "pass" }, () =>
    tracer.inSpan({ name: "step", attributes: { action: "Apply" } }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      tracer.noteEnded({ name: "apply configmaps", seconds: 0.005, problem: "HTTP 409" });
      return 7;
    }),
  );
  tracer.noteEnded({ name: "engine promote", seconds: 1 }, TRACEPARENT);
  await tracer.close();

  expect(result).toBe(7);
  expect(inbox.spans).toHaveLength(5);
  expect(new Set(inbox.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
  const [root] = inbox.named("changed");
  expect(root).toMatchObject({ spanId: ROOT, parentSpanId: "" });
  expect(root?.attributes.get("generation")).toBe("4");
  expect(Number((root?.endTimeUnixNano ?? 0n) - (root?.startTimeUnixNano ?? 0n)) / 1e9).toBeCloseTo(2, 1);
  const [pass] = inbox.named("pass");
  const [step] = inbox.named("step");
  expect(pass?.parentSpanId).toBe(ROOT);
  expect(step?.parentSpanId).toBe(pass?.spanId);
  expect(step?.attributes.get("action")).toBe("Apply");
  expect(inbox.named("apply configmaps")[0]).toMatchObject({
    parentSpanId: step?.spanId,
    status: { code: 2, message: "HTTP 409" },
  });
  expect(inbox.named("engine promote")[0]?.parentSpanId).toBe(ROOT);
  expect(root?.resource).toEqual(expect.objectContaining(new Map(Object.entries(RESOURCE))));
});

test("what throws is marked by its kind and thrown on; what it said stays here", async () => {
  const tracer = await open(inbox.url);
  const failing = tracer.inTrace(undefined, { name: "alone" }, () => Promise.reject(new TypeError("hunter2")));
  await expect(failing).rejects.toThrow("hunter2");
  await tracer.close();
  expect(inbox.spans).toMatchObject([{ name: "alone", parentSpanId: "", status: { code: 2, message: "TypeError" } }]);
  expect(inbox.spans[0]?.traceId).not.toBe(TRACE);
});

test("what belongs to nothing is not noted", async () => {
  const tracer = await open(inbox.url);
  tracer.noteEnded({ name: "list pods", seconds: 1 });
  await tracer.inTrace(TRACEPARENT, { name: "pass" }, () => Promise.resolve());
  tracer.noteEnded({ name: "list nodes", seconds: 1 });
  await tracer.close();
  expect(inbox.spans.map(({ name }) => name)).toEqual(["pass"]);
});

test("a collector that is away holds nobody up", async () => {
  const { url } = inbox;
  await inbox.close();
  const tracer = await open(url);
  const startMs = performance.now();
  for (let n = 0; n < 2000; n++) await tracer.inTrace(undefined, { name: "work" }, () => Promise.resolve());
  expect(performance.now() - startMs).toBeLessThan(2_000);
  await expect(tracer.close()).resolves.toBeUndefined();
});

test("without an address work is merely done", async () => {
  const tracer = await openTracer({ url: undefined, resource: RESOURCE, log: pino({ level: "fatal" }) });
  expect(await tracer.inTrace(TRACEPARENT, { name: "pass" }, () => Promise.resolve(3))).toBe(3);
  await tracer.close();
});
