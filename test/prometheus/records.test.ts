// What every recording rule makes of series whose outcome is known: of much, of little, and of nothing.
import { describe, expect, test } from "vitest";
import { ServiceLevel } from "../../src/api/objectives.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import type { RuleGroup } from "../../src/slo/rule.ts";
import { ruleGroup } from "../../src/slo/rules.ts";
import { type Input, valuesAt } from "./promtool.ts";

const slo = ServiceLevel.parse({
  dataPlane: { latencyP95Milliseconds: 100, errorPercent: "0.1", requestErrorPercent: "0.1" },
  controlPlane: { apiLatencyP95Milliseconds: 100 },
  objectives: [
    {
      name: "checkout",
      targetPercent: "99",
      badQuery: 'increase(shop_requests_total{job="$(CLUSTER)",code=~"5.."}[$(WINDOW)])',
      totalQuery: 'increase(shop_requests_total{job="$(CLUSTER)"}[$(WINDOW)]) # of all codes',
    },
  ],
});
const GROUPS: readonly RuleGroup[] = [
  ...fleetGroups(),
  ruleGroup({ namespace: "shop", cluster: "orders", slo, topology: "ActivePassive" }),
  ruleGroup({ namespace: "shop", cluster: "front", slo: ServiceLevel.parse({}), topology: "Stateless" }),
];
const recordsOf = (groups: readonly RuleGroup[]): string[] => [
  ...new Set(groups.flatMap(({ rules }) => rules.flatMap(({ record }) => record ?? []))),
];
const RECORDS = recordsOf(GROUPS);

const ORDERS = 'cluster="orders",namespace="shop"';
const CARTS = 'cluster="carts",namespace="shop"';
const FRONT = 'cluster="front",namespace="shop"';
/** The same value, or a counter that grows by so much every half minute, for an hour. */
const steady = (value: number): string => `${value}x120`;
const growing = (by: number): string => `0+${by}x120`;

/** Series of one cluster: names without their beginning, and of what goes before the brace nothing more. */
function seriesOf(of: string, values: Readonly<Record<string, string>>): Input[] {
  return Object.entries(values).map(([name, text]) => {
    const [metric = "", labels = ""] = name.split(/[{}]/);
    const all = [of, labels].filter((one) => one !== "").join();
    return { series: `quorate_${metric}{${all}}`, values: text };
  });
}

