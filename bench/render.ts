/** Makes docs/benchmarks.md from bench/results/*.jsonl: the newest figure of each case and subject. */
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { type Figure, percentile } from "./figures.ts";

const ROOT = join(import.meta.dirname, "..");
/** With its default timings, and with the fastest that its rules allow. */
const PEERS = ["patroni", "patroni-tuned"] as const;

/** All figures of all files, each file's in the order in which they were taken. */
async function readFigures(): Promise<Figure[]> {
  const folder = join(ROOT, "bench/results");
  const figures: Figure[] = [];
  const files = existsSync(folder) ? await readdir(folder) : []; // absent: nothing has been measured yet
  for (const file of files.filter((name) => name.endsWith(".jsonl")).toSorted()) {
    for (const line of (await readFile(join(folder, file), "utf8")).split("\n").filter((one) => one !== "")) {
      figures.push(JSON.parse(line) as Figure);
    }
  }
  return figures;
}

function newestOf(figures: readonly Figure[]): Figure[] {
  const newest = new Map<string, Figure>();
  for (const figure of figures)
    newest.set([figure.bench, figure.case, figure.subject, figure.metric].join("/"), figure);
  return [...newest.values()];
}

/** A median as a multiple of the peer's for the same fault; empty for the peers themselves. */
function ratioTo(rows: readonly Figure[], row: Figure, peerName: string): string {
  const peer = rows.find((one) => one.case === row.case && one.subject === peerName);
  const isPeer = PEERS.some((name) => name === row.subject);
  return peer === undefined || isPeer || peer.p50 === 0 ? "" : `${(row.p50 / peer.p50).toFixed(2)} ×`;
}

function failoverTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "failover");
  if (rows.length === 0) return [];
  const lines = [
    "## Failover: the largest write gap, in ms",
    "",
    "A client inserts every 20 ms through the cluster's Service; the gap is the longest time between two acknowledged rows around",
    "one fault. `lost`: rows acknowledged and missing at the end. Made by `make bench-failover`.",
    "",
    "| fault | subject | runs | median | P95 | max | lost | out of turn | median / Patroni's | median / tuned Patroni's | commit |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const row of rows.toSorted((a, b) => a.case.localeCompare(b.case) || a.subject.localeCompare(b.subject))) {
    const [ratio, tunedRatio] = PEERS.map((name) => ratioTo(rows, row, name));
    lines.push(
      `| ${row.case} | ${row.subject} | ${row.n}${(row.broken ?? 0) > 0 ? "¹" : ""} | ${row.p50} | ${row.p95} | ${row.max} | ${row.lost ?? 0} | ${row.outOfOrder ?? 0} | ${ratio} | ${tunedRatio} | ${row.commit} |`,
    );
  }
  const isAnyBroken = rows.some((row) => (row.broken ?? 0) > 0);
  const footnote = "¹ Not whole again within three minutes of the last of them, and replaced by a new cluster.";
  return [...lines, "", ...(isAnyBroken ? [footnote, ""] : [])];
}

/** What a figure of the bench `scale` says, in the order of the table. Those of several values are told as median / P95 / P99. */
const SCALE_METRICS: Readonly<Record<string, string>> = {
  ready_seconds: "created to all Ready, s",
  create_cpu_seconds: "CPU of the operator for that, s",
  reconcile_rate: "passes a second meanwhile",
  create_cpu_per_1000_passes: "CPU of the operator per 1,000 passes meanwhile, s",
  create_failures: "passes that failed and were tried again",
  create_objects_per_cluster: "objects that it makes per cluster",
  create_writes_per_cluster: "its API writes per cluster",
  create_requests_per_cluster: "its API requests per cluster",
  spec_to_first_write: "spec changed → first write, ms",
  spec_to_status: "spec changed → status, ms",
  rss_mib: "memory at rest (RSS), MiB",
  peak_rss_mib: "highest memory, MiB",
  heap_mib: "heap in use at rest, MiB",
  cpu_percent_at_rest: "CPU at rest, % of a core",
  writes_at_rest: "API writes at rest but its own Lease",
  event_loop_p99: "event loop delay P99 while creating, ms",
  restart_synced_seconds: "restart → caches synced, s",
  restart_quiet_seconds: "restart → all looked at, s",
  restart_peak_rss_mib: "highest memory after a restart, MiB",
  restart_writes: "API writes after a restart",
};
const SCALE_PEER = "go";

function scaleTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "scale");
  if (rows.length === 0) return [];
  const lines = [
    "## Scale: one operator and many clusters of three members",
    "",
    "A real control plane, fake nodes (KWOK), fake agents, the real operator in one process. `go`: a plain controller-runtime",
    "operator that makes the same objects (bench/baseline). Made by `make bench-scale CLUSTERS=…`.",
    "",
    "| clusters | what | quorate | go | quorate / go | load average | commit |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  const cases = [...new Set(rows.map((row) => row.case))].toSorted((a, b) => Number.parseInt(a) - Number.parseInt(b));
  for (const name of cases) {
    for (const [metric, what] of Object.entries(SCALE_METRICS)) {
      const find = (subject: string) =>
        rows.find((row) => row.case === name && row.metric === metric && row.subject === subject);
      const [own, peer] = [find("quorate"), find(SCALE_PEER)];
      if (own === undefined) continue;
      const ratio = peer === undefined || peer.p50 === 0 ? "" : (own.p50 / peer.p50).toFixed(2);
      lines.push(
        `| ${name} | ${what} | ${toText(own)} | ${toText(peer)} | ${ratio} | ${own.load ?? ""} | ${own.commit} |`,
      );
    }
  }
  return [...lines, ""];
}

/** What a change of three members costs, in the order of the table. */
const CHANGE_METRICS: Readonly<Record<string, string>> = {
  write_gap_total: "all gaps in writes together, ms",
  write_gap_largest: "largest gap in writes, ms",
  duration: "from the change of the spec to its end, s",
  pods_restarted: "pods restarted",
};

function changeTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "change");
  if (rows.length === 0) return [];
  const lines = [
    "## Change: rolls, and ways out of revisions that do not work",
    "",
    "A cluster of three members under a client that inserts every 20 ms. A gap is a stretch of more than 150 ms without an",
    "acknowledged row. `lost`: rows acknowledged and missing at the end. Made by `make bench-change`.",
    "",
    "| change | what | runs | median | P95 | max | lost | commit |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const name of [...new Set(rows.map((row) => row.case))].toSorted()) {
    for (const [metric, what] of Object.entries(CHANGE_METRICS)) {
      const row = rows.find((one) => one.case === name && one.metric === metric);
      if (row === undefined) continue;
      lines.push(
        `| ${name} | ${what} | ${row.n} | ${row.p50} | ${row.p95} | ${row.max} | ${row.lost ?? ""} | ${row.commit} |`,
      );
    }
  }
  return [...lines, ""];
}

/** What an agent costs, in the order of the table: case, metric, and what that is. */
const AGENT_METRICS: readonly (readonly [string, string, string])[] = [
  ["rest", "anonymous_memory", "anonymous memory at rest, MiB"],
  ["rest", "rss", "memory at rest (RSS), MiB"],
  ["rest", "cpu", "CPU at rest, % of a core"],
  ["start", "agent_to_engine", "from the agent's start to its engine's, ms"],
];

function agentTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "agent");
  if (rows.length === 0) return [];
  const lines = [
    "## The agent beside its engine",
    "",
    "Three members of PostgreSQL, profile Fast. `node`: the same Node with an HTTP server that nobody asks. Made by `make bench-agent`.",
    "",
    "| what | values | median | P95 | max | node | commit |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const [name, metric, what] of AGENT_METRICS) {
    const find = (subject: string) =>
      rows.find((row) => row.case === name && row.metric === metric && row.subject === subject);
    const [own, bare] = [find("quorate"), find("node")];
    if (own === undefined) continue;
    const [p50, p95, max] = [own.p50, own.p95, own.max].map(rounded);
    lines.push(
      `| ${what} | ${own.n} | ${p50} | ${p95} | ${max} | ${bare === undefined ? "" : rounded(bare.p50)} | ${own.commit} |`,
    );
  }
  return [...lines, ""];
}

