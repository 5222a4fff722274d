import { beforeEach, expect, test } from "vitest";
import { type ClusterObserver, clusterMetrics } from "../../../src/telemetry/cluster-metrics.ts";
import { ClusterRegistry } from "../../../src/telemetry/cluster-registry.ts";

const NOW_MS = Date.parse("2030-01-01T00:01:00Z");
let nowMs: number;
let registry: ClusterRegistry;
let observer: ClusterObserver;

beforeEach(() => {
  registry = new ClusterRegistry();
  nowMs = NOW_MS;
  observer = clusterMetrics(registry, () => nowMs);
});

async function series(name: string): Promise<string[]> {
  const text = await registry.metrics();
  return text.split("\n").filter((line) => line.startsWith(`${name}{`));
}

function blocked(guard: string, since: string, object = "orders") {
  return { guard, object, message: "No.", since };
}

test("a guard that holds something back shows for how long, and is gone when it does not", async () => {
  observer.planned("shop/orders", { blocked: [blocked("NotPaused", "2030-01-01T00:00:00Z")] });
  expect(await series("quorate_blocked_seconds")).toEqual([
    'quorate_blocked_seconds{namespace="shop",cluster="orders",guard="NotPaused"} 60',
  ]);
  observer.planned("shop/orders", { blocked: [] });
  expect(await series("quorate_blocked_seconds")).toEqual([]);
});

test("of several objects that one guard holds back, the oldest counts", async () => {
  const younger = blocked("MembersInSync", "2030-01-01T00:00:50Z", "orders-1");
  const older = blocked("MembersInSync", "2030-01-01T00:00:30Z", "orders-2");
  for (const order of [
    [younger, older],
    [older, younger],
  ]) {
    observer.planned("shop/orders", { blocked: order });
    expect(await series("quorate_blocked_seconds")).toEqual([expect.stringMatching(/ 30$/)]);
  }
});

test("nothing is left of a cluster that is gone", async () => {
  observer.planned("shop/orders", { blocked: [blocked("NotPaused", "2030-01-01T00:00:00Z")] });
  observer.planned("shop/other", { blocked: [blocked("NotPaused", "2030-01-01T00:00:00Z")] });
  observer.gone("shop/orders");
  expect(await series("quorate_blocked_seconds")).toEqual([expect.stringContaining('cluster="other"')]);
});

test("a mishap that blocks everything makes a bounded number of series", async () => {
  for (let at = 0; at < 3000; at += 1) {
    observer.planned(`shop/c${at}`, { blocked: [blocked("LeaderKnown", "2030-01-01T00:00:00Z")] });
  }
  expect(await series("quorate_blocked_seconds")).toHaveLength(1000);
});

test("rolls are counted by how they end, and drawn by revision and phase", async () => {
  const rollout = { revision: "h1", phase: "Complete" as const, updated: ["orders-0"] };
  observer.planned("shop/orders", { blocked: [], rollout });
  observer.rolloutEnded("shop/orders", "failed");
  expect(await series("quorate_rollout_info")).toEqual([
    'quorate_rollout_info{namespace="shop",cluster="orders",revision="h1",phase="Complete"} 1',
  ]);
  expect(await series("quorate_rollouts_total")).toEqual([
    'quorate_rollouts_total{namespace="shop",cluster="orders",result="completed"} 0',
    'quorate_rollouts_total{namespace="shop",cluster="orders",result="failed"} 1',
    'quorate_rollouts_total{namespace="shop",cluster="orders",result="rolled_back"} 0',
  ]);
  observer.gone("shop/orders");
  expect([...(await series("quorate_rollout_info")), ...(await series("quorate_rollouts_total"))]).toEqual([]);
});

test("a planned step shows while it runs, so long after that a scrape sees it, and goes with its cluster", async () => {
  const step = () => series("quorate_planned_step");
  observer.planned("shop/orders", { blocked: [], planned: "Rollout" });
  expect(await step()).toEqual(['quorate_planned_step{namespace="shop",cluster="orders",change="Rollout"} 1']);
  observer.planned("shop/orders", { blocked: [], planned: "ScaleOut" });
  expect(await step()).toEqual([expect.stringContaining('change="ScaleOut"')]);
  // Over before anybody looked; and whoever waits for a member holds the next step back.
  observer.planned("shop/orders", { blocked: [blocked("MembersInSync", "2030-01-01T00:01:00Z")] });
  nowMs += 59_000;
  observer.planned("shop/orders", { blocked: [] });
  expect(await step()).toEqual([expect.stringContaining('change="ScaleOut"')]);
  nowMs += 2_000;
  expect(await step()).toEqual([]);
  observer.planned("shop/orders", { blocked: [] });
  expect(await step()).toEqual([]);
  observer.planned("shop/orders", { blocked: [], planned: "Stop" });
  observer.gone("shop/orders");
  expect(await step()).toEqual([]);
});
