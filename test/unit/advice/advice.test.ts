// Advice by tables: what was seen, and what is said of it.
import { describe, expect, test } from "vitest";
import { type Advice, adviseCluster, toPatch } from "../../../src/advice/advice.ts";
import { costOf, parsePrices } from "../../../src/advice/cost.ts";
import type { Facts, MemberUsage, Seen } from "../../../src/advice/facts.ts";
import { seenByAgents } from "../../../src/advice/looks.ts";
import { writableShare } from "../../../src/advice/member-count.ts";
import { requestedOf } from "../../../src/advice/rightsizing.ts";
import { agentMetrics, usageMetrics } from "../../../src/agent/metrics.ts";
import { parseQuantity } from "../../../src/build/quantity.ts";
import { toSample, toUsageSample } from "../../../src/observe/exposition.ts";
import { engine, intentOf } from "../plan/fixture.ts";

const DAY = 86_400;
const MI = 2 ** 20;
const GI = 2 ** 30;

const FITTING_CORES = 0.6;
/** A member that needs what it was given. */
const FITTING: MemberUsage = {
  member: "orders-0",
  cpuCoresP95: FITTING_CORES,
  memoryBytesP95: 800 * MI,
  memoryBytesMax: 850 * MI,
  volumeUsedBytes: 4 * GI,
  volumeSizeBytes: 10 * GI,
  upShare: 1,
};
const WELL: Seen = {
  source: "Prometheus",
  overSeconds: 7 * DAY,
  members: [FITTING, { ...FITTING, member: "orders-1" }, { ...FITTING, member: "orders-2" }],
  leaseWriteP99Seconds: 0.8,
  leaseErrorShare: 0,
  answerP99Seconds: 0.01,
  unavailableShare: 0,
};
const SPEC = {
  members: 3,
  resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "1Gi" } },
  storage: { data: { size: "10Gi" } },
  slo: {},
};

function factsOf(seen: Partial<Seen> = {}, spec: object = {}): Facts {
  return {
    intent: intentOf({ ...SPEC, ...spec }),
    engine,
    agentMemoryBytes: 64 * MI,
    storageClass: undefined,
    livenessToleratesSeconds: 30,
    seen: { ...WELL, ...seen },
  };
}

/** All members as they were, but for one of them. */
const oneWith = (usage: Partial<MemberUsage>) => ({ members: [FITTING, { ...FITTING, ...usage }] });
/** All of them. */
const eachWith = (usage: Partial<MemberUsage>) => ({ members: WELL.members.map((one) => ({ ...one, ...usage })) });

function said(facts: Facts, subject: Advice["subject"]) {
  const found = adviseCluster(facts).find((one) => one.subject === subject);
  if (found === undefined) throw new Error(`nothing about ${subject}`);
  return found;
}

test("what fits is kept, and nothing is to be set", () => {
  const advice = adviseCluster(factsOf());
  expect(advice.map(({ subject, verdict }) => `${subject} ${verdict}`)).toEqual([
    "Cpu Keep",
    "Memory Keep",
    "Volume Keep",
    "Members Keep",
    "Lease Keep",
    "Probes Keep",
  ]);
  expect(advice.flatMap(({ settings }) => settings)).toEqual([]);
});

test("of what nobody measured nothing is known", () => {
  const nothing = {
    members: [],
    leaseWriteP99Seconds: undefined,
    leaseErrorShare: undefined,
    answerP99Seconds: undefined,
    unavailableShare: undefined,
  };
  expect(new Set(adviseCluster(factsOf(nothing)).map(({ verdict }) => verdict))).toEqual(new Set(["Unknown"]));
});

describe("processor", () => {
  const cpu = "spec.resources.requests.cpu";
  test.each([
    { why: "the busiest of them uses more than it asked for", used: 1.4, verdict: "Raise", settings: [[cpu, "2"]] },
    { why: "all of it is used", used: 1, verdict: "Keep", settings: [] },
    { why: "more than 60 % of it would be asked for", used: 0.45, verdict: "Keep", settings: [] },
    { why: "little of it is used", used: 0.2, verdict: "Lower", settings: [[cpu, "300m"]] },
    { why: "nearly none of it is used", used: 0.001, verdict: "Lower", settings: [[cpu, "50m"]] },
  ])("$why: $verdict", ({ used, verdict, settings }) => {
    const seen = used > FITTING_CORES ? oneWith({ cpuCoresP95: used }) : eachWith({ cpuCoresP95: used });
    expect(said(factsOf(seen), "Cpu")).toMatchObject({ verdict, settings });
  });

  test("is never lowered by less than a day's figures", () => {
    const { verdict, settings, found } = said(
      factsOf({ ...eachWith({ cpuCoresP95: 0.1 }), overSeconds: DAY - 1 }),
      "Cpu",
    );
    expect({ verdict, settings }).toEqual({ verdict: "Unknown", settings: [] });
    expect(found).toContain("less than a day was seen");
  });

  test.each([0.36, 0.4, 0.49])(
    "%f cores of a limit of 500m: request and limit are raised, the limit stays above",
    (used) => {
      const spec = { resources: { requests: { cpu: "500m", memory: "1Gi" }, limits: { cpu: "500m" } } };
      const { verdict, settings } = said(factsOf(eachWith({ cpuCoresP95: used }), spec), "Cpu");
      expect(verdict).toBe("Raise");
      expect(settings.map(([path]) => path)).toEqual([cpu, "spec.resources.limits.cpu"]);
      const [request = 0, limit = 0] = settings.map(([, value]) => parseQuantity(String(value)));
      expect(limit).toBeGreaterThan(request);
    },
  );
});

