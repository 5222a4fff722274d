import { pino } from "pino";
import { expect, test } from "vitest";
import { ChangeTrace } from "../../../src/agent/change-trace.ts";
import { formatTraceparent } from "../../../src/api/traceparent.ts";
import { NO_TRACES, type Tracer, type TracerOptions } from "../../../src/telemetry/tracer.ts";

const CHANGED_MS = Date.parse("2030-01-01T00:00:00Z");
const CHANGE = formatTraceparent(CHANGED_MS, "a".repeat(24), "b".repeat(16));

/** A member's traces, and what is noted of them: the trace, the name, the failure. */
function member() {
  let nowMs = CHANGED_MS + 1000;
  const noted: unknown[] = [];
  const ways: (string | undefined)[] = [];
  const closed: string[] = [];
  const open = ({ url }: TracerOptions): Promise<Tracer> => {
    ways.push(url);
    if (url === undefined) return Promise.resolve(NO_TRACES);
    return Promise.resolve({
      inTrace: (traceparent, { name }, work) => {
        noted.push([traceparent, name]);
        return work();
      },
      inSpan: (_span, work) => work(),
      noteEnded: ({ name, problem }, traceparent) => void noted.push([traceparent, name, problem]),
      noteRoot: () => undefined,
      close: () => Promise.resolve(void closed.push(url)),
    });
  };
  const clock = { now: () => new Date(nowMs) };
  const trace = new ChangeTrace({ resource: {}, clock, log: pino({ level: "fatal" }), open });
  const follow = async (annotations: Record<string, string>): Promise<void> => {
    trace.follow(annotations);
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { trace, noted, ways, closed, follow, pass: (ms: number) => (nowMs += ms) };
}

const to = (url: string) => ({ "quorate.io/traceparent": CHANGE, "quorate.io/traces-to": url });

test("nothing is opened until the operator says where to", async () => {
  const { trace, noted, ways, follow } = member();
  await follow({});
  expect(await trace.within("Promote", () => Promise.resolve(1))).toBe(1);
  trace.acted("promote", 1, true);
  expect([ways, noted]).toEqual([[], []]);
});

test("actions soon after a change are part of it, routine is of nothing", async () => {
  const { trace, noted, follow } = member();
  await follow(to("http://a"));
  await trace.within("Promote", () => Promise.resolve());
  trace.acted("observe", 0.1, true);
  trace.acted("promote", 1, true);
  trace.acted("reload", 1, false);
  expect(noted).toEqual([
    [CHANGE, "Promote"],
    [CHANGE, "engine promote", undefined],
    [CHANGE, "engine reload", "failed"],
  ]);
});

test("a failover long after the change is a trace of its own", async () => {
  const { trace, noted, follow, pass } = member();
  await follow(to("http://a"));
  pass(3_600_000);
  await trace.within("Promote", () => Promise.resolve());
  expect(noted).toEqual([[undefined, "Promote"]]);
});

test("another address is another way, and none is the end of it", async () => {
  const { ways, closed, follow, trace, noted } = member();
  await follow(to("http://a"));
  await follow(to("http://a"));
  await follow(to("http://b"));
  await follow({});
  expect(ways).toEqual(["http://a", "http://b", undefined]);
  expect(closed).toEqual(["http://a", "http://b"]);
  trace.acted("promote", 1, true);
  expect(noted).toEqual([]);
});
