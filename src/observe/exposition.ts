// Reads the agents' metrics as text, as far as objectives and analyses need them.
import { type Attempts, type Durations, type MemberSample, NO_ATTEMPTS } from "../slo/sample.ts";

/** One line of an agent's metrics, with those of its labels that tell series of one member apart. */
interface Series {
  readonly name: string;
  readonly action: string | undefined;
  readonly result: string | undefined;
  readonly le: string | undefined;
  readonly value: number;
}

const WANTED = [
  "quorate_member_leader",
  "quorate_member_engine_up",
  "quorate_member_engine_exits_total",
  "quorate_member_replication_lag_bytes",
  "quorate_member_write_slices_total",
  "quorate_member_requests_total",
  "quorate_member_lease_write_seconds_",
  "quorate_failover_phase_seconds_sum",
];
const ACTIONS = "quorate_member_action_seconds_";
const WANTED_ACTIONS = ['action="probeWrite"', 'action="observe"'];

/** Most of an agent's text is histograms of actions that nobody judges; to take it all apart costs milliseconds. */
function isSampled(line: string): boolean {
  if (line.startsWith(ACTIONS)) return WANTED_ACTIONS.some((action) => line.includes(action));
  return WANTED.some((name) => line.startsWith(name));
}

/** Reads a line as prom-client writes it: no times, and no quotes in the labels that are looked at. */
function toSeries(line: string): Series {
  const end = line.lastIndexOf(" ");
  const brace = line.indexOf("{");
  const name = line.slice(0, brace < 0 ? end : brace);
  const label = (of: string) => labelIn(line, of);
  return {
    name,
    action: label("action"),
    result: label("result"),
    le: label("le"),
    value: toNumber(line.slice(end + 1)),
  };
}

function labelIn(line: string, name: string): string | undefined {
  const start = Math.max(line.indexOf(`,${name}="`), line.indexOf(`{${name}="`));
  if (start < 0) return undefined;
  const from = start + name.length + 3;
  return line.slice(from, line.indexOf('"', from));
}

function toNumber(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  return text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}

/** What a member says that it uses; what its machine does not tell is undefined. */
export interface UsageSample {
  readonly cpuSeconds: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly volumeSizeBytes: number | undefined;
  readonly volumeFreeBytes: number | undefined;
}

/** Reads the usage out of an agent's metrics. */
export function toUsageSample(text: string): UsageSample {
  const value = valuesOf(text, "quorate_member_");
  return {
    cpuSeconds: value("cpu_seconds_total"),
    memoryBytes: value("memory_bytes"),
    volumeSizeBytes: value("volume_size_bytes"),
    volumeFreeBytes: value("volume_free_bytes"),
  };
}

/** What the leader of a shard says of it; what it does not say is undefined. */
export interface ShardSample {
  readonly operationsPerSecond: number | undefined;
  readonly keys: number | undefined;
  readonly bytes: number | undefined;
  readonly busiest: { readonly slot: number; readonly share: number } | undefined;
}

/** Reads what the shard holds and is asked for out of its leader's metrics. */
export function toShardSample(text: string): ShardSample {
  const value = valuesOf(text, "quorate_shard_");
  const [slot, share] = [value("busiest_slot"), value("busiest_slot_share")];
  return {
    operationsPerSecond: value("operations_per_second"),
    keys: value("keys"),
    bytes: value("data_bytes"),
    busiest: slot === undefined || share === undefined ? undefined : { slot, share },
  };
}

/** Values by name, of what has one series. */
function valuesOf(text: string, prefix: string): (name: string) => number | undefined {
  const lines = text.split("\n");
  return (name) => {
    const line = lines.find((one) => one.startsWith(`${prefix}${name}{`));
    return line === undefined ? undefined : toSeries(line).value;
  };
}

/** What a member's metrics say. @returns undefined when they are not those of an agent. */
export function toSample(text: string): MemberSample | undefined {
  const series = text.split("\n").filter(isSampled).map(toSeries);
  const value = (name: string, result?: string) =>
    series.find((one) => one.name === `quorate_member_${name}` && one.result === result)?.value;
  const leads = value("leader");
  if (leads === undefined) return undefined;
  const lagBytes = value("replication_lag_bytes") ?? Number.NaN;
  const attempts = (name: string, good: readonly string[], action?: string) =>
    toAttempts(
      series.filter((one) => one.name.startsWith(`quorate_member_${name}_`) && one.action === action),
      good,
    );
  return {
    leads: leads === 1,
    engineUp: value("engine_up") === 1,
    lagBytes: Number.isNaN(lagBytes) ? undefined : lagBytes,
    slices: { good: value("write_slices_total", "good") ?? 0, bad: value("write_slices_total", "bad") ?? 0 },
    requests: { good: value("requests_total", "good") ?? 0, bad: value("requests_total", "bad") ?? 0 },
    writes: attempts("action_seconds", ["ok"], "probeWrite"),
    reads: attempts("action_seconds", ["ok"], "observe"),
    // A conflict is an answer: somebody else was first.
    leaseWrites: attempts("lease_write_seconds", ["ok", "conflict"]),
    engineExits: value("engine_exits_total") ?? 0,
    takeoverSeconds: series
      .filter(({ name }) => name === "quorate_failover_phase_seconds_sum")
      .reduce((sum, one) => sum + one.value, 0),
  };
}

function toAttempts(series: readonly Series[], good: readonly string[]): Attempts {
  if (series.length === 0) return NO_ATTEMPTS;
  const isGood = ({ result = "" }: Series) => good.includes(result);
  const failed = series.filter((one) => one.name.endsWith("_count") && !isGood(one));
  return { durations: toDurations(series.filter(isGood)), errors: failed.reduce((sum, one) => sum + one.value, 0) };
}

function toDurations(series: readonly Series[]): Durations {
  const byBound = new Map<number, number>();
  for (const { le, value } of series) {
    if (le !== undefined) byBound.set(toNumber(le), (byBound.get(toNumber(le)) ?? 0) + value);
  }
  const ascending = [...byBound].toSorted(([a], [b]) => a - b);
  const sums = series.filter(({ name }) => name.endsWith("_sum"));
  return {
    bounds: ascending.map(([bound]) => bound),
    counts: ascending.map(([, count]) => count),
    sumSeconds: sums.reduce((sum, one) => sum + one.value, 0),
  };
}