/** Shares and times that no two records have in common, so that none can be taken for another. */
const BUSY: readonly Input[] = [
  ...seriesOf(ORDERS, {
    'member_leader{member="orders-0"}': steady(1),
    'member_leader{member="orders-1"}': steady(0),
    'member_engine_up{member="orders-0"}': steady(1),
    'member_engine_up{member="orders-1"}': steady(1),
    'member_engine_up{member="orders-2"}': steady(0),
    'member_expected_members{member="orders-0"}': steady(3),
    'member_expected_members{member="orders-1"}': steady(5),
    'member_epoch{member="orders-0"}': "3x60 7x60",
    'member_epoch{member="orders-1"}': "3x70 6x50",
    'planned_step{change="Rollout"}': "1x100 _x20", // ended ten minutes ago
    'maintenance_window_open{window="saturday"}': "0x110 1x10",
    'maintenance_window_open{window="sunday"}': steady(0),
    'member_write_slices_total{member="orders-0",result="good"}': growing(27),
    'member_write_slices_total{member="orders-0",result="bad"}': growing(3),
    'member_quorum_slices_total{member="orders-0",result="good"}': growing(24),
    'member_quorum_slices_total{member="orders-0",result="bad"}': growing(6),
    'member_requests_total{member="orders-0",result="good"}': growing(65),
    'member_requests_total{member="orders-1",result="bad"}': growing(35),
    'member_request_seconds_bucket{member="orders-0",le="0.1"}': growing(8),
    'member_request_seconds_bucket{member="orders-0",le="0.2"}': growing(16),
    'member_request_seconds_bucket{member="orders-1",le="+Inf"}': growing(0),
    'member_request_seconds_bucket{member="orders-0",le="+Inf"}': growing(16),
    // 18 of 20 reads within 100 ms, none of 20 writes; all within 200 ms. Ten more failed.
    'member_action_seconds_bucket{member="orders-0",action="observe",result="ok",le="0.1"}': growing(18),
    'member_action_seconds_bucket{member="orders-0",action="observe",result="ok",le="0.2"}': growing(20),
    'member_action_seconds_bucket{member="orders-0",action="observe",result="ok",le="+Inf"}': growing(20),
    'member_action_seconds_bucket{member="orders-0",action="probeWrite",result="ok",le="0.1"}': growing(0),
    'member_action_seconds_bucket{member="orders-0",action="probeWrite",result="ok",le="0.2"}': growing(20),
    'member_action_seconds_bucket{member="orders-0",action="probeWrite",result="ok",le="+Inf"}': growing(20),
    'member_action_seconds_count{member="orders-0",action="observe",result="ok"}': growing(20),
    'member_action_seconds_count{member="orders-0",action="probeWrite",result="ok"}': growing(20),
    'member_action_seconds_count{member="orders-0",action="observe",result="error"}': growing(10),
    // Slow and failed, and neither a read nor a write.
    'member_action_seconds_bucket{member="orders-0",action="clone",result="ok",le="+Inf"}': growing(999),
    'member_action_seconds_count{member="orders-0",action="clone",result="error"}': growing(999),
    'member_replication_lag_seconds{member="orders-1"}': steady(2),
    'member_replication_lag_seconds{member="orders-2"}': steady(0.25),
    'member_replication_lag_bytes{member="orders-1"}': steady(10),
    'member_replication_lag_bytes{member="orders-2"}': steady(4096),
    'membership_changes_total{change="join"}': growing(0.01),
    'membership_changes_total{change="leave"}': growing(0.02),
    'member_lease_write_seconds_bucket{member="orders-0",result="ok",le="0.1"}': growing(9),
    'member_lease_write_seconds_bucket{member="orders-0",result="ok",le="0.2"}': growing(12),
    'member_lease_write_seconds_bucket{member="orders-0",result="ok",le="+Inf"}': growing(12),
    'member_lease_write_seconds_count{member="orders-0",result="ok"}': growing(12),
    'member_cpu_seconds_total{member="orders-0"}': growing(18),
    'member_cpu_capacity_cores{member="orders-0"}': steady(2),
    'member_memory_bytes{member="orders-0"}': steady(45),
    'member_memory_limit_bytes{member="orders-0"}': steady(100),
    'member_volume_size_bytes{member="orders-0"}': steady(200),
    'member_volume_free_bytes{member="orders-0"}': steady(30),
  }),
  // Two that take themselves for the leader, nothing that could be probed, work that ended a minute ago, and requests that are few.
  ...seriesOf(CARTS, {
    'member_leader{member="carts-0"}': steady(1),
    'member_leader{member="carts-1"}': steady(1),
    'planned_step{change="Restart"}': "1x118 _x2",
    'member_requests_total{member="carts-0",result="good"}': growing(1),
    'member_requests_total{member="carts-0",result="bad"}': growing(0.5),
  }),
  // Members without agents.
  ...seriesOf(FRONT, {
    'cluster_serving_slices_total{result="good"}': growing(9),
    'cluster_serving_slices_total{result="bad"}': growing(21),
  }),
  // What an application counts.
  { series: 'shop_requests_total{job="orders",code="200"}', values: growing(600) },
  { series: 'shop_requests_total{job="orders",code="500"}', values: growing(250) },
  { series: 'shop_requests_total{job="orders",code="503"}', values: growing(150) },
  { series: 'shop_requests_total{job="carts",code="500"}', values: growing(999) },
  ...seriesOf("", {
    'api_request_duration_seconds_bucket{verb="get",le="0.5"}': growing(18),
    'api_request_duration_seconds_bucket{verb="get",le="1"}': growing(20),
    'api_request_duration_seconds_bucket{verb="get",le="+Inf"}': growing(20),
    // A watch is not slow because it is long.
    'api_request_duration_seconds_bucket{verb="watch",le="1"}': growing(0),
    'api_request_duration_seconds_bucket{verb="watch",le="+Inf"}': growing(999),
  }),
];

