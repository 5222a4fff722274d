import { expect, test } from "vitest";
import { agentMetrics } from "../../../src/agent/metrics.ts";
import { countQuorum, hasQuorum, lagSecondsOf, showMember } from "../../../src/agent/indicators.ts";
import { EngineObservation } from "../../../src/api/engine-observation.ts";
import type { Intent } from "../../../src/api/agent-wire.ts";

const view = (role: "leader" | "follower") => ({ role }) as Parameters<typeof lagSecondsOf>[0]["view"];
const position = { history: "1", value: "0" };
const follower = (name: string, streaming = true) => ({ name, value: "0", streaming });

function observed(followers: readonly ReturnType<typeof follower>[], fields: object = {}): EngineObservation {
  return EngineObservation.parse({ writable: true, position, followers, ...fields });
}

function members(count: number): Intent["members"] {
  return Array.from({ length: count }, (_, at) => ({ name: `orders-${at}` }) as Intent["members"][number]);
}

test("a follower whose engine does not answer does not look as if it were up to date", () => {
  expect(lagSecondsOf({ view: view("follower"), observation: undefined })).toBeNaN();
  expect(lagSecondsOf({ view: view("follower"), observation: observed([], { replayLagSeconds: 2 }) })).toBe(2);
  expect(lagSecondsOf({ view: view("leader"), observation: undefined })).toBe(0);
});

test("a follower that hears no leader does not know how far ahead that is by now", async () => {
  const metrics = agentMetrics({ cluster: "orders", namespace: "shop", member: "orders-1", node: "n" });
  const shown = async (isLeaderHeard: boolean): Promise<number | undefined> => {
    const parts = { view: view("follower"), observation: observed([], { writable: false }), isLeaderHeard };
    showMember(metrics, { ...parts, leaderPosition: { ...position, value: "7", ancestors: [] } }, undefined);
    return (await metrics.lagBytes.get()).values[0]?.value;
  };
  expect(await shown(true)).toBe(7);
  expect(await shown(false)).toBeNaN();
});

test.each([
  { of: 1, streaming: [], has: true },
  { of: 2, streaming: [], has: false },
  { of: 3, streaming: [], has: false },
  { of: 3, streaming: ["orders-1"], has: true },
  { of: 5, streaming: ["orders-1"], has: false },
  { of: 5, streaming: ["orders-1", "orders-4"], has: true },
  { of: 3, streaming: ["somebody"], has: false },
])("a leader of $of with $streaming has its quorum: $has", ({ of, streaming, has }) => {
  expect(hasQuorum(observed(streaming.map((name) => follower(name))), members(of))).toBe(has);
});

test("a follower that does not stream counts for nothing, and nor does an engine that does not answer", async () => {
  expect(hasQuorum(observed([follower("orders-1", false)]), members(3))).toBe(false);
  const metrics = agentMetrics({ cluster: "orders", namespace: "shop", member: "orders-0", node: "n" });
  countQuorum(metrics, undefined, { members: members(3) } as Intent);
  countQuorum(metrics, observed([follower("orders-1")]), { members: members(3) } as Intent);
  const { values } = await metrics.quorumSlices.get();
  expect(values.map(({ labels, value }) => [labels["result"], value])).toEqual([
    ["good", 1],
    ["bad", 1],
  ]);
});

test("before anything is known of a member, its lag is not known either", async () => {
  const { registry } = agentMetrics({ cluster: "orders", namespace: "shop", member: "orders-0", node: "n" });
  const lags = (await registry.metrics())
    .split("\n")
    .filter((line) => line.startsWith("quorate_member_replication_lag_"));
  expect(lags.map((line) => line.split(" ").at(-1))).toEqual(["Nan", "Nan"]);
});