describe("memory, of which the agent's share is not asked for", () => {
  const request = "spec.resources.requests.memory";
  const limit = "spec.resources.limits.memory";
  test.each([
    {
      why: "near its limit",
      usage: { memoryBytesP95: 800 * MI, memoryBytesMax: 1000 * MI },
      verdict: "Raise",
      settings: [
        [request, "960Mi"],
        [limit, "1216Mi"],
      ],
    },
    {
      why: "a third is used",
      usage: { memoryBytesP95: 300 * MI, memoryBytesMax: 400 * MI },
      verdict: "Lower",
      settings: [
        [request, "320Mi"],
        [limit, "448Mi"],
      ],
    },
    { why: "two thirds are used", usage: { memoryBytesP95: 700 * MI }, verdict: "Keep", settings: [] },
  ])("$why: $verdict", ({ usage, verdict, settings }) => {
    expect(said(factsOf(eachWith(usage)), "Memory")).toMatchObject({ verdict, settings });
  });

  test("without a limit gets none, and more when the usual is more than was asked for", () => {
    const spec = { resources: { requests: { memory: "512Mi" } } };
    expect(said(factsOf({}, spec), "Memory")).toMatchObject({ verdict: "Raise", settings: [[request, "960Mi"]] });
  });
});

test.each([
  { used: 7.9, verdict: "Keep", settings: [] },
  { used: 8.5, verdict: "Raise", settings: [["spec.storage.data.size", "15Gi"]] },
  { used: 0.1, verdict: "Keep", settings: [] },
])("of a volume of 10 GiB $used are used: $verdict", ({ used, verdict, settings }) => {
  const seen = oneWith({ volumeUsedBytes: used * GI });
  expect(said(factsOf(seen), "Volume")).toMatchObject({ verdict, settings });
});

describe("members", () => {
  const members = "spec.members";
  test.each([
    { count: 3, percent: "99.9", down: 0, verdict: "Keep", settings: [] },
    { count: 5, percent: "99.9", down: 0, verdict: "Lower", settings: [[members, 3]] },
    { count: 1, percent: "99.99", down: 0, verdict: "Raise", settings: [[members, 3]] },
    { count: 3, percent: "99.99", down: 0.01, verdict: "Raise", settings: [[members, 5]] },
    { count: 3, percent: "99.9", down: 0.4, verdict: "Change", settings: [] },
  ])("$count, each down $down of the time, for $percent %: $verdict", ({ count, percent, down, verdict, settings }) => {
    const spec = { members: count, slo: { dataPlane: { availabilityPercent: percent } } };
    const seen = oneWith({ upShare: 1 - down });
    expect(said(factsOf(seen, spec), "Members")).toMatchObject({ verdict, settings });
  });

  test("without an objective, or seen for hours only, are not judged", () => {
    expect(said(factsOf({}, { slo: undefined }), "Members").found).toContain("state spec.slo");
    expect(said(factsOf({ overSeconds: DAY / 2 }), "Members").found).toContain("less than a day");
  });

  test.each([
    { mode: "Quorum", whenDegraded: "Block", share: 0.9 ** 3 + 3 * 0.9 ** 2 * 0.1 },
    { mode: "All", whenDegraded: "Block", share: 0.9 ** 3 },
    { mode: "All", whenDegraded: "Async", share: 0.9 ** 3 + 3 * 0.9 ** 2 * 0.1 },
    { mode: "Async", whenDegraded: "Block", share: 1 - 0.1 ** 3 },
  ] as const)("three with $mode and $whenDegraded take writes $share of the time", ({ share, ...durability }) => {
    expect(writableShare(3, 0.1, durability)).toBeCloseTo(share, 10);
  });
});

