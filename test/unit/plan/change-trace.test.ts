import { describe, expect, test } from "vitest";
import { formatTraceparent, whileChanging } from "../../../src/api/traceparent.ts";
import { buildIntent, buildIntentConfigMap } from "../../../src/build/config.ts";
import { buildShard, shardSpec } from "../../../src/build/shard.ts";
import { traceOf } from "../../../src/plan/change-trace.ts";
import type { ClusterView } from "../../../src/plan/observation.ts";
import { contextOf, intentOf } from "./fixture.ts";

const CHANGED_MS = Date.parse("2030-01-01T00:00:00Z");
const HOUR_MS = 3_600_000;
const settings = { agentImage: "quorate/agent:1", tracesUrl: "http://collector:4318" };

function cluster(change: Partial<ClusterView> = {}): ClusterView {
  return {
    uid: "uid-orders",
    resourceVersion: "1",
    namespace: "shop",
    name: "orders",
    generation: 4,
    changedMs: CHANGED_MS,
    deleting: false,
    annotations: {},
    intent: intentOf(),
    invalid: undefined,
    status: {},
    ...change,
  };
}

const traceparentOf = (change: Partial<ClusterView> = {}) => traceOf({ settings }, cluster(change))?.traceparent;

describe("the trace of a change", () => {
  test("is W3C's, and the same for everybody who sees the same ClusterSpec", () => {
    expect(traceparentOf()).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(traceparentOf()).toBe(traceparentOf({ resourceVersion: "2", status: { leader: "orders-0" } }));
  });

  test("is another for every change and every cluster", () => {
    const all = [{}, { generation: 5 }, { uid: "uid-other" }, { changedMs: CHANGED_MS + 1000 }].map(traceparentOf);
    expect(new Set(all).size).toBe(all.length);
  });

  test("ends an hour after the change", () => {
    const traceparent = traceparentOf();
    expect(whileChanging(traceparent, CHANGED_MS + HOUR_MS - 1)).toBe(traceparent);
    expect(whileChanging(traceparent, CHANGED_MS + HOUR_MS)).toBeUndefined();
  });

  test.each([undefined, "", "00-0-0-01", `${formatTraceparent(CHANGED_MS, "0".repeat(24), "1".repeat(16))}-more`])(
    "%s is none",
    (text) => expect(whileChanging(text, CHANGED_MS)).toBeUndefined(),
  );

  test("is that of the whole for a shard", () => {
    const whole = traceparentOf() ?? "";
    const shard = intentOf({ shard: { of: "orders", shards: ["orders-s0"] } });
    const annotations = { "quorate.io/traceparent": whole };
    expect(traceparentOf({ uid: "uid-shard", intent: shard, annotations })).toBe(whole);
    expect(traceparentOf({ annotations: { "quorate.io/traceparent": "00-0" } })).toBe(whole); // nobody's to set
  });

  test("is none unless it is asked for, or while nobody knows when the change was", () => {
    expect(traceOf({ settings: { agentImage: "quorate/agent:1" } }, cluster())).toBeUndefined();
    expect(traceparentOf({ changedMs: undefined })).toBeUndefined();
  });
});

describe("children", () => {
  const trace = traceOf({ settings }, cluster());
  const state = {
    generation: 1,
    members: ["orders-0"],
    learners: [],
    bootstrapMember: null,
    initialized: true,
    switchover: null,
    restart: null,
    rebuild: null,
    hook: null,
  };

  test("carry it to agents and shards", () => {
    const context = { ...contextOf(), trace };
    const map = buildIntentConfigMap(context, buildIntent(context, state));
    expect(map.metadata.annotations).toEqual({
      "quorate.io/traceparent": trace?.traceparent,
      "quorate.io/traces-to": "http://collector:4318",
    });
    const shard = buildShard(context, "orders-s0", shardSpec(context, true), { of: "orders", shards: ["orders-s0"] });
    expect(shard.metadata.annotations).toEqual({ "quorate.io/traceparent": trace?.traceparent });
  });

  test("are as they were without", () => {
    const context = contextOf();
    expect(buildIntentConfigMap(context, buildIntent(context, state)).metadata.annotations).toBeUndefined();
  });
});