const ofMember = (value: number) => ({ [`cluster="orders",member="orders-0",namespace="shop"`]: value });
const of = (orders: number, carts?: number) => ({
  [ORDERS]: orders,
  ...(carts === undefined ? {} : { [CARTS]: carts }),
});
/** A value for each objective, in the order of their labels. */
const perObjective = (values: Readonly<Record<string, number>>) =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`cluster="orders",namespace="shop",objective="${name}"`, value]),
  );
/** What only the operator measures. */
const ofFront = (value: number) => ({ [`cluster="front",namespace="shop",objective="Availability"`]: value });
const BAD = perObjective({
  Availability: 0.1,
  Requests: 0.35,
  Latency: 1 - 18 / 40,
  Errors: 0.2,
  ApiLatency: 0.25,
  checkout: 0.4,
});

type Values = Readonly<Record<string, number>>;

/** What each record is at the end of the hour. */
const EXPECTED: Readonly<Record<string, Values>> = {
  "quorate:cluster_leaders:sum": of(1, 2),
  "quorate:cluster_has_leader:bool": of(1, 1),
  "quorate:cluster_members_up:sum": of(2),
  "quorate:cluster_members_expected:max": of(5),
  "quorate:cluster_epoch:max": of(7),
  "quorate:planned_lately:max2m": { [CARTS]: 1 },
  "quorate:planned_lately:max1h": of(1, 1),
  "quorate:window_open:max": of(1),
  "quorate:window_quiet:max": of(1),
  "quorate:window_lately:max2m": of(1),
  "quorate:window_lately:max1h": of(1),
  "quorate:availability:ratio_rate5m": { ...of(0.9, 1), [FRONT]: 0.3 },
  "quorate:request_success:ratio_rate5m": of(0.65),
  "quorate:latency_seconds:p95_5m": of(0.1 + (0.1 * 20) / 22),
  "quorate:member_latency_seconds:p95_5m": ofMember(0.15),
  "quorate:request_latency_seconds:p95_5m": of(0.1 + (0.1 * 7.2) / 8),
  "quorate:quorum_success:ratio_rate5m": of(0.8, 1),
  "quorate:replication_lag_seconds:max": of(2),
  "quorate:replication_lag_bytes:max": of(4096),
  "quorate:membership_changes:increase1h": of(3.6),
  "quorate:api_request_seconds:p95_5m": { "": 0.75 },
  "quorate:lease_write_seconds:p95_5m": of(0.1 + (0.1 * 2.4) / 3),
  "quorate:rollouts_failed:increase7d": {}, // of a week: below
  "quorate:leader_changes:delta1h": of(4),
  "quorate:errors:ratio_rate5m": of(0.2),
  "quorate:member_cpu:ratio_rate5m": ofMember(0.3),
  "quorate:member_memory:ratio": ofMember(0.45),
  "quorate:member_volume:ratio": ofMember(0.85),
  "quorate:cluster_led:bool": of(1),
  ...Object.fromEntries(
    ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"].map((range) => [
      `slo:sli_error:ratio_rate${range}`,
      { ...BAD, ...ofFront(0.7) },
    ]),
  ),
  "slo:period_error_budget_remaining:ratio": {
    ...perObjective({
      Availability: 1 - 0.1 / 0.001,
      Requests: 1 - 0.35 / 0.001,
      Latency: 1 - 0.55 / 0.05,
      Errors: 1 - 0.2 / 0.001,
      ApiLatency: 1 - 0.25 / 0.05,
      checkout: 1 - 0.4 / 0.01,
    }),
    ...ofFront(1 - 0.7 / 0.001),
  },
};

/** Values by their labels, near enough: binary fractions are none of a rule's mistakes. */
function expectValues(actual: Values | undefined, expected: Values): void {
  expect(Object.keys(actual ?? {}).toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const [labels, value] of Object.entries(expected)) expect(actual?.[labels]).toBeCloseTo(value, 6);
}

test("of every recording rule there is a value to be compared with", () => {
  expect(Object.keys(EXPECTED).toSorted()).toEqual(RECORDS.toSorted());
});