describe("lease", () => {
  const profile = "spec.failover.profile";
  test.each([
    { is: "Fast", p99: 0.9, failed: 0, verdict: "Keep", settings: [] },
    { is: "Fast", p99: 1.1, failed: 0, verdict: "Change", settings: [[profile, "Standard"]] },
    { is: "Fast", p99: 0.1, failed: 0.01, verdict: "Change", settings: [[profile, "Standard"]] },
    { is: "Standard", p99: 0.8, failed: 0, verdict: "Keep", settings: [] },
    { is: "Standard", p99: 0.1, failed: 0, verdict: "Change", settings: [[profile, "Fast"]] },
    { is: "Standard", p99: 3, failed: 0, verdict: "Change", settings: [] },
  ])("$is with writes of $p99 s, of which $failed fail: $verdict", ({ is, p99, failed, verdict, settings }) => {
    const facts = factsOf({ leaseWriteP99Seconds: p99, leaseErrorShare: failed }, { failover: { profile: is } });
    expect(said(facts, "Lease")).toMatchObject({ verdict, settings });
  });

  test("of a short look is never made faster", () => {
    const facts = factsOf({ leaseWriteP99Seconds: 0.1, overSeconds: 10 }, { failover: { profile: "Standard" } });
    expect(said(facts, "Lease").verdict).toBe("Keep");
  });
});

test("a probe that tolerates less than twenty slow answers is told", () => {
  expect(said(factsOf({ answerP99Seconds: 1.5 }), "Probes").verdict).toBe("Keep");
  expect(said(factsOf({ answerP99Seconds: 1.6 }), "Probes").verdict).toBe("Change");
});

test("settings become one merge patch", () => {
  const settings = [
    ["spec.members", 5],
    ["spec.resources.requests.cpu", "2"],
    ["spec.resources.limits.memory", "1Gi"],
  ] as const;
  expect(toPatch(settings)).toEqual({
    spec: { members: 5, resources: { requests: { cpu: "2" }, limits: { memory: "1Gi" } } },
  });
});

describe("cost", () => {
  const TABLE = { cpuCoreHour: 0.03, memoryGiBHour: 0.004, storageGiBMonth: { default: 0.1, fast: 0.3 } };

  test("counts what each member asks for, the agent's memory too", () => {
    const { total, ...parts } = costOf(parsePrices(TABLE), requestedOf(factsOf()), 3, undefined);
    expect(parts).toEqual({ currency: "EUR", cpu: 3 * 0.03 * 730, memory: 3 * (1 + 1 / 16) * 0.004 * 730, storage: 3 });
    expect(total).toBeCloseTo(65.7 + 9.3075 + 3, 6);
    expect(costOf(parsePrices(TABLE), requestedOf(factsOf()), 3, "fast").storage).toBeCloseTo(9, 10);
  });

  test.each([
    { table: { ...TABLE, cpuCoreHour: "3" }, says: "cpuCoreHour: must be the price of one core for an hour" },
    { table: { ...TABLE, storageGiBMonth: { fast: 1 } }, says: "storageGiBMonth: must have a price under `default`" },
    { table: { ...TABLE, gpu: 1 }, says: "gpu" },
    { table: "nothing", says: "prices: the file:" },
  ])("a table with a mistake is refused: $says", ({ table, says }) => {
    expect(() => parsePrices(table)).toThrow(says);
  });
});

test("looks at agents give usage between them, and nothing across a restart", async () => {
  const agent = agentMetrics({ namespace: "shop", cluster: "orders", member: "orders-0", node: "n0" });
  const show = usageMetrics(agent.registry);
  agent.isLeader.set(1);
  agent.leaseSeconds.observe({ result: "ok" }, 0.02);
  agent.actionSeconds.observe({ action: "observe", result: "ok" }, 0.002);
  const lookAt = async (atMs: number, cpuSeconds: number, memoryMi: number, up: number) => {
    show({
      cpuSeconds,
      cpuThrottledSeconds: 0,
      cpuCapacityCores: 2,
      memoryBytes: memoryMi * MI,
      memoryLimitBytes: undefined,
      volumeSizeBytes: 10 * GI,
      volumeFreeBytes: 7 * GI,
    });
    agent.engineUp.set(up);
    const text = await agent.registry.metrics();
    const sample = toSample(text);
    if (sample === undefined) throw new Error("an agent's metrics are none");
    return { member: "orders-0", atMs, sample, ...toUsageSample(text) };
  };
  const looks = [
    await lookAt(0, 50, 300, 1),
    await lookAt(1000, 50.5, 400, 1),
    await lookAt(2000, 0.1, 200, 0), // the container was started anew
    await lookAt(4000, 0.7, 250, 1),
  ];
  const { members, ...cluster } = seenByAgents(looks);
  expect(members).toEqual([
    {
      member: "orders-0",
      cpuCoresP95: 0.5,
      memoryBytesP95: 400 * MI,
      memoryBytesMax: 400 * MI,
      volumeUsedBytes: 3 * GI,
      volumeSizeBytes: 10 * GI,
      upShare: 0.75,
    },
  ]);
  expect(cluster).toMatchObject({ source: "Agents", overSeconds: 4, leaseErrorShare: 0, unavailableShare: undefined });
  expect(cluster.leaseWriteP99Seconds).toBeCloseTo(0.025, 3);
});
