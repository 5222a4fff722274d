// Queries: nothing that is filled in can become more than a value.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { badShareQuery, fillIn, type Placeholders } from "../../../src/slo/queries.ts";

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
    const query = badShareQuery({ name: "Availability", allowed: 0.001 }, PODS, [1, 720], 30 * DAY_MS);
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
    expect(badShareQuery({ name: "Latency", allowed: 0.05, limitMs }, PODS, [1], DAY_MS)).toContain(`le=${le}`);
  });
});
