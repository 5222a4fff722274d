import { describe, expect, test } from "vitest";
import { ClusterSpec } from "../../../src/api/cluster-spec.ts";
import { ago, duration } from "../../../src/cli/ago.ts";
import { linesOf, merged } from "../../../src/cli/log-lines.ts";
import { PLAIN } from "../../../src/cli/palette.ts";
import { renderTree } from "../../../src/cli/tree.ts";
import { renderWhy } from "../../../src/cli/why.ts";

const NOW = Date.parse("2030-01-01T12:00:00Z");

function cluster(status: object, spec: object = {}): ClusterSpec {
  return ClusterSpec.parse({
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterSpec",
    metadata: { name: "orders", namespace: "shop", generation: 3 },
    spec: { engine: { name: "postgres", version: "15" }, ...spec },
    status,
  });
}

const condition = (type: string, status: string, reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: "2030-01-01T11:00:00Z",
});

describe("why", () => {
  test("one sentence when all is well", () => {
    const well = cluster({ observedGeneration: 3, conditions: [condition("Ready", "True", "AsWanted", "all well")] });
    expect(renderWhy({ cluster: well, operations: [], events: [], nowMs: NOW }, PLAIN)).toEqual([
      "✓ orders is as its spec asks, and nothing is held back",
    ]);
  });

  test("what is not well, what holds it back, what was asked and what was told, in that order", () => {
    const bad = cluster({
      observedGeneration: 2,
      change: "Rolling out abc",
      conditions: [
        condition("Ready", "False", "MembersMissing", "orders-1 is not ready"),
        condition("Available", "True", "Serving", "orders-0 leads"),
        condition("Degraded", "True", "MembersMissing", "2/3"),
      ],
      blocked: [
        {
          guard: "WindowOpen",
          object: "orders",
          message: "No maintenance window is open.",
          since: "2030-01-01T11:59:30Z",
          nextTry: "2030-01-05T03:00:00Z",
          override: "kubectl annotate x",
        },
      ],
    });
    const operation = {
      apiVersion: "quorate.io/v1alpha1",
      kind: "ClusterOperation",
      metadata: { name: "now" },
      spec: { clusterName: "orders", type: "Restart", deadlineSeconds: 300 },
      status: { phase: "Pending", message: "waits" },
    } as const;
    const event = {
      type: "Warning",
      reason: "MemberLost",
      note: "orders-1 left",
      object: "ClusterSpec orders",
      atMs: NOW - 90_000,
    };
    const lines = renderWhy({ cluster: bad, operations: [operation], events: [event], nowMs: NOW }, PLAIN);
    expect(lines).toMatchInlineSnapshot(`
      [
        "The operator has not dealt with the newest spec yet.",
        "… Rolling out abc",
        "Ready is False since 1h, MembersMissing: orders-1 is not ready",
        "Degraded is True since 1h, MembersMissing: 2/3",
        "",
        "Held back by WindowOpen (orders) since 30s: No maintenance window is open.",
        "  goes on when one of \`spec.maintenanceWindows\` is open, or there is none",
        "  tried again by itself at 2030-01-05T03:00:00Z",
        "  to let it pass: kubectl annotate x",
        "",
        "Restart by operation now, Pending: waits",
        "",
        "   1m30s ago MemberLost ClusterSpec orders: orders-1 left",
      ]
    `);
  });
});

test("the tree's columns are as wide as what is in them", () => {
  const member = (name: string, role: string, state: string) => ({
    name,
    role,
    state,
    ready: state === "Running",
    revision: "abc",
  });
  const members = [
    { ...member("orders-0", "Leader", "Running"), node: "n1" },
    { ...member("orders-1", "Follower", "Cloning"), node: "worker-12", lag: ">=1Gi" },
    { ...member("orders-10", "None", "Starting") },
  ];
  expect(renderTree(cluster({ members, epoch: 4, readyRatio: "1/3" }), PLAIN)).toMatchInlineSnapshot(`
    [
      "orders · postgres 15 · ActivePassive · Quorum/Standard · 1/3 ready · epoch 4",
      "├─ ★ orders-0  Leader   Running  n1        abc",
      "├─ ● orders-1  Follower Cloning  worker-12 abc lag >=1Gi",
      "└─ ○ orders-10 None     Starting           abc",
    ]
  `);
});

test("the tree counts the members that have no names that last", () => {
  const { spec, ...rest } = cluster({
    readyRatio: "5/6",
    tracks: [
      { name: "stable", revision: "abc", desired: 5, ready: 5, updated: 3 },
      { name: "canary", revision: "def", desired: 1, ready: 0, updated: 1 },
    ],
  });
  const fleet = { ...rest, spec: { ...spec, topology: "Stateless" as const } };
  expect(renderTree(fleet, PLAIN)).toMatchInlineSnapshot(`
    [
      "orders · postgres 15 · Stateless · 5/6 ready",
      "├─ ● stable 5/5 ready abc 3/5 updated",
      "└─ ○ canary 0/1 ready def",
    ]
  `);
});

test.each([
  [0, "0s"],
  [-5, "0s"],
  [59_999, "59s"],
  [60_000, "1m"],
  [90_000, "1m30s"],
  [3_600_000, "1h"],
  [90_000_000, "1d1h"],
])("%i ms is %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
  expect(ago(new Date(NOW - ms).toISOString(), NOW)).toBe(text);
});

describe("log lines", () => {
  async function* chunks(...texts: readonly string[]): AsyncGenerator<string> {
    yield* texts;
  }

  test("are put together from pieces that end anywhere", async () => {
    const lines = [];
    for await (const line of linesOf("a", chunks("2030Z on", "e\n2031Z two\n20", "32Z", " three")))
      lines.push(line.text);
    expect(lines).toEqual(["one", "two", "three"]);
  });

  test("of one moment are in the order of their nanoseconds, however those are written", () => {
    const times = [
      "2030-01-01T00:00:01.2Z",
      "2030-01-01T00:00:01.1999Z",
      "2030-01-01T00:00:01Z",
      "2030-01-01T00:00:01.200000001Z",
    ];
    const lines = times.map((time) => ({ member: "a", time, text: "" }));
    expect(merged(lines).map(({ time }) => time)).toEqual([times[2], times[1], times[0], times[3]]);
  });
});

test("the tree shows who leads which slots", () => {
  const { spec, ...rest } = cluster({
    readyRatio: "1/2",
    shards: [
      { name: "orders-s0", ready: true, leader: "orders-s0-1", slots: "0-8191" },
      { name: "orders-s1", ready: false, slots: "" },
    ],
  });
  const whole = { ...rest, spec: { ...spec, topology: "Sharded" as const } };
  expect(renderTree(whole, PLAIN).slice(1)).toEqual([
    "├─ ● orders-s0 led by orders-s0-1 slots 0-8191",
    "└─ ○ orders-s1 no leader no slots",
  ]);
});