describe("of a busy hour", { timeout: 60_000 }, async () => {
  const values = await valuesAt({ groups: GROUPS, input: BUSY }, "1h", RECORDS);
  test.each(Object.entries(EXPECTED))("%s", (record, expected) => expectValues(values.get(record), expected));
});

describe("of nothing at all", { timeout: 60_000 }, async () => {
  const values = await valuesAt({ groups: GROUPS, input: [] }, "1h", RECORDS);
  test.each(RECORDS)("there is no %s", (record) => expect(values.get(record)).toEqual({}));
});

describe("of a cluster in which nothing goes on", { timeout: 60_000 }, async () => {
  // Every counter stands where it stood; nothing is divided by nothing.
  const still = BUSY.map(({ series, values }) => ({ series, values: values.startsWith("0+") ? "5x120" : values }));
  const values = await valuesAt({ groups: GROUPS, input: still }, "1h", RECORDS);

  test.each(["availability", "quorum_success"])("its %s is that it was led", (indicator) => {
    expectValues(values.get(`quorate:${indicator}:ratio_rate5m`), of(1, 1));
  });
  test.each(["quorate:errors:ratio_rate5m", "quorate:request_success:ratio_rate5m"])("no %s is known", (record) => {
    expect(values.get(record)).toEqual({});
  });
  test.each([
    "latency_seconds",
    "member_latency_seconds",
    "request_latency_seconds",
    "api_request_seconds",
    "lease_write_seconds",
  ])("its %s is no number, which is above no limit", (indicator) => {
    const record = values.get(`quorate:${indicator}:p95_5m`) ?? {};
    expect(Object.values(record)).toEqual(Object.keys(record).map(() => Number.NaN));
  });
  test("of its objectives availability is known, and one of the user's own of which nothing was bad", () => {
    expectValues(values.get("slo:sli_error:ratio_rate5m"), perObjective({ Availability: 0, checkout: 0 }));
    expectValues(values.get("slo:period_error_budget_remaining:ratio"), perObjective({ Availability: 1, checkout: 1 }));
  });
});

test("of a cluster without a leader nothing is available, whatever was counted before", {
  timeout: 60_000,
}, async () => {
  const unled = BUSY.map(({ series, values }) =>
    series.startsWith("quorate_member_leader{") ? { series, values: steady(0) } : { series, values },
  );
  const asked = [
    "quorate:availability:ratio_rate5m",
    "quorate:quorum_success:ratio_rate5m",
    "slo:sli_error:ratio_rate5m",
  ];
  const values = await valuesAt({ groups: GROUPS, input: unled }, "1h", asked);
  expectValues(values.get("quorate:availability:ratio_rate5m"), { ...of(0, 0), [FRONT]: 0.3 });
  expectValues(values.get("quorate:quorum_success:ratio_rate5m"), of(0, 0));
  expectValues(values.get("slo:sli_error:ratio_rate5m"), {
    ...BAD,
    ...perObjective({ Availability: 1 }),
    ...ofFront(0.7),
  });
});

describe("of the rolls of weeks", { timeout: 60_000 }, () => {
  const RECORD = "quorate:rollouts_failed:increase7d";
  /** The record after so many hours, of a counter's values at every hour. */
  const failedBy = async (hours: number, failed: string): Promise<Values | undefined> => {
    const input = seriesOf(ORDERS, {
      'rollouts_total{result="failed"}': failed,
      'rollouts_total{result="succeeded"}': "0+1x500",
    });
    return (await valuesAt({ groups: fleetGroups(), input, every: "1h" }, `${hours}h`, [RECORD])).get(RECORD);
  };

  test("two that failed within a week are two, and none once the week is over", async () => {
    expect((await failedBy(200, "0x100 1x20 2x300"))?.[ORDERS]).toBeCloseTo(2, 1);
    expect((await failedBy(300, "0x100 1x20 2x300"))?.[ORDERS]).toBe(0);
  });

  test("one that failed, and then an operator that counts anew from zero, is one", async () => {
    expect((await failedBy(200, "0x100 1x40 0x300"))?.[ORDERS]).toBeCloseTo(1, 1);
  });

  test("of a cluster that had none is none, not nothing", async () => {
    expect(await failedBy(200, "0x500")).toEqual({ [ORDERS]: 0 });
  });
});
