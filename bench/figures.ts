/** Figures in their one format: a JSON line each, appended to bench/results/<bench>.jsonl. */
import { execFileSync } from "node:child_process";
import { appendFile, mkdir } from "node:fs/promises";
import { loadavg } from "node:os";
import { dirname, join } from "node:path";

/** One figure; percentiles are of `n` values. */
export interface Figure {
  readonly bench: string;
  readonly case: string;
  readonly subject: string;
  readonly metric: string;
  readonly unit: string;
  readonly n: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99?: number;
  readonly max: number;
  readonly acked?: number;
  readonly lost?: number;
  readonly outOfOrder?: number;
  /** Rows that nobody wrote, and acknowledged ones that a read after them did not see. */
  readonly wrong?: number;
  /** The values themselves, where several runs are told together. */
  readonly gapsMs?: readonly number[];
  /** How many clusters were not whole again in time after their last fault. */
  readonly broken?: number;
  /** Transactions of lists that were acknowledged meanwhile, and ways in which what they saw agrees with no order of them. */
  readonly transactions?: number;
  readonly anomalies?: number;
  /** How many of what was counted did not end as they should. */
  readonly violations?: number;
  /** How long processors were at it. */
  readonly cpuSeconds?: number;
  /** What code it is of, where not every commit makes another: see codeDigest. */
  readonly code?: string;
  /** How long it took what the values were taken of. */
  readonly seconds?: number;
  /** How many keys were there before it, and are counted as lost when they are not there after it. */
  readonly keys?: number;
  /** Load average of the last minute when it was taken: other programs' work is in it, too. */
  readonly load?: number;
  readonly commit: string;
  readonly date: string;
}

/** What a figure is about. */
export type About = Pick<Figure, "bench" | "case" | "subject" | "metric" | "unit">;

const ROOT = join(import.meta.dirname, "..");

/** Value at a fraction of the sorted figures (nearest rank). */
export function percentile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
}

let running: string | undefined;

/** The commit of the code that runs: that of the first time it was asked for, because a checkout may move on meanwhile. */
export function commit(): string {
  running ??= execFileSync("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  return running;
}

/** Where a bench's figures are: in the folder RESULTS (bench/results). */
export function resultsFile(bench: string): string {
  return join(process.env["RESULTS"] ?? join(ROOT, "bench/results"), `${bench}.jsonl`);
}

/** Appends the figure of `values` in the folder RESULTS (bench/results), and prints it. `further` fields go with it. */
export async function record(about: About, values: readonly number[], further: object = {}): Promise<void> {
  const sorted = values.toSorted((a, b) => a - b);
  const line = {
    ...about,
    n: sorted.length,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1) ?? 0,
    ...further,
    load: Number((loadavg()[0] ?? 0).toFixed(1)),
    commit: commit(),
    date: new Date().toISOString(),
  };
  const file = resultsFile(about.bench);
  await mkdir(dirname(file), { recursive: true });
  await appendFile(file, `${JSON.stringify(line)}\n`);
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
