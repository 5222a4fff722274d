/** Families of clusters are shown as prom-client would show them. */
import * as fc from "fast-check";
import { Counter, Gauge, Registry } from "prom-client";
import { expect, test } from "vitest";
import { ClusterRegistry, type Row } from "../../../src/telemetry/cluster-registry.ts";

const LINE = /^quorate_test/;

async function linesOf(registry: Registry): Promise<string[]> {
  return (await registry.metrics()).split("\n").filter((line) => LINE.test(line) || line.startsWith("# "));
}

const rows = fc.uniqueArray(
  fc.record({
    key: fc.tuple(fc.stringMatching(/^[a-z]{1,5}$/), fc.stringMatching(/^[a-z]{1,5}$/)).map((names) => names.join("/")),
    labels: fc.record({
      guard: fc.string({ unit: "binary" }),
      phase: fc.constantFrom('a"b', "line\nbreak", "back\\slash", ""),
    }),
    value: fc.oneof(fc.double(), fc.integer()),
  }),
  { selector: ({ key, labels }) => JSON.stringify([key, labels]) },
);

test("as prom-client shows the same series", async () => {
  await fc.assert(
    fc.asyncProperty(rows, fc.constantFrom("gauge" as const, "counter" as const), async (shown: Row[], type) => {
      const values = type === "counter" ? shown.filter(({ value }) => Number.isFinite(value) && value >= 0) : shown;
      const [ours, theirs] = [new ClusterRegistry(), new Registry()];
      const text = { name: "quorate_test", help: 'What it "says"\nin two lines \\ parts' };
      ours.show({ ...text, type, labels: ["guard", "phase"], rows: () => values });
      const labelNames = ["namespace", "cluster", "guard", "phase"];
      const metric =
        type === "gauge"
          ? new Gauge({ ...text, labelNames, registers: [theirs] })
          : new Counter({ ...text, labelNames, registers: [theirs] });
      for (const { key, labels, value } of values) {
        const [namespace = "", cluster = ""] = key.split("/");
        metric.inc({ namespace, cluster, ...labels }, value);
      }
      expect(await linesOf(ours)).toEqual(await linesOf(theirs));
    }),
  );
});

test("in parts, each of which the next waits for", async () => {
  const registry = new ClusterRegistry();
  const other = new Counter({ name: "of_prom_client", help: "h", registers: [registry] });
  other.inc();
  let made = 0;
  registry.show({
    name: "quorate_test",
    help: "h",
    type: "gauge",
    labels: [],
    *rows() {
      for (made = 0; made < 10_000; made += 1) yield { key: `shop/c${made}`, labels: {}, value: made };
    },
  });
  const parts: { readonly text: string; readonly made: number }[] = [];
  for await (const text of registry.chunks()) parts.push({ text, made });
  expect(parts[0]?.text).toContain("of_prom_client 1");
  expect(parts.length).toBeGreaterThan(5);
  expect(parts.map((part) => part.made)).toEqual(parts.map((part) => part.made).toSorted((a, b) => a - b));
  expect(parts[1]?.made).toBeLessThan(2_000);
  expect(parts.map(({ text }) => text).join("")).toBe(await registry.metrics());
});
