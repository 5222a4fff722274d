// What was seen of a cluster, put together: from Prometheus' answers, or from looks at the agents' own figures.
import { type Counters, errorShare, type MemberSample, NO_COUNTERS, quantileSeconds, sumOf } from "../slo/sample.ts";
import { largest, type MemberUsage, type Seen } from "./facts.ts";
import type { ClusterFigure, MemberFigure } from "./usage-queries.ts";

/** What one member's agent said at one moment. */
export interface MemberLook {
  readonly member: string;
  readonly atMs: number;
  readonly cpuSeconds: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly volumeSizeBytes: number | undefined;
  readonly volumeFreeBytes: number | undefined;
  readonly sample: MemberSample;
}

/** A member's figure in Prometheus' answer. */
export interface MemberValue {
  readonly member: string;
  readonly value: number;
}

/** What Prometheus knows; figures that it has no data for stay undefined. */
export function seenByPrometheus(
  ofMembers: Readonly<Record<MemberFigure, readonly MemberValue[]>>,
  ofCluster: Readonly<Record<ClusterFigure, number | undefined>>,
): Seen {
  const figure = (name: MemberFigure, member: string) =>
    known(ofMembers[name].find((one) => one.member === member)?.value);
  const names = [...new Set(Object.values(ofMembers).flatMap((values) => values.map(({ member }) => member)))];
  return {
    source: "Prometheus",
    overSeconds: known(ofCluster.overSeconds) ?? 0,
    members: names.toSorted().map((member) => ({
      member,
      cpuCoresP95: figure("cpuCoresP95", member),
      memoryBytesP95: figure("memoryBytesP95", member),
      memoryBytesMax: figure("memoryBytesMax", member),
      volumeUsedBytes: figure("volumeUsedBytes", member),
      volumeSizeBytes: figure("volumeSizeBytes", member),
      upShare: figure("upShare", member),
    })),
    leaseWriteP99Seconds: known(ofCluster.leaseWriteP99Seconds),
    leaseErrorShare: known(ofCluster.leaseErrorShare),
    answerP99Seconds: known(ofCluster.answerP99Seconds),
    unavailableShare: known(ofCluster.unavailableShare),
  };
}

/** Prometheus' word for a figure that cannot be computed is NaN. */
function known(value: number | undefined): number | undefined {
  return value === undefined || Number.isNaN(value) ? undefined : value;
}

/** What several looks at the agents show: usage between them, and durations since each agent began to count. */
export function seenByAgents(looks: readonly MemberLook[]): Seen {
  const names = [...new Set(looks.map(({ member }) => member))].toSorted();
  const last = names.flatMap((name) => looks.findLast(({ member }) => member === name) ?? []);
  const all = last.reduce((sum: Counters, { sample }) => sumOf(sum, sample), NO_COUNTERS);
  const times = looks.map(({ atMs }) => atMs);
  return {
    source: "Agents",
    overSeconds: times.length === 0 ? 0 : (Math.max(...times) - Math.min(...times)) / 1000,
    members: names.map((name) => usageOf(looks.filter(({ member }) => member === name))),
    leaseWriteP99Seconds: quantileSeconds(all.leaseWrites, 0.99),
    leaseErrorShare: errorShare([all.leaseWrites]),
    answerP99Seconds: quantileSeconds(all.reads, 0.99),
    unavailableShare: undefined,
  };
}

function usageOf(looks: readonly MemberLook[]): MemberUsage {
  const [newest] = looks.toReversed();
  const { member = "", volumeSizeBytes: size, volumeFreeBytes: free } = newest ?? {};
  const rates = looks.slice(1).flatMap((look, at) => rateBetween(looks[at], look) ?? []);
  const memory = looks.flatMap(({ memoryBytes }) => memoryBytes ?? []);
  return {
    member,
    cpuCoresP95: p95(rates),
    memoryBytesP95: p95(memory),
    memoryBytesMax: largest(memory),
    volumeUsedBytes: size === undefined || free === undefined ? undefined : size - free,
    volumeSizeBytes: size,
    upShare: looks.length === 0 ? undefined : looks.filter(({ sample }) => sample.engineUp).length / looks.length,
  };
}

/** Cores used from one look to the next; undefined when the container was started anew in between. */
function rateBetween(before: MemberLook | undefined, after: MemberLook): number | undefined {
  const seconds = (after.atMs - (before?.atMs ?? after.atMs)) / 1000;
  if (before?.cpuSeconds === undefined || after.cpuSeconds === undefined || seconds <= 0) return undefined;
  const used = after.cpuSeconds - before.cpuSeconds;
  return used < 0 ? undefined : used / seconds;
}

function p95(values: readonly number[]): number | undefined {
  const ascending = values.toSorted((a, b) => a - b);
  return ascending[Math.ceil(0.95 * ascending.length) - 1];
}
