// What advice is given upon, asked of a real Prometheus that has scraped a cluster for a day.
import { afterAll, beforeAll, expect, test } from "vitest";
import { adviseCluster } from "../../src/advice/advice.ts";
import type { MemberUsage, Seen } from "../../src/advice/facts.ts";
import { askPrometheus } from "../../src/cli/commands/usage.ts";
import { engine, intentOf } from "../unit/plan/fixture.ts";
import { HostPrometheus } from "./harness.ts";

const never = new AbortController().signal;
const SUBJECT = { namespace: "shop", cluster: "orders" };
const MI = 2 ** 20;
const GI = 2 ** 30;
const HOUR = 60;
/** A scrape a minute. */
const SCRAPES = 25 * HOUR;
const WRITES_A_MINUTE = 30;

/** A member as it was at a scrape, counted from the first; undefined while nobody could ask it. */
interface Life {
  readonly member: string;
  readonly cores: number;
  readonly memoryMi: (at: number) => number;
  readonly isThere: (at: number) => boolean;
}

const LIVES: readonly Life[] = [
  { member: "orders-0", cores: 0.9, memoryMi: () => 600, isThere: () => true },
  // For an hour, which is 4 % of the time, it needs more.
  { member: "orders-1", cores: 0.2, memoryMi: (at) => (at >= HOUR && at < 2 * HOUR ? 900 : 500), isThere: () => true },
  { member: "orders-2", cores: 0.2, memoryMi: () => 500, isThere: (at) => at < 10 * HOUR || at >= 12.5 * HOUR },
  // It joined two hours ago.
  { member: "orders-3", cores: 0.1, memoryMi: () => 400, isThere: (at) => at >= SCRAPES - 2 * HOUR },
];

/** Lines of one member at one scrape. */
function scrapeOf({ member, cores, memoryMi, isThere }: Life, at: number, timeSeconds: number): string[] {
  if (!isThere(at)) return [];
  const line = (name: string, value: number, labels = "") =>
    `quorate_member_${name}{namespace="shop",cluster="orders",member="${member}"${labels}} ${value} ${timeSeconds}`;
  const answers = at * 60;
  return [
    line("cpu_seconds_total", cores * 60 * at),
    line("memory_bytes", memoryMi(at) * MI),
    line("volume_size_bytes", 10 * GI),
    line("volume_free_bytes", 4 * GI),
    line("engine_up", 1),
    line("expected_members", 4),
    line("action_seconds_bucket", answers, ',action="observe",result="ok",le="0.0025"'),
    line("action_seconds_bucket", answers, ',action="observe",result="ok",le="+Inf"'),
    ...(member === "orders-0" ? leaseLines(line, at) : []),
  ];
}

/** Writes of the Lease take 50 ms, but for ten minutes in which half of them take a second; one in a hundred fails. */
function leaseLines(line: (name: string, value: number, labels: string) => string, at: number): string[] {
  const writes = at * WRITES_A_MINUTE;
  const slow = (Math.min(Math.max(at - 15 * HOUR, 0), 10) * WRITES_A_MINUTE) / 2;
  const bucket = (le: string, value: number) => line("lease_write_seconds_bucket", value, `,result="ok",le="${le}"`);
  return [
    bucket("0.05", writes - slow),
    bucket("0.5", writes - slow),
    bucket("1", writes),
    bucket("+Inf", writes),
    line("lease_write_seconds_count", writes, ',result="ok"'),
    line("lease_write_seconds_count", writes / 99, ',result="error"'),
    line("write_slices_total", writes, ',result="good"'),
    line("write_slices_total", writes / 999, ',result="bad"'),
  ];
}

let prometheus: HostPrometheus;
let seen: Seen;

beforeAll(async () => {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const history = Array.from({ length: SCRAPES }, (_, at) => at).flatMap((at) =>
    LIVES.flatMap((life) => scrapeOf(life, at, nowSeconds - (SCRAPES - 1 - at) * 60)),
  );
  prometheus = await HostPrometheus.start(() => Promise.resolve(""), [], history);
  seen = await askPrometheus(prometheus.url, SUBJECT, "2d", never);
});
afterAll(() => prometheus?.stop());

function usageOf(member: string): MemberUsage {
  const found = seen.members.find((one) => one.member === member);
  if (found === undefined) throw new Error(`nothing is known of ${member}`);
  return found;
}

test("usage is that of the busiest times, and the most", () => {
  expect(seen.members.map(({ member }) => member)).toEqual(LIVES.map(({ member }) => member));
  expect(usageOf("orders-0").cpuCoresP95).toBeCloseTo(0.9, 2);
  expect(usageOf("orders-1").cpuCoresP95).toBeCloseTo(0.2, 2);
  expect(usageOf("orders-1")).toMatchObject({ memoryBytesP95: 500 * MI, memoryBytesMax: 900 * MI });
  expect(usageOf("orders-0")).toMatchObject({ volumeUsedBytes: 6 * GI, volumeSizeBytes: 10 * GI });
  expect(seen.overSeconds / 3600).toBeCloseTo(25, 0);
});

test("who was gone was down, and who came late was not", () => {
  expect(usageOf("orders-0").upShare).toBeCloseTo(1, 2);
  expect(usageOf("orders-2").upShare).toBeCloseTo(0.9, 1);
  expect(usageOf("orders-2").upShare).toBeLessThan(0.92);
  expect(usageOf("orders-3").upShare).toBeCloseTo(1, 2);
});

test("the lease is judged by its worst minutes, answers by all of them", () => {
  expect(seen.leaseWriteP99Seconds).toBeGreaterThan(0.9);
  expect(seen.leaseWriteP99Seconds).toBeLessThanOrEqual(1);
  expect(seen.leaseErrorShare).toBeCloseTo(0.01, 3);
  expect(seen.answerP99Seconds).toBeLessThan(0.0025);
  expect(seen.unavailableShare).toBeCloseTo(0.001, 4);
});

test("the advice that follows", () => {
  const intent = intentOf({
    members: 3,
    failover: { profile: "Fast" },
    resources: { requests: { cpu: "4", memory: "640Mi" }, limits: { memory: "640Mi" } },
    slo: { dataPlane: { availabilityPercent: "99.9" } },
  });
  const advice = adviseCluster({
    ...{ intent, engine, agentMemoryBytes: 64 * MI },
    ...{ storageClass: undefined, livenessToleratesSeconds: 30, seen },
  });
  expect(Object.fromEntries(advice.map(({ subject, verdict, settings }) => [subject, [verdict, ...settings]]))).toEqual(
    {
      Cpu: ["Lower", ["spec.resources.requests.cpu", "1300m"]],
      Memory: ["Raise", ["spec.resources.requests.memory", "704Mi"], ["spec.resources.limits.memory", "1088Mi"]],
      Volume: ["Keep"],
      Members: ["Change"],
      Lease: ["Change", ["spec.failover.profile", "Standard"]],
      Probes: ["Keep"],
    },
  );
});

test("a cluster that nobody scrapes is named", async () => {
  const carts = { namespace: "shop", cluster: "carts" };
  await expect(askPrometheus(prometheus.url, carts, "2d", never)).rejects.toThrow(
    "Prometheus has no series of shop/carts: does it scrape its members?",
  );
});
