// The examples of how logs come into Loki: each is whole, and what it makes of our pods and lines has the labels of our metrics.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { agentMetrics } from "../../../src/agent/metrics.ts";
import { buildStatefulSet } from "../../../src/build/stateful-set.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { contextOf } from "../plan/fixture.ts";
import { type AlloyBlock, exportsOf, parseAlloy, referencesIn } from "./alloy.ts";

const ROOT = join(import.meta.dirname, "../../..");
const PAGE = readFileSync(join(ROOT, "docs/logs.md"), "utf8");

type Labels = Readonly<Record<string, string>>;

/** One rule of relabelling, as both programs know it. */
interface Relabelling {
  readonly source_labels: readonly string[];
  readonly target_label?: string;
  readonly separator?: string;
  readonly regex?: string;
  readonly replacement?: string;
  readonly action?: string;
}

/** An example, in the words that both have in common. */
interface Shipping {
  readonly relabellings: readonly Relabelling[];
  /** Fields that are taken out of a line. */
  readonly fields: readonly string[];
  readonly timestamp: { readonly source: string; readonly format: string; readonly action_on_failure: string };
  /** Fields that become labels. */
  readonly labels: readonly string[];
  readonly address: string;
}

function blockOf(language: string, containing: string): string {
  const blocks = [...PAGE.matchAll(/^```(\w+)\n([^]*?)^```/gm)].filter(([, name]) => name === language);
  return blocks.map(([, , text = ""]) => text).find((text) => text.includes(containing)) ?? "";
}

interface PromtailConfig {
  readonly clients: readonly { readonly url: string }[];
  readonly scrape_configs: readonly {
    readonly kubernetes_sd_configs: readonly object[];
    readonly relabel_configs: readonly Relabelling[];
    readonly pipeline_stages: readonly Readonly<Record<string, Readonly<Record<string, unknown>>>>[];
  }[];
}

function promtail(): Shipping {
  const config = load(blockOf("yaml", "scrape_configs")) as PromtailConfig;
  const [scrape] = config.scrape_configs;
  const stage = (name: string) => scrape?.pipeline_stages.find((one) => name in one)?.[name] ?? {};
  return {
    relabellings: scrape?.relabel_configs ?? [],
    fields: Object.keys(stage("json")["expressions"] ?? {}),
    timestamp: stage("timestamp") as Shipping["timestamp"],
    labels: Object.keys(stage("labels")),
    address: config.clients[0]?.url ?? "",
  };
}

const ALLOY = parseAlloy(blockOf("alloy", "discovery.kubernetes"));
const named = (blocks: readonly AlloyBlock[], name: string): readonly AlloyBlock[] =>
  blocks.filter((block) => block.name === name);

function alloy(): Shipping {
  const [relabel] = named(ALLOY, "discovery.relabel");
  const [process] = named(ALLOY, "loki.process");
  const [write] = named(ALLOY, "loki.write");
  const address = named(write?.blocks ?? [], "endpoint")[0]?.values["url"];
  const stage = (name: string) => named(process?.blocks ?? [], `stage.${name}`)[0]?.values ?? {};
  return {
    relabellings: named(relabel?.blocks ?? [], "rule").map(({ values }) => values as unknown as Relabelling),
    fields: Object.keys(stage("json")["expressions"] ?? {}),
    timestamp: stage("timestamp") as unknown as Shipping["timestamp"],
    labels: Object.keys(stage("labels")["values"] ?? {}),
    address: typeof address === "string" ? address : "",
  };
}

/** What Kubernetes tells of a pod, and what the rules make of it; undefined when they leave it out. */
function relabelled(rules: readonly Relabelling[], pod: Labels): Labels | undefined {
  const labels: Record<string, string> = { ...pod };
  for (const { source_labels, separator = ";", regex = "(.*)", replacement = "$1", ...rule } of rules) {
    const value = source_labels.map((name) => labels[name] ?? "").join(separator);
    const match = new RegExp(`^(?:${regex})$`).exec(value);
    if (rule.action === "keep") {
      if (match === null) return undefined;
    } else if (match !== null && rule.target_label !== undefined) {
      labels[rule.target_label] = replacement.replaceAll("$1", match[1] ?? "");
    }
  }
  // A label without a value is none.
  return Object.fromEntries(Object.entries(labels).filter(([name, value]) => !name.startsWith("__") && value !== ""));
}

