// Reads the agents' metrics as text, as far as objectives and analyses need them.
import { type Attempts, type Durations, type MemberSample, NO_ATTEMPTS } from "../slo/sample.ts";

/** One line of a Prometheus text: a series and its value. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: -?[0-9]+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** The series whose names begin with `prefix`; lines that are none are passed over. */
export function parseExposition(text: string, prefix = ""): Series[] {
  return text.split("\n").flatMap((line) => {
    if (!line.startsWith(prefix) || line.startsWith("#")) return [];
    const [, name = "", labels = "", value = ""] = LINE.exec(line) ?? [];
    return name === "" ? [] : { name, labels: parseLabels(labels), value: parseValue(value) };
  });
}

function parseLabels(text: string): Record<string, string> {
  const pairs = [...text.matchAll(LABEL)].map(([, name = "", value = ""]) => [name, unescapeLabel(value)] as const);
  return Object.fromEntries(pairs);
}

function unescapeLabel(value: string): string {
  return value.replaceAll(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
}

function parseValue(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  return text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}

/** What a member's metrics say. @returns undefined when they are not those of an agent. */
export function toSample(text: string): MemberSample | undefined {
  const series = parseExposition(text, "quorate_");
  const value = (name: string, labels: Record<string, string> = {}) =>
    series.find((one) => one.name === `quorate_member_${name}` && hasLabels(one, labels))?.value;
  const leads = value("leader");
  if (leads === undefined) return undefined;
  const lagBytes = value("replication_lag_bytes") ?? Number.NaN;
  const attempts = (name: string, labels: Record<string, string>, good: readonly string[], bad: readonly string[]) => {
    const of = series.filter((one) => one.name.startsWith(`quorate_member_${name}_`) && hasLabels(one, labels));
    return toAttempts(of, good, bad);
  };
  return {
    leads: leads === 1,
    engineUp: value("engine_up") === 1,
    lagBytes: Number.isNaN(lagBytes) ? undefined : lagBytes,
    slices: {
      good: value("write_slices_total", { result: "good" }) ?? 0,
      bad: value("write_slices_total", { result: "bad" }) ?? 0,
    },
    writes: attempts("action_seconds", { action: "probeWrite" }, ["ok"], ["error"]),
    reads: attempts("action_seconds", { action: "observe" }, ["ok"], ["error"]),
    // A conflict is an answer: somebody else was first.
    leaseWrites: attempts("lease_write_seconds", {}, ["ok", "conflict"], ["failed", "indeterminate"]),
    engineExits: value("engine_exits_total") ?? 0,
    takeoverSeconds: series
      .filter(({ name }) => name === "quorate_failover_phase_seconds_sum")
      .reduce((sum, one) => sum + one.value, 0),
  };
}

function hasLabels({ labels }: Series, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function toAttempts(series: readonly Series[], good: readonly string[], bad: readonly string[]): Attempts {
  if (series.length === 0) return NO_ATTEMPTS;
  const succeeded = series.filter(({ labels }) => good.includes(labels["result"] ?? ""));
  const failed = series.filter(({ name, labels }) => name.endsWith("_count") && bad.includes(labels["result"] ?? ""));
  return { durations: toDurations(succeeded), errors: failed.reduce((sum, one) => sum + one.value, 0) };
}

function toDurations(series: readonly Series[]): Durations {
  const byBound = new Map<number, number>();
  for (const { name, labels, value } of series) {
    if (!name.endsWith("_bucket")) continue;
    const bound = parseValue(labels["le"] ?? "");
    byBound.set(bound, (byBound.get(bound) ?? 0) + value);
  }
  const ascending = [...byBound].toSorted(([a], [b]) => a - b);
  const sums = series.filter(({ name }) => name.endsWith("_sum"));
  return {
    bounds: ascending.map(([bound]) => bound),
    counts: ascending.map(([, count]) => count),
    sumSeconds: sums.reduce((sum, one) => sum + one.value, 0),
  };
}