function rounded(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function simulatorTable(figures: readonly Figure[]): string[] {
  const find = (metric: string) => figures.find((one) => one.bench === "simulator" && one.metric === metric);
  const [schedules, violations, rate] = [find("schedules"), find("violations"), find("rate")];
  if (schedules === undefined || violations === undefined || rate === undefined) return [];
  return [
    "## Every pair of changes in the simulator",
    "",
    "Each change with each other, in both orders and in every topology that knows both, the second begun at each step of the first;",
    "every other schedule acts on what was seen before the world moved on. A violation: a step that the safety rules forbid, or an",
    "end that is not what both changes ask for. Made by `make bench-simulator`.",
    "",
    "| schedules | violations | schedules a second | a second of a processor | load average | commit |",
    "| --- | --- | --- | --- | --- | --- |",
    `| ${schedules.p50} | ${violations.p50} | ${rate.p50} | ${toText(find("rate_per_processor"))} | ${rate.load ?? ""} | ${rate.commit} |`,
    "",
    ...seedsTable(figures),
  ];
}

/** All seeds that the newest code of them ran to their end. */
function seedsTable(figures: readonly Figure[]): string[] {
  const all = figures.filter((one) => one.bench === "simulator" && one.case.startsWith("seed "));
  const newest = all.toSorted((a, b) => a.date.localeCompare(b.date)).at(-1);
  if (newest === undefined) return [];
  const rows = all.filter(({ code }) => code === newest.code);
  const total = (value: (one: Figure) => number) => rows.reduce((sum, one) => sum + value(one), 0);
  const seeds = rows.map((one) => Number(one.case.slice("seed ".length)));
  const count = total((one) => one.p50);
  const perCpu = rounded(count / total((one) => one.cpuSeconds ?? 0));
  return [
    "Whole seeds of one code, which add up however often the run was stopped, and over commits that change nothing of that code:",
    "",
    "| seeds | from | to | schedules | violations | a second of a processor | code |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    `| ${rows.length} | ${Math.min(...seeds)} | ${Math.max(...seeds)} | ${count} | ${total((one) => one.violations ?? 0)} | ${perCpu} | ${newest.code ?? ""} |`,
    "",
  ];
}

/** The cases of bench/engines.ts, in the order of the table. */
const ENGINE_CASES = [
  "engine-kill",
  "pod-delete",
  "switchover",
  "node-cut",
  "all-pods-delete",
  "roll",
  "3-5-3",
] as const;
const RESHARDING_CASE = "3-5-3-shards";

function enginesTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "engines" && figure.case !== RESHARDING_CASE);
  if (rows.length === 0) return [];
  const lines = [
    "## Every engine beside its own mechanism",
    "",
    "The largest gap in writes of one client around one fault, in ms. `statefulset`: the engine under a plain StatefulSet; `sentinel`,",
    "`redis-cluster`: what Redis has of its own, with its default timeout (30 s and 15 s) and with 5 s. `lost`: acknowledged and missing at",
    "the end; `wrong`: there and never written, or acknowledged and not seen. Made by `make bench-engines`.",
    "",
    "| engine | subject | fault | runs | median | P95 | max | acknowledged | lost | wrong | not whole again | commit |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  const engines = [...new Set(rows.map(({ subject }) => subject.split(" ")[0] ?? ""))];
  for (const engine of engines) {
    for (const name of ENGINE_CASES) {
      const those = rows.filter((row) => row.case === name && row.subject.startsWith(`${engine} `));
      for (const row of those.toSorted((a, b) => a.subject.localeCompare(b.subject))) {
        const gaps = row.n === 0 ? " |  | " : `${row.p50} | ${row.p95} | ${row.max}`;
        const counts = [row.acked ?? 0, row.lost ?? 0, row.wrong ?? 0, row.broken ?? 0].join(" | ");
        lines.push(
          `| ${row.subject.replace(" ", " | ")} | ${name} | ${row.n + (row.n === 0 ? (row.broken ?? 0) : 0)} | ${gaps} | ${counts} | ${row.commit} |`,
        );
      }
    }
  }
  return [...lines, "", ...reshardingTable(figures)];
}

/** The phases of bench/resharding.ts, in their order. */
const RESHARDING_PHASES: Readonly<Record<string, string>> = {
  latency_before: "three shards, at rest",
  latency_out: "three to five shards",
  latency_at_five: "five shards, at rest",
  latency_in: "five to three shards",
  latency_after: "three shards again, at rest",
};

function reshardingTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "engines" && figure.case === RESHARDING_CASE);
  const total = rows.find((row) => row.metric === "largest_gap");
  if (total === undefined) return [];
  const lines = [
    `Shards that come and go: ${total.keys ?? 0} keys, and four writers meanwhile. ${total.acked ?? 0} writes were acknowledged, ${total.lost ?? 0} of`,
    `those and of the keys are missing at the end; the longest wait of a writer was ${total.max} ms (${total.commit}).`,
    "",
    "| phase | seconds | writes | median, ms | P95 | P99 | max |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const [metric, what] of Object.entries(RESHARDING_PHASES)) {
    const row = rows.find((one) => one.metric === metric);
    if (row === undefined) continue;
    const values = [row.p50, row.p95, row.p99 ?? "", row.max].join(" | ");
    lines.push(`| ${what} | ${row.seconds ?? ""} | ${row.n} | ${values} |`);
  }
  return [...lines, ""];
}

/** What all campaigns together have come to; any other table shows the newest run alone. */
function campaignTable(figures: readonly Figure[]): string[] {
  const rows = figures.filter((figure) => figure.bench === "campaign");
  if (rows.length === 0) return [];
  const total = rows.reduce((sum, row) => sum + row.n, 0);
  const lines = [
    "## Fault campaigns",
    "",
    "Clusters of several engines on one lab, each under a client that counts. Faults are drawn, two at a time for each cluster and",
    "at times one of the control plane, of the leader or of any member, for 2 to 18 s each. The gap is the longest of the round in",
    "which the fault was, whatever else was in it. `lost`, `wrong` (never written, or acknowledged and not seen by a read that",
    "followed) and `out of turn` (taken by an older leader after a newer one): in those rounds. Made by `make campaign HOURS=…`;",
    `all campaigns together: ${total} faults. \`anomalies\`: what transactions of lists saw that agrees with no order of them, of the campaigns`,
    "that had such clients, too: see [how quorate is tested](reliability.md#campaigns-of-real-faults).",
    "",
    "| fault | engine | faults | median gap, ms | largest | lost | wrong | out of turn | transactions | anomalies | not whole again |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const key of [...new Set(rows.map((row) => `${row.case} ${row.subject}`))].toSorted()) {
    const those = rows.filter((row) => `${row.case} ${row.subject}` === key);
    const gapsMs = those.flatMap((row) => row.gapsMs ?? []).toSorted((a, b) => a - b);
    const sum = (pick: (row: Figure) => number | undefined): number =>
      those.reduce((all, row) => all + (pick(row) ?? 0), 0);
    const isChecked = those.some((row) => row.transactions !== undefined);
    const counts = [sum((row) => row.lost), sum((row) => row.wrong), sum((row) => row.outOfOrder)];
    const checked = isChecked ? [sum((row) => row.transactions), sum((row) => row.anomalies)] : ["", ""];
    lines.push(
      `| ${key.replace(" ", " | ")} | ${gapsMs.length} | ${percentile(gapsMs, 0.5)} | ${gapsMs.at(-1) ?? 0} | ${[...counts, ...checked].join(" | ")} | ${sum((row) => row.broken)} |`,
    );
  }
  return [...lines, ""];
}

function toText(figure: Figure | undefined): string {
  if (figure === undefined) return "";
  return figure.n === 1 ? String(figure.p50) : [figure.p50, figure.p95, figure.p99].join(" / ");
}

const all = await readFigures();
const figures = newestOf(all);
const machine = `${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, four nodes and the control plane on it`;
const notes = await readFile(join(ROOT, "bench/notes.md"), "utf8");
const text = [
  "<!-- Made by bench/render.ts from bench/results; do not edit. -->",
  "# Benchmarks",
  "",
  figures.length === 0
    ? "No figures are recorded yet: `make bench-failover`, `make bench-change` and `make bench-scale` make them."
    : `Machine: ${machine}.`,
  "",
  ...failoverTable(figures),
  ...enginesTable(figures),
  ...changeTable(figures),
  ...campaignTable(all),
  ...agentTable(figures),
  ...simulatorTable(figures),
  ...scaleTable(figures),
  notes,
].join("\n");
await writeFile(join(ROOT, "docs/benchmarks.md"), text);
