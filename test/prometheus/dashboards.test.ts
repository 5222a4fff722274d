// Every query of every dashboard, asked of a real Prometheus that scrapes our real instruments and has our real rules.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DASHBOARDS } from "../../hack/generate/dashboards/dashboards.ts";
import { ANNOTATIONS } from "../../hack/generate/dashboards/panel.ts";
import { filledIn } from "../../hack/pictures/picture.ts";
import { agentMetrics, usageMetrics } from "../../src/agent/metrics.ts";
import { requestMetrics } from "../../src/agent/requests.ts";
import type { ClusterState } from "../../src/observe/cluster-states.ts";
import { Prometheus } from "../../src/observe/prometheus.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { clusterMetrics } from "../../src/telemetry/cluster-metrics.ts";
import { apiCallMetrics, queueMetrics, reconcileMetrics, watchMetrics } from "../../src/telemetry/metrics.ts";
import { budgetMetrics } from "../../src/telemetry/slo-metrics.ts";
import { podEndMetrics, stateMetrics } from "../../src/telemetry/state-metrics.ts";
import { HostPrometheus } from "./harness.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

const never = new AbortController().signal;
const agents = [0, 1, 2].map((at) => {
  const metrics = agentMetrics({ namespace: "shop", cluster: "orders", member: `orders-${at}`, node: `n${at}` });
  return { metrics, showUsage: usageMetrics(metrics.registry), countRequests: requestMetrics(metrics.registry) };
});
let cpuSeconds = 0;

/** A second in the life of a member. */
function live({ metrics, showUsage, countRequests }: (typeof agents)[number], at: number): void {
  const leads = at === 0;
  countRequests({ served: 50, failed: 1, took: { seconds: 0.5, requests: 51, within: { "0.01": 40, "0.1": 51 } } });
  cpuSeconds += 0.1;
  showUsage({
    cpuSeconds,
    cpuThrottledSeconds: cpuSeconds / 100,
    cpuCapacityCores: 2,
    memoryBytes: 5e8,
    memoryLimitBytes: 1e9,
    volumeSizeBytes: 1e10,
    volumeFreeBytes: 6e9,
  });
  metrics.isLeader.set(leads ? 1 : 0);
  metrics.epoch.set(3);
  metrics.engineUp.set(1);
  metrics.expectedMembers.set(3);
  metrics.lagBytes.set(at * 100);
  metrics.lagSeconds.set(at / 10);
  metrics.actionSeconds.observe({ action: "observe", result: "ok" }, 0.003);
  metrics.actionSeconds.observe({ action: "observe", result: "error" }, 0.003);
  if (!leads) return;
  metrics.heartbeatSeconds.observe({ peer: "orders-1" }, 0.002);
  metrics.leaseMargin.set(4);
  metrics.writeSlices.inc({ result: "good" });
  metrics.quorumSlices.inc({ result: "good" });
  metrics.leaseSeconds.observe({ result: "ok" }, 0.02);
  metrics.followerLagBytes.set({ follower: "orders-1" }, 100);
  metrics.failoverSeconds.observe({ phase: "promote", trigger: "expired" }, 0.4);
}

const STATE: ClusterState = {
  namespace: "shop",
  cluster: "orders",
  engine: "postgres",
  version: "15",
  topology: "ActivePassive",
  durability: "Quorum",
  profile: "Fast",
  shardOf: "",
  desired: 3,
  ready: 3,
  isInitialized: true,
  members: [{ member: "orders-0", node: "n0", region: "north", role: "leader", revision: "h1" }],
  windows: [{ window: "saturday", isOpen: true }],
};

const registry = new ClusterRegistry();
const countCall = apiCallMetrics(registry);
const watch = watchMetrics(registry)("pods", () => 3);
const queue = queueMetrics(registry);
const countPass = reconcileMetrics(registry)("cluster");
const clusters = clusterMetrics(registry, () => Date.now());
const ends = podEndMetrics(registry);
stateMetrics(registry, () => [STATE]);
const burns = [{ units: 1, window: "1h", rate: 0.5 }];
budgetMetrics(registry, () => [
  { key: "shop/orders", budgets: [{ name: "Availability", remaining: 0.9, burns, alert: "None" }] },
]);

/** A second in the life of the operator. */
function operate(): void {
  countCall({ verb: "get", resource: "pods", code: 200, seconds: 0.01, attempt: 1 } as Parameters<typeof countCall>[0]);
  watch.reconnecting("Broken");
  queue.depth?.("change", 1);
  queue.waited?.("change", 0.01);
  countPass("success", 0.02);
  const blocked = [{ guard: "MembersInSync", object: "orders-1", message: "No.", since: new Date(0).toISOString() }];
  const rollout = { revision: "h1", phase: "Progressing" as const, updated: [] };
  clusters.planned("shop/orders", { blocked, rollout, planned: "Rollout" });
  clusters.membersChanged("shop/orders", { joined: 1, left: 0 });
  ends.known("shop/orders");
}

async function exposition(): Promise<string> {
  for (const [at, agent] of agents.entries()) live(agent, at);
  operate();
  const texts = await Promise.all(
    [registry, ...agents.map(({ metrics }) => metrics.registry)].map((one) => one.metrics()),
  );
  const series = texts.flatMap((text) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#")));
  return `${series.join("\n")}\nprocess_resident_memory_bytes 1e8\n`;
}

let prometheus: HostPrometheus;
let client: Prometheus;

beforeAll(async () => {
  prometheus = await HostPrometheus.start(exposition, fleetGroups());
  client = new Prometheus(prometheus.url);
  await prometheus.scraped(12);
}, 120_000);
afterAll(() => prometheus?.stop());

const QUERIES = DASHBOARDS.flatMap(({ uid, rows }) =>
  rows.flatMap(({ panels }) =>
    panels.flatMap(({ title, queries }) => queries.map(({ expr }) => ({ uid, title, expr }))),
  ),
);

describe("panels", () => {
  test.each(QUERIES)("$uid: $title has data", async ({ expr }) => {
    expect((await client.query(filledIn(expr), never)).length).toBeGreaterThan(0);
  });
});

describe("annotations", () => {
  test.each(ANNOTATIONS)("$name are understood", async ({ expr }) => {
    await expect(client.query(filledIn(expr), never)).resolves.toBeDefined();
  });
});
