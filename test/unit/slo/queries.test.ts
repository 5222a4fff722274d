// Queries: nothing that is filled in can become more than a value.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OwnObjective } from "../../../src/api/objectives.ts";
import type { Objective } from "../../../src/slo/objectives.ts";
import { badShare, badShareQuery, fillIn, type Placeholders } from "../../../src/slo/queries.ts";

const PODS: Placeholders = {
  namespace: "shop",
  cluster: "orders",
  canary: ["orders-2-0"],
  control: ["orders-0-0", "orders-1-0"],
};
const DAY_MS = 86_400_000;

describe("a user's query", () => {
  test("gets pods as a regular expression, and names", () => {
    const query = 'max(x{pod=~"$(PODS)",namespace="$(NAMESPACE)"}) / max(x{pod=~"$(CONTROL)"}) > $(CLUSTER)';
    expect(fillIn(query, PODS.canary, PODS)).toBe(
      'max(x{pod=~"orders-2-0",namespace="shop"}) / max(x{pod=~"orders-0-0|orders-1-0"}) > orders',
    );
  });

  test("keeps what is no placeholder", () => {
    expect(fillIn('label_replace(x, "a", "$1", "b", "(.*)") $(OTHER) $(pods)', [], PODS)).toBe(
      'label_replace(x, "a", "$1", "b", "(.*)") $(OTHER) $(pods)',
    );
  });

  test("of no pods matches none", () => {
    expect(fillIn('x{pod=~"$(CONTROL)"}', [], { ...PODS, control: [] })).toBe('x{pod=~"[^\\\\s\\\\S]"}');
  });

  test("is not left by what is filled in, and filled in only once", () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const filled = fillIn('x{pod=~"$(PODS)"}', [name], PODS);
        const inner = /^x\{pod=~"((?:[^"\\\n]|\\.)*)"\}$/.exec(filled)?.[1];
        expect(inner).toBeDefined();
        const expression = JSON.parse(`"${(inner ?? "").replaceAll("\\'", "'")}"`) as string;
        expect(new RegExp(`^(?:${expression})$`).test(name)).toBe(true);
      }),
    );
    expect(fillIn("$(PODS)", ["$(CLUSTER)"], PODS)).not.toContain("orders");
  });
});

describe("an objective's query", () => {
  test("asks for every window at once", () => {
    const query = badShareQuery(
      { source: "Agents", name: "Availability", allowed: 0.001 },
      PODS,
      [1, 720],
      30 * DAY_MS,
    );
    expect(query).toContain("[1h]");
    expect(query).toContain("[30d]");
    expect(query.match(/label_replace/g)).toHaveLength(2);
    expect(query).toContain('namespace="shop",cluster="orders"');
  });

  test.each([
    [200, '"0.2"'],
    [150, '"0.2"'],
    [1, '"0.001"'],
    [61_000, '"+Inf"'],
  ] as const)("names the bound for %d ms: %s", (limitMs, le) => {
    expect(badShareQuery({ source: "Agents", name: "Latency", allowed: 0.05, limitMs }, PODS, [1], DAY_MS)).toContain(
      `le=${le}`,
    );
  });

  test("of members without agents asks the operator's count", () => {
    expect(badShare({ source: "Pods", name: "Availability", allowed: 0.001 }, PODS, "5m")).toBe(
      'sum(increase(quorate_cluster_serving_slices_total{namespace="shop",cluster="orders",result="bad"}[5m])) / ' +
        '(sum(increase(quorate_cluster_serving_slices_total{namespace="shop",cluster="orders"}[5m])) > 0)',
    );
  });
});

describe("an objective of the user's own", () => {
  const own = (queries: object): Objective => {
    const objective = OwnObjective.parse({ name: "checkout", targetPercent: "99.5", ...queries });
    return { source: "Queries", name: "checkout", allowed: 0.005, queries: objective };
  };
  const bad = 'increase(http_requests_total{namespace="$(NAMESPACE)",job="$(CLUSTER)",code=~"5.."}[$(WINDOW)])';
  const total = "increase(http_requests_total[$(WINDOW)])";

  test("asks for bad events among all, with the window and the names filled in", () => {
    expect(badShare(own({ badQuery: bad, totalQuery: ` ${total}\n` }), PODS, "1h30m")).toBe(
      '(sum(increase(http_requests_total{namespace="shop",job="orders",code=~"5.."}[1h30m])) or vector(0)) / ' +
        "clamp_min(sum(increase(http_requests_total[1h30m])), 1e-12)",
    );
  });

  test("asks for the share itself where that is given, and of several for the worst", () => {
    expect(badShare(own({ badRatioQuery: "my:errors:ratio$(WINDOW)" }), PODS, "5m")).toBe("max(my:errors:ratio5m)");
  });

  test("may end in a comment, which takes no bracket in", () => {
    expect(badShare(own({ badRatioQuery: "x[$(WINDOW)] # of all shops" }), PODS, "5m")).toBe(
      "max(x[5m] # of all shops\n)",
    );
  });

  test("keeps what is no placeholder", () => {
    const query = 'label_replace(x[$(WINDOW)], "a", "$1", "b", "(.*)") + $(PODS)';
    expect(badShare(own({ badRatioQuery: query }), PODS, "5m")).toBe(
      'max(label_replace(x[5m], "a", "$1", "b", "(.*)") + $(PODS))',
    );
  });
});
