/**
 * What changes cost: a roll of three members, the way out of revisions that do not work, and another version of the operator over
 * many clusters. The first two under the counting client.
 *
 * RUNS (5), CASES (all) and CLUSTERS (20, of operator-upgrade) choose what is measured. Appends to bench/results/change.jsonl.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  canaryPod,
  canaryWith,
  type Change,
  type ChangeResult,
  measureChange,
  patchSpec,
} from "../hack/scenario/change.ts";
import { slowEngine } from "../hack/scenario/lasting-faults.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../hack/scenario/lab.ts";
import { giveOperatorPrometheus, setOperator } from "../hack/scenario/prometheus.ts";
import { pause, until } from "../hack/scenario/shell.ts";
import { quorateSubject } from "../hack/scenario/subject.ts";
import { record } from "./figures.ts";

const ROOT = join(import.meta.dirname, "..");
const RUNS = Number(process.env["RUNS"] ?? 5);
const NAMESPACE = "bench-change";
const SUBJECT = quorateSubject(NAMESPACE, "orders");

/** A change for the run with this number, what goes wrong meanwhile, and what takes it back. */
interface Case extends Pick<Change, "disturb" | "disturbedMs" | "timeoutMs"> {
  readonly name: string;
  readonly spec: (run: number) => object;
  readonly undo?: object;
  /** What the operator needs for it; what it returns takes that away. */
  readonly prepare?: () => Promise<() => Promise<void>>;
}

const UPDATE = { strategy: "Rolling", progressDeadlineSeconds: 30 }; // and all else as it is by default
const CALM = { update: { ...UPDATE, canary: null }, parameters: { superuser_reserved_connections: null } };

const ALL: readonly Case[] = [
  { name: "roll", spec: (run) => ({ parameters: { max_connections: String(110 + run) } }) },
  {
    name: "rollback-bad-image",
    spec: (run) => ({ engine: { image: `localhost/no-such-image:${run}` } }),
    undo: { engine: { image: null } },
  },
  {
    name: "rollback-bad-config",
    spec: (run) => ({ parameters: { shared_preload_libraries: `no_such_library_${run}` } }),
    undo: { parameters: { shared_preload_libraries: null } },
  },
  {
    name: "rollback-analysis",
    spec: (run) => ({
      update: canaryWith({ name: "mine", query: "vector(42)", max: "1" }),
      parameters: { superuser_reserved_connections: String(3 + run) },
    }),
    undo: CALM,
    prepare: giveOperatorPrometheus,
    timeoutMs: 400_000,
  },
  {
    name: "rollback-latency",
    spec: (run) => ({
      update: canaryWith({ name: "latency", measure: "LatencyP95Milliseconds", maxRatio: "4", ignoreUpTo: "60" }),
      parameters: { superuser_reserved_connections: String(20 + run) },
    }),
    undo: CALM,
    disturb: async () => slowEngine(SUBJECT, await canaryPod(NAMESPACE, "orders")),
    disturbedMs: 240_000,
    timeoutMs: 400_000,
  },
];
const UPGRADE = "operator-upgrade";
const NAMES = process.env["CASES"]?.split(",") ?? [...ALL.map(({ name }) => name), UPGRADE];
const CASES = NAMES.filter((name) => name !== UPGRADE).map((name) => {
  const found = ALL.find((one) => one.name === name);
  if (found === undefined) {
    throw new Error(`unknown case ${name}; there are ${[...ALL.map((one) => one.name), UPGRADE].join(", ")}`);
  }
  return found;
});