function discovered(labels: Labels, namespace: string): Labels {
  const metaOf = (name: string) => `__meta_kubernetes_pod_label_${name.replaceAll(/[^A-Za-z0-9_]/g, "_")}`;
  return {
    ...Object.fromEntries(Object.entries(labels).map(([name, value]) => [metaOf(name), value])),
    __meta_kubernetes_namespace: namespace,
    __meta_kubernetes_pod_node_name: "n1",
    __meta_kubernetes_pod_uid: "1234",
    __meta_kubernetes_pod_container_name: "engine",
  };
}

interface WithTemplate {
  readonly spec: { readonly template: { readonly metadata: { readonly labels: Labels } } };
}
const podLabelsOf = (workload: unknown): Labels => (workload as WithTemplate).spec.template.metadata.labels;
const MEMBER = podLabelsOf(buildStatefulSet(contextOf(), "orders-1"));
const OPERATOR = podLabelsOf(load(readFileSync(join(ROOT, "deploy/operator/deployment.yaml"), "utf8")));

/** The labels of every series of a member. */
async function metricLabels(): Promise<Labels> {
  const labels = { namespace: "shop", cluster: "orders", member: "orders-1", node: "n1" };
  const metrics = agentMetrics(labels);
  metrics.epoch.set(1);
  const [, text = ""] = /^quorate_member_epoch\{(.*)\} 1$/m.exec(await metrics.registry.metrics()) ?? [];
  return Object.fromEntries([...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]));
}

function line(): Labels {
  let text = "";
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  createLogger({ program: "agent", version: "1", destination }).warn("Lease is late");
  return JSON.parse(text) as Labels;
}

describe.each([
  ["Promtail", promtail()],
  ["Alloy", alloy()],
])("%s", (_name, shipping) => {
  test("gives lines of a member the labels that its metrics have", async () => {
    expect(relabelled(shipping.relabellings, discovered(MEMBER, "shop"))).toEqual(await metricLabels());
  });

  test("gives lines of the operator where it runs", () => {
    const expected = { namespace: "quorate-system", node: "n1" };
    expect(relabelled(shipping.relabellings, discovered(OPERATOR, "quorate-system"))).toEqual(expected);
  });

  test.each([{}, { "app.kubernetes.io/name": "quorate-exporter" }, { "app.kubernetes.io/managed-by": "Helm" }])(
    "leaves others' pods out: %o",
    (labels) => expect(relabelled(shipping.relabellings, discovered(labels, "shop"))).toBeUndefined(),
  );

  test("takes fields out of a line that are in it, and makes labels of few", () => {
    const fields = Object.keys(line());
    expect(shipping.fields.filter((field) => !fields.includes(field))).toEqual([]);
    expect(shipping.labels).toEqual(["level", "program"]);
    expect(shipping.labels.filter((label) => !shipping.fields.includes(label))).toEqual([]);
  });

  test("takes the time of a line for its time, and leaves lines of engines theirs", () => {
    expect(shipping.timestamp).toEqual({ source: "time", format: "RFC3339Nano", action_on_failure: "skip" });
    expect(shipping.fields).toContain(shipping.timestamp.source);
    expect(line()["time"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
  });

  test("sends them to where Loki takes them", () => {
    expect(new URL(shipping.address).pathname).toBe("/loki/api/v1/push");
  });
});

test("Promtail reads the files of the pod that the line is about", () => {
  const path = promtail().relabellings.find(({ target_label }) => target_label === "__path__");
  expect(path?.replacement?.replaceAll("$1", "1234/engine")).toBe("/var/log/pods/*1234/engine/*.log");
  const host = promtail().relabellings.find(({ target_label }) => target_label === "__host__");
  expect(host?.source_labels).toEqual(["__meta_kubernetes_pod_node_name"]);
});

describe("Alloy's components", () => {
  const ids = ALLOY.map(({ name, label }) => `${name}.${label}`);

  test("are each there once, and nothing refers to one that is not, or to what it does not give", () => {
    expect(ids).toEqual([...new Set(ids)]);
    const references = ALLOY.flatMap(referencesIn);
    expect(references.length).toBeGreaterThan(3);
    expect(references.filter((reference) => !ALLOY.flatMap(exportsOf).includes(reference))).toEqual([]);
  });

  test("lead from the pods to Loki, all of them", () => {
    const used = ALLOY.flatMap(referencesIn).map((reference) => reference.replace(/\.\w+$/, ""));
    // The source of lines is what nobody refers to: it refers to both ends.
    expect(ids.filter((id) => !used.includes(id))).toEqual(["loki.source.kubernetes.quorate"]);
  });

  test("that were not there would be missed", () => {
    const halved = ALLOY.filter(({ name }) => name !== "loki.write");
    const missing = halved.flatMap(referencesIn).filter((one) => !halved.flatMap(exportsOf).includes(one));
    expect(missing).toEqual(["loki.write.default.receiver"]);
  });
});
