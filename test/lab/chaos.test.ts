/** Every experiment and every game day of `kubectl quorate chaos`, on real clusters with a writer, and nothing is lost. */
import { readFile } from "node:fs/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, KUBECONFIG, KUBECTL, kubectl, lab } from "../../hack/scenario/lab.ts";
import { Terminal } from "../../hack/scenario/runbook.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { EXPERIMENT_NAMES } from "../../src/chaos/experiments.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "chaos";
const CLUSTERS = ["orders", "front", "pages"];
const DATABASE = quorateSubject(NAMESPACE, "orders");
const EXAMPLES = join(import.meta.dirname, "../../examples");

/** Nothing here is in production: any time is right, and the lab measures no objective for long enough. */
const FREELY = "--outside-window --without-budget --yes";

/** The Lease comes back within ten minutes, which is too long for every run. */
const SLOW = ["delete-lease"];
const OF_FLEETS = ["kill-half"];

let folder: string;
let terminal: Terminal;

interface Report {
  readonly verdict: string;
  readonly steps: readonly { readonly rounds: readonly { readonly measure: { readonly leaderlessMs: number } }[] }[];
}

async function untilReady(cluster: string): Promise<void> {
  await until(`${cluster} to be ready`, 300_000, async () => {
    const { status } = (await readCluster(NAMESPACE, cluster)) ?? {};
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
    return ready && status?.readyMembers === status?.desiredMembers ? true : undefined;
  });
}

/** Runs it to its end. @returns its report, also when it ends with 2. */
async function chaos(words: string, cluster: string): Promise<Report> {
  await untilReady(cluster);
  const command = `kubectl quorate -n ${NAMESPACE} chaos ${words} ${cluster} ${FREELY} --pause 15 -o json`;
  return JSON.parse(await terminal.paste(`${command} 2>/dev/null || [ $? = 2 ]`)) as Report;
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: "orders" });
  await apply(await readFile(join(EXAMPLES, "web/engine.yaml"), "utf8"));
  for (const name of ["web", "cache"]) {
    const manifest = await readFile(join(EXAMPLES, name, "cluster.yaml"), "utf8");
    await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
  }
  for (const cluster of CLUSTERS) await untilReady(cluster);
  folder = await mkdtemp(join(tmpdir(), "quorate-chaos-"));
  terminal = await Terminal.open(folder, KUBECTL[0] ?? "kubectl", KUBECONFIG);
});

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

describe("experiments", () => {
  test.each(EXPERIMENT_NAMES.filter((name) => ![...SLOW, ...OF_FLEETS].includes(name)))("%s", async (experiment) => {
    const writer = new WriterRun({ ...DATABASE.writer, name: `writer-${experiment}`, seconds: 0 });
    await untilReady("orders");
    await writer.start();
    const report = await chaos(`run ${experiment}`, "orders");
    expect(report).toMatchObject({ verdict: "Kept" });
    expectNothingLost(await writer.finish());
  });

  test.each(OF_FLEETS)("%s", async (experiment) => {
    expect(await chaos(`run ${experiment}`, "front")).toMatchObject({ verdict: "Kept" });
  });

  test("leave nothing behind", async () => {
    expect(await kubectl("-n", NAMESPACE, "get", "lease", "quorate-chaos", "--ignore-not-found")).toBe("");
    const events = await kubectl("-n", NAMESPACE, "get", "events", "--field-selector", "reason=ChaosEnded");
    expect(events).toContain("clusterspec/orders");
  });
});

describe("game days", () => {
  test.each([
    ["control-plane-outage", "orders"],
    ["split-brain-post-mortem", "orders"],
    ["cache-cost-and-latency", "pages"],
    ["cold-start-burst", "front"],
    ["rebalance-storm", "front"],
  ])("%s of %s", async (scenario, cluster) => {
    expect(await chaos(`game-day ${scenario}`, cluster)).toMatchObject({ verdict: "Kept" });
  });
});