async function recordResults(name: string, results: readonly ChangeResult[]): Promise<void> {
  const sum = (of: (result: ChangeResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const further = {
    lost: sum((result) => result.lost),
    outOfOrder: sum((result) => result.outOfOrder),
    acked: sum((result) => result.acked),
    leaderChanges: sum((result) => result.leaderChanges),
    leaderTouched: results.filter((result) => !result.leaderUntouched).length,
    leastServing: Math.min(...results.map((result) => result.leastServing)),
  };
  const of = (metric: string, unit: string) => ({ bench: "change", case: name, subject: "quorate", metric, unit });
  const values = (one: (result: ChangeResult) => number) => results.map(one);
  await record(
    of("write_gap_total", "ms"),
    values((result) => result.totalGapMs),
    further,
  );
  await record(
    of("write_gap_largest", "ms"),
    values((result) => result.largestGapMs),
    further,
  );
  await record(
    of("duration", "s"),
    values((result) => result.seconds),
    further,
  );
}

/** Another version of the operator over many clusters of one member each: how many pods it restarts. */
async function measureUpgrade(count: number): Promise<void> {
  const namespace = `${NAMESPACE}-many`;
  const names = Array.from({ length: count }, (_, at) => `many-${at}`);
  const state = async (): Promise<readonly (readonly string[])[]> => {
    const columns = '{range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount}{"\\n"}{end}';
    const options = ["-l", "quorate.io/cluster", "--sort-by=.metadata.name", "-o", `jsonpath=${columns}`];
    const text = await kubectl("-n", namespace, "get", "pods", ...options);
    return text
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
  };
  const conditionsOf = async (type: string): Promise<number> => {
    const filter = `{range .items[*]}{.status.conditions[?(@.type=="${type}")].status}{"\\n"}{end}`;
    const text = await kubectl("-n", namespace, "get", "qcs", "-o", `jsonpath=${filter}`);
    return text.split("\n").filter((status) => status === "True").length;
  };
  await kubectl("create", "namespace", namespace).catch(() => undefined);
  const example = await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8");
  for (const name of names) {
    await apply(example.replace("namespace: demo", `namespace: ${namespace}`).replace("name: orders", `name: ${name}`));
    const resources = { requests: { cpu: "10m", memory: "64Mi" } };
    await patchSpec(namespace, name, { members: 1, resources });
  }
  await until("all clusters to be Ready", 1_800_000, async () =>
    (await conditionsOf("Ready")) === count ? true : undefined,
  );
  const before = await state();
  const startMs = Date.now();
  await setOperator("QUORATE_AGENT_IMAGE=quorate/agent:next");
  await until("every cluster to show what is pending", 300_000, async () =>
    (await conditionsOf("PendingChange")) === count ? true : undefined,
  );
  await pause(60_000); // time enough for whatever an operator might do late
  const after = await state();
  const restarted = after.filter((pod, at) => pod.join(" ") !== before[at]?.join(" ")).length;
  await setOperator("QUORATE_AGENT_IMAGE=quorate/agent:dev");
  const about = { bench: "change", case: UPGRADE, subject: "quorate" };
  const further = { clusters: count, ready: await conditionsOf("Ready") };
  await record({ ...about, metric: "pods_restarted", unit: "count" }, [restarted], further);
  await record({ ...about, metric: "duration", unit: "s" }, [(Date.now() - startMs) / 1000], further);
  await kubectl("delete", "namespace", namespace, "--wait=false");
}

await lab("up");
await installOperator();
await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
const manifest = await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8");
await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
await patchSpec(NAMESPACE, "orders", { update: UPDATE });
for (const { name, spec, undo, prepare, ...rest } of CASES) {
  const takeAway = await prepare?.();
  try {
    const results: ChangeResult[] = [];
    for (let run = 1; run <= RUNS; run += 1) {
      const result = await measureChange(SUBJECT, "orders", { name: `${name}-${run}`, spec: spec(run), ...rest });
      process.stdout.write(`${name} ${run}/${RUNS}: ${JSON.stringify(result)}\n`);
      results.push(result);
      if (undo !== undefined) await measureChange(SUBJECT, "orders", { name: `${name}-${run}-undone`, spec: undo });
    }
    await recordResults(name, results);
  } finally {
    await takeAway?.();
  }
}
await kubectl("delete", "namespace", NAMESPACE);
if (NAMES.includes(UPGRADE)) await measureUpgrade(Number(process.env["CLUSTERS"] ?? 20));
