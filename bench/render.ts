/** Makes docs/benchmarks.md from bench/results/*.jsonl: the newest figure of each case and subject. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

/** One figure; see bench/README in docs/benchmarks.md for the fields. */
interface Figure {
  readonly bench: string;
  readonly case: string;
  readonly subject: string;
  readonly metric: string;
  readonly unit: string;
  readonly n: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  readonly lost?: number;
  readonly outOfOrder?: number;
  readonly commit: string;
  readonly date: string;
}

const ROOT = join(import.meta.dirname, "..");
const PEER = "patroni";

async function readFigures(): Promise<Figure[]> {
  const folder = join(ROOT, "bench/results");
  const newest = new Map<string, Figure>();
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(".jsonl")).toSorted()) {
    for (const line of (await readFile(join(folder, file), "utf8")).split("\n").filter((one) => one !== "")) {
      const figure = JSON.parse(line) as Figure;
      newest.set([figure.bench, figure.case, figure.subject, figure.metric].join("/"), figure);
    }
  }
  return [...newest.values()];
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
    "| fault | subject | runs | median | P95 | max | lost | out of turn | median, against Patroni's | commit |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const row of rows.toSorted((a, b) => a.case.localeCompare(b.case) || a.subject.localeCompare(b.subject))) {
    const peer = rows.find((one) => one.case === row.case && one.subject === PEER);
    const ratio =
      peer === undefined || row.subject === PEER || peer.p50 === 0 ? "" : `${(row.p50 / peer.p50).toFixed(2)} ×`;
    lines.push(
      `| ${row.case} | ${row.subject} | ${row.n} | ${row.p50} | ${row.p95} | ${row.max} | ${row.lost ?? 0} | ${row.outOfOrder ?? 0} | ${ratio} | ${row.commit} |`,
    );
  }
  return [...lines, ""];
}

const figures = await readFigures();
const machine = `${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, four nodes and the control plane on it`;
const notes = await readFile(join(ROOT, "bench/notes.md"), "utf8");
const text = [
  "<!-- Made by bench/render.ts from bench/results; do not edit. -->",
  "# Benchmarks",
  "",
  `Machine: ${machine}.`,
  "",
  ...failoverTable(figures),
  notes,
].join("\n");
await writeFile(join(ROOT, "docs/benchmarks.md"), text);
