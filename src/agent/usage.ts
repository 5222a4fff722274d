/**
 * What the member's container uses of what it may use, from its own cgroup and volume: the figures that a kubelet would show,
 * also where nobody scrapes kubelets. Both versions of cgroups.
 */
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { spaceOf } from "./room.ts";

/** Usage at one moment; what the machine does not tell is undefined. */
export interface Usage {
  readonly cpuSeconds: number | undefined;
  readonly cpuThrottledSeconds: number | undefined;
  /** The limit, or the node's processors where there is none. */
  readonly cpuCapacityCores: number;
  /** As the kubelet counts it: without the file cache that can be dropped. */
  readonly memoryBytes: number | undefined;
  /** undefined without a limit. */
  readonly memoryLimitBytes: number | undefined;
  readonly volumeSizeBytes: number | undefined;
  readonly volumeFreeBytes: number | undefined;
}

const MICROSECONDS = 1e6;
const NANOSECONDS = 1e9;
/** Version 1 has no word for "no limit", only numbers beyond any machine. */
const NO_LIMIT_BYTES = 2 ** 60;

/** Reads the usage. @param cgroup - Where the container sees its own cgroup. */
export async function readUsage(volume: string, cgroup = "/sys/fs/cgroup"): Promise<Usage> {
  const isVersion2 = (await textOf(join(cgroup, "cgroup.controllers"))) !== undefined;
  const [used, space] = await Promise.all([isVersion2 ? readVersion2(cgroup) : readVersion1(cgroup), spaceOf(volume)]);
  return { ...used, volumeSizeBytes: space?.sizeBytes, volumeFreeBytes: space?.freeBytes };
}

type Used = Omit<Usage, "volumeSizeBytes" | "volumeFreeBytes">;

async function readVersion2(cgroup: string): Promise<Used> {
  const read = (name: string) => textOf(join(cgroup, name));
  const [cpu, max, memory, memoryMax, stat] = await Promise.all(
    ["cpu.stat", "cpu.max", "memory.current", "memory.max", "memory.stat"].map(read),
  );
  const [quota, period] = (max ?? "").split(" ").map(Number);
  return {
    cpuSeconds: scaled(valueOf(cpu, "usage_usec"), MICROSECONDS),
    cpuThrottledSeconds: scaled(valueOf(cpu, "throttled_usec"), MICROSECONDS),
    cpuCapacityCores: coresOf(quota, period),
    memoryBytes: withoutCache(numberOf(memory), valueOf(stat, "inactive_file")),
    memoryLimitBytes: numberOf(memoryMax), // "max" is no number
  };
}

async function readVersion1(cgroup: string): Promise<Used> {
  const read = (name: string) => textOf(join(cgroup, name));
  const [usage, cpu, quota, period, memory, limit, stat] = await Promise.all(
    [
      "cpuacct/cpuacct.usage",
      "cpu/cpu.stat",
      "cpu/cpu.cfs_quota_us",
      "cpu/cpu.cfs_period_us",
      "memory/memory.usage_in_bytes",
      "memory/memory.limit_in_bytes",
      "memory/memory.stat",
    ].map(read),
  );
  const limitBytes = numberOf(limit);
  return {
    cpuSeconds: scaled(numberOf(usage), NANOSECONDS),
    cpuThrottledSeconds: scaled(valueOf(cpu, "throttled_time"), NANOSECONDS),
    cpuCapacityCores: coresOf(numberOf(quota), numberOf(period)),
    memoryBytes: withoutCache(numberOf(memory), valueOf(stat, "total_inactive_file")),
    memoryLimitBytes: limitBytes !== undefined && limitBytes < NO_LIMIT_BYTES ? limitBytes : undefined,
  };
}

/** A quota that is no positive number is none. */
function coresOf(quota: number | undefined, period: number | undefined): number {
  const cores = (quota ?? -1) / (period ?? 1);
  return cores > 0 ? cores : availableParallelism();
}

function withoutCache(bytes: number | undefined, cacheBytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : Math.max(0, bytes - (cacheBytes ?? 0));
}

function scaled(value: number | undefined, perSecond: number): number | undefined {
  return value === undefined ? undefined : value / perSecond;
}

function numberOf(text: string | undefined): number | undefined {
  const value = Number(text ?? "");
  return text === undefined || text === "" || Number.isNaN(value) ? undefined : value;
}

/** The value of a line `name value`. */
function valueOf(text: string | undefined, name: string): number | undefined {
  const line = text?.split("\n").find((one) => one.startsWith(`${name} `));
  return numberOf(line?.slice(name.length + 1));
}

/** A file's text; undefined where the machine has no such file, or does not let us read it. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    return undefined;
  }
}
