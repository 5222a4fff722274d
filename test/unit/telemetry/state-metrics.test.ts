import { beforeEach, expect, test } from "vitest";
import type { ClusterState } from "../../../src/observe/cluster-states.ts";
import { podEndMetrics, stateMetrics } from "../../../src/telemetry/state-metrics.ts";
import { ClusterRegistry } from "../../../src/telemetry/cluster-registry.ts";

const ORDERS: ClusterState = {
  namespace: "shop",
  cluster: "orders",
  engine: "postgres",
  version: "15",
  topology: "ActivePassive",
  durability: "Quorum",
  profile: "Fast",
  shardOf: "all-orders",
  desired: 3,
  ready: 2,
  isInitialized: true,
  members: [{ member: "orders-0", node: "n1", region: "north", role: "leader", revision: "h1" }],
  windows: [{ window: "saturday", isOpen: true }],
};
let registry: ClusterRegistry;

beforeEach(() => {
  registry = new ClusterRegistry();
});

async function series(name: string): Promise<string[]> {
  return (await registry.metrics()).split("\n").filter((line) => line.startsWith(`${name}{`));
}

test("a cluster, its members and its windows show as they are, and go when they go", async () => {
  let current: readonly ClusterState[] = [ORDERS];
  stateMetrics(registry, () => current);
  const of = 'namespace="shop",cluster="orders"';
  expect(await series("quorate_cluster_info")).toEqual([
    `quorate_cluster_info{${of},engine="postgres",version="15",topology="ActivePassive",durability="Quorum",profile="Fast",shard_of="all-orders"} 1`,
  ]);
  expect(await series("quorate_cluster_members")).toEqual([
    `quorate_cluster_members{${of},state="desired"} 3`,
    `quorate_cluster_members{${of},state="ready"} 2`,
  ]);
  expect(await series("quorate_cluster_initialized")).toEqual([`quorate_cluster_initialized{${of}} 1`]);
  expect(await series("quorate_member_info")).toEqual([
    `quorate_member_info{${of},member="orders-0",node="n1",region="north",role="leader",revision="h1"} 1`,
  ]);
  expect(await series("quorate_maintenance_window_open")).toEqual([
    `quorate_maintenance_window_open{${of},window="saturday"} 1`,
  ]);
  current = [];
  expect((await registry.metrics()).split("\n").filter((line) => line.startsWith("quorate_"))).toEqual([]);
});

test("ends of members are there at zero before the first one, and go with the cluster", async () => {
  const ends = podEndMetrics(registry);
  ends.known("shop/orders");
  ends.ended("shop/orders", "OOMKilled");
  ends.known("shop/orders");
  expect(await series("quorate_pod_ends_total")).toEqual([
    'quorate_pod_ends_total{namespace="shop",cluster="orders",reason="OOMKilled"} 1',
    'quorate_pod_ends_total{namespace="shop",cluster="orders",reason="Evicted"} 0',
  ]);
  ends.gone("shop/orders");
  expect(await series("quorate_pod_ends_total")).toEqual([]);
});
