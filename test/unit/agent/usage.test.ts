import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Registry } from "prom-client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { usageMetrics } from "../../../src/agent/metrics.ts";
import { readUsage } from "../../../src/agent/usage.ts";

let cgroup: string;

beforeEach(async () => {
  cgroup = await mkdtemp(join(tmpdir(), "quorate-cgroup-"));
});
afterEach(() => rm(cgroup, { recursive: true }));

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(cgroup, name)), { recursive: true });
    await writeFile(join(cgroup, name), `${text}\n`);
  }
}

const VERSION_2 = {
  "cgroup.controllers": "cpu memory",
  "cpu.stat": "usage_usec 2500000\nuser_usec 1\nthrottled_usec 500000",
  "cpu.max": "150000 100000",
  "memory.current": "1000",
  "memory.max": "4096",
  "memory.stat": "anon 500\ninactive_file 300",
};

const VERSION_1 = {
  "cpuacct/cpuacct.usage": "2500000000",
  "cpu/cpu.stat": "nr_periods 1\nthrottled_time 500000000",
  "cpu/cpu.cfs_quota_us": "150000",
  "cpu/cpu.cfs_period_us": "100000",
  "memory/memory.usage_in_bytes": "1000",
  "memory/memory.limit_in_bytes": "4096",
  "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 300",
};

const USED = {
  cpuSeconds: 2.5,
  cpuThrottledSeconds: 0.5,
  cpuCapacityCores: 1.5,
  memoryBytes: 700,
  memoryLimitBytes: 4096,
};

test.each([
  { version: 2, files: VERSION_2 },
  { version: 1, files: VERSION_1 },
])("cgroups of version $version are read", async ({ files }) => {
  await write(files);
  expect(await readUsage("/", cgroup)).toMatchObject(USED);
});

test.each([
  { version: 2, files: { ...VERSION_2, "cpu.max": "max 100000", "memory.max": "max" } },
  {
    version: 1,
    files: { ...VERSION_1, "cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": "9223372036854771712" },
  },
])("without limits of version $version the node's processors are what there is", async ({ files }) => {
  await write(files);
  expect(await readUsage("/", cgroup)).toMatchObject({
    cpuCapacityCores: availableParallelism(),
    memoryLimitBytes: undefined,
  });
});

test("the space of the volume is what the file system says", async () => {
  const { volumeSizeBytes = 0, volumeFreeBytes = 0 } = await readUsage("/", cgroup);
  expect(volumeSizeBytes).toBeGreaterThan(volumeFreeBytes);
  expect(volumeFreeBytes).toBeGreaterThan(0);
});

test("what the machine does not tell has no series, and comes back when it does", async () => {
  const registry = new Registry();
  const show = usageMetrics(registry);
  const value = async (name: string) =>
    (await registry.metrics()).split("\n").find((line) => line.startsWith(`quorate_member_${name} `));
  show(await readUsage(join(cgroup, "missing"), cgroup));
  for (const name of ["cpu_seconds_total", "memory_bytes", "memory_limit_bytes", "volume_size_bytes"]) {
    expect(await value(name)).toBeUndefined();
  }
  await write(VERSION_2);
  for (let looks = 0; looks < 2; looks += 1) show(await readUsage("/", cgroup));
  expect(await value("cpu_seconds_total")).toBe("quorate_member_cpu_seconds_total 2.5");
  expect(await value("memory_bytes")).toBe("quorate_member_memory_bytes 700");
});
