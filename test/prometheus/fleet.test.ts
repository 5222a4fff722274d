// The alerts about all clusters, judged by promtool: each when its fault is there, none other than its consequences, none while
// all is well, and none for want of traffic.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { ALERTS } from "../../src/slo/alerts.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { alertsAt, checkRuleFile, checkRules, type Input } from "./promtool.ts";

const execute = promisify(execFile);
const CLI = join(import.meta.dirname, "../../src/cli.ts");

const OF = 'namespace="shop",cluster="orders"';
const MEMBERS = ["orders-0", "orders-1", "orders-2"];
const NAMES = ALERTS.map(({ name }) => name);
/** The fault begins after an hour; a value every half minute. */
const HOUR = 120;
const REST = 60;

type Series = Readonly<Record<string, string>>;

const member = (name: string, at: number, labels = "") =>
  `quorate_member_${name}{${OF},member="${MEMBERS[at]}"${labels === "" ? "" : `,${labels}`}}`;
const operator = (name: string, labels = "") => `quorate_${name}{${labels}}`;
const cluster = (name: string, labels = "") => `quorate_${name}{${OF}${labels === "" ? "" : `,${labels}`}}`;

/** The values that promtool makes of its own short form. */
function expanded(values: string): string[] {
  return values.split(" ").flatMap((run) => {
    const [, first = "", step = "0", times = "0"] = /^([^+x]+)(?:[+]([^x]+))?(?:x([0-9]+))?$/.exec(run) ?? [];
    const next = (at: number) => (step === "0" ? first : String(Number(first) + at * Number(step)));
    return Array.from({ length: Number(times) + 1 }, (_, at) => next(at));
  });
}

/** What members tell, and what the operator tells of clusters. */
const BY_MEMBERS = "quorate_member_";
const BY_OPERATOR = "quorate_cluster_";

/** The same where, from the fault on, every third scrape of a busy member or operator takes too long: its series end, and begin anew. */
function withGaps(series: Series, by: string): Series {
  const gappy = (values: string) =>
    expanded(values)
      .map((value, at) => (at > HOUR && at % 3 === 0 ? "stale" : value))
      .join(" ");
  return Object.fromEntries(
    Object.entries(series).map(([name, values]) => [name, name.startsWith(by) ? gappy(values) : values]),
  );
}

/** The same value all the time. */
const steady = (value: string | number) => `${value}x${HOUR + REST}`;
/** One value for an hour, then another. */
const turned = (before: string | number, after: string | number) => `${before}x${HOUR} ${after}x${REST}`;
/** A counter that grows by so much every half minute. */
const growing = (by: number) => `0+${by}x${HOUR + REST}`;

/** Histograms of a member's statements: so many every half minute, all within 5 ms or all after 200 ms. */
function statements(at: number, every: number, isSlow = false): Series {
  const labels = (le: string) => `action="observe",result="ok",le="${le}"`;
  return {
    [member("action_seconds_bucket", at, labels("0.005"))]: growing(isSlow ? 0 : every),
    [member("action_seconds_bucket", at, labels("0.2"))]: growing(isSlow ? 0 : every),
    [member("action_seconds_bucket", at, labels("0.8"))]: growing(every),
    [member("action_seconds_bucket", at, labels("+Inf"))]: growing(every),
    [member("action_seconds_count", at, 'action="observe",result="ok"')]: growing(every),
  };
}

const ofEach = (series: (at: number) => Series): Series => Object.assign({}, ...MEMBERS.map((_, at) => series(at)));

const MEMBERS_WELL = ofEach((at) => ({
  [member("leader", at)]: steady(at === 0 ? 1 : 0),
  [member("epoch", at)]: steady(3),
  [member("engine_up", at)]: steady(1),
  [member("expected_members", at)]: steady(3),
  [member("replication_lag_seconds", at)]: steady(0),
  [member("cpu_seconds_total", at)]: growing(3),
  [member("cpu_capacity_cores", at)]: steady(1),
  [member("volume_size_bytes", at)]: steady(100),
  [member("volume_free_bytes", at)]: steady(60),
  ...statements(at, 30),
}));

const WELL: Series = {
  ...MEMBERS_WELL,
  [cluster("cluster_members", 'state="desired"')]: steady(3),
  [cluster("cluster_members", 'state="ready"')]: steady(3),
  [cluster("cluster_initialized")]: steady(1),
  [cluster("membership_changes_total", 'change="join"')]: steady(3),
  [cluster("membership_changes_total", 'change="leave"')]: steady(0),
  [cluster("rollouts_total", 'result="failed"')]: steady(0),
  [cluster("pod_ends_total", 'reason="OOMKilled"')]: steady(0),
  [operator("operator_leading")]: steady(1),
  [operator("reconcile_total", 'controller="cluster",result="bug"')]: steady(0),
  [operator("queue_depth", 'priority="change"')]: steady(0),
};
const PLANNED: Series = { [cluster("planned_step", 'change="Rollout"')]: steady(1) };

function apiCalls(every: number, isSlow: boolean): Series {
  return {
    [operator("api_request_duration_seconds_bucket", 'verb="get",le="0.5"')]: growing(isSlow ? 0 : every),
    [operator("api_request_duration_seconds_bucket", 'verb="get",le="1"')]: growing(every),
    [operator("api_request_duration_seconds_bucket", 'verb="get",le="+Inf"')]: growing(every),
    [operator("api_request_duration_seconds_count", 'verb="get"')]: growing(every),
  };
}

const SLOW_LEASE: Series = {
  [member("lease_write_seconds_bucket", 0, 'result="ok",le="0.5"')]: growing(0),
  [member("lease_write_seconds_bucket", 0, 'result="ok",le="1"')]: growing(10),
  [member("lease_write_seconds_bucket", 0, 'result="ok",le="+Inf"')]: growing(10),
};

const NO_MEMBERS: Series = Object.fromEntries(Object.keys(MEMBERS_WELL).map((series) => [series, `1x${HOUR} stale`]));

function firing(series: Series, at: string): Promise<string[]> {
  const input: Input[] = Object.entries(series).map(([name, values]) => ({ series: name, values }));
  return alertsAt({ groups: fleetGroups(), names: NAMES, at, input });
}

/** What makes each alert fire, when, and which others are its consequences. */
const FAULTS: readonly {
  readonly alert: string;
  readonly fault: Series;
  readonly at: string;
  readonly also?: string[];
}[] = [
  { alert: "QuorateNoLeader", fault: { [member("leader", 0)]: turned(1, 0) }, at: "1h3m" },
  { alert: "QuorateSplitBrain", fault: { [member("leader", 1)]: turned(0, 1) }, at: "1h3m" },
  { alert: "QuorateLeaderChurn", fault: { [member("epoch", 1)]: `3x${HOUR - 20} 4x5 5x5 6x70` }, at: "1h1m" },
  {
    alert: "QuorateClusterDown",
    fault: { ...NO_MEMBERS, [cluster("cluster_members", 'state="ready"')]: turned(3, 0) },
    at: "1h4m",
  },
  {
    alert: "QuorateQuorumLost",
    fault: { [member("engine_up", 1)]: turned(1, 0), [member("engine_up", 2)]: turned(1, 0) },
    at: "1h3m",
  },
  {
    alert: "QuorateMembershipChurn",
    fault: { [cluster("membership_changes_total", 'change="leave"')]: `0+0.05x${HOUR + REST}` },
    at: "1h1m",
  },
  { alert: "QuorateSlowMember", fault: statements(2, 30, true), at: "1h1m", also: ["QuorateLatencyHigh"] },
  { alert: "QuorateLatencyHigh", fault: ofEach((at) => statements(at, 30, true)), at: "1h1m" },
  {
    alert: "QuorateErrorsHigh",
    fault: { [member("action_seconds_count", 0, 'action="observe",result="error"')]: growing(5) },
    at: "1h1m",
  },
  {
    alert: "QuorateRolloutFailed",
    fault: { [cluster("rollouts_total", 'result="failed"')]: turned(0, 1) },
    at: "1h1m",
  },
  {
    alert: "QuorateChangeStuck",
    fault: { [cluster("blocked_seconds", 'guard="MembersInSync"')]: growing(30) },
    at: "1h1m",
  },
  { alert: "QuorateReplicaLag", fault: { [member("replication_lag_seconds", 1)]: steady(2) }, at: "1h1m" },
  { alert: "QuorateApiSlow", fault: apiCalls(10, true), at: "1h1m" },
  { alert: "QuorateLeaseSlow", fault: SLOW_LEASE, at: "1h1m" },
  { alert: "QuorateOperatorBehind", fault: { [operator("queue_depth", 'priority="change"')]: steady(50) }, at: "1h1m" },
  { alert: "QuorateOperatorDown", fault: { [operator("operator_leading")]: turned(1, "_") }, at: "1h20m" },
  {
    alert: "QuorateOperatorBug",
    fault: { [operator("reconcile_total", 'controller="cluster",result="bug"')]: turned(0, 1) },
    at: "1h1m",
  },
  { alert: "QuorateMembersUnseen", fault: NO_MEMBERS, at: "1h20m" },
  {
    alert: "QuorateMemberKilled",
    fault: { [cluster("pod_ends_total", 'reason="OOMKilled"')]: turned(0, 1) },
    at: "1h1m",
  },
  { alert: "QuorateMemberStarved", fault: { [member("cpu_seconds_total", 1)]: growing(27) }, at: "1h1m" },
  { alert: "QuorateVolumeFull", fault: { [member("volume_free_bytes", 2)]: steady(5) }, at: "1h1m" },
];

test("promtool finds nothing wrong with the rules", async () => {
  expect(await checkRules(fleetGroups())).toContain("SUCCESS");
});

test("what the command prints is a rule file", async () => {
  const { stdout } = await execute(process.execPath, [CLI, "rules", "--runbooks", "https://docs.example"]);
  expect(await checkRuleFile(stdout)).toContain("SUCCESS");
  expect(stdout).toContain("runbook_url: https://docs.example/QuorateNoLeader.md");
});

test("every alert has a fault that is tried here", () => {
  expect(FAULTS.map(({ alert }) => alert).toSorted()).toEqual(NAMES.toSorted());
});

describe("faults", { timeout: 60_000 }, () => {
  test.each(FAULTS)("$alert", async ({ alert, fault, at, also = [] }) => {
    expect((await firing({ ...WELL, ...fault }, at)).toSorted()).toEqual([alert, ...also].toSorted());
  });
});

describe("although every third scrape fails", { timeout: 60_000 }, () => {
  const ofMembers = [
    "QuorateNoLeader",
    "QuorateSplitBrain",
    "QuorateQuorumLost",
    "QuorateReplicaLag",
    "QuorateVolumeFull",
  ];
  test.each(FAULTS.filter(({ alert }) => ofMembers.includes(alert)))("$alert", async ({ alert, fault }) => {
    expect(await firing(withGaps({ ...WELL, ...fault }, BY_MEMBERS), "1h20m")).toEqual([alert]);
  });

  test("QuorateClusterDown, which the operator tells of", async () => {
    const down = FAULTS.find(({ alert }) => alert === "QuorateClusterDown")?.fault;
    expect(await firing(withGaps({ ...WELL, ...down }, BY_OPERATOR), "1h4m")).toEqual(["QuorateClusterDown"]);
  });

  test.each([BY_MEMBERS, BY_OPERATOR])("nobody is told when nothing else is the matter: %s", async (by) => {
    expect(await firing(withGaps(WELL, by), "1h20m")).toEqual([]);
  });
});

describe("although the operator is replaced", { timeout: 60_000 }, () => {
  /** What it tells of members that are ready, from two processes one after the other; the second began a minute after the fault. */
  const told = (before: number, after: number): Series => ({
    ...Object.fromEntries(Object.entries(WELL).filter(([name]) => !name.includes('state="ready"'))),
    [cluster("cluster_members", 'state="ready",pod="a"')]: `${before}x${HOUR} ${after} ${after} stale`,
    [cluster("cluster_members", 'state="ready",pod="b"')]: `_x${HOUR + 2} ${after}x${REST}`,
  });

  test("QuorateClusterDown", async () => {
    expect(await firing({ ...told(3, 0), ...NO_MEMBERS }, "1h2m30s")).toEqual(["QuorateClusterDown"]);
  });

  test("nobody is told when nothing else is the matter", async () => {
    expect(await firing(told(3, 3), "1h4m")).toEqual([]);
  });
});

describe("quiet", { timeout: 60_000 }, () => {
  test("while all is well", async () => {
    expect(await firing(WELL, "1h15m")).toEqual([]);
  });

  test("of clusters, when nobody is scraped at all; that the operator is not there is known", async () => {
    expect(await firing({}, "1h15m")).toEqual(["QuorateOperatorDown"]);
  });

  test.each([
    { why: "two slow statements", series: ofEach((at) => statements(at, 0.02, true)) },
    {
      why: "one error of two statements",
      series: {
        ...ofEach((at) => statements(at, 0.02)),
        [member("action_seconds_count", 0, 'action="observe",result="error"')]: growing(0.02),
      },
    },
    { why: "a few slow calls", series: apiCalls(0.5, true) },
    { why: "a lag that is not known", series: { [member("replication_lag_seconds", 1)]: steady("NaN") } },
    { why: "a window that is closed", series: { [cluster("blocked_seconds", 'guard="WindowOpen"')]: growing(30) } },
    {
      why: "a cluster that never had a leader",
      series: ofEach((at) => ({ [member("leader", at)]: steady(0), [member("epoch", at)]: steady(0) })),
    },
    {
      why: "a cluster that is stopped",
      series: {
        ...NO_MEMBERS,
        [cluster("cluster_members", 'state="ready"')]: turned(3, 0),
        [cluster("cluster_members", 'state="desired"')]: turned(3, 0),
      },
    },
  ])("for $why", async ({ series }) => {
    expect(await firing({ ...WELL, ...series }, "1h15m")).toEqual([]);
  });

  const duringWork = FAULTS.filter(
    ({ alert }) => ALERTS.find(({ name }) => name === alert)?.quietWhilePlanned !== "Never",
  );
  test.each(duringWork)("during planned work: $alert", async ({ fault, at }) => {
    expect(await firing({ ...WELL, ...fault, ...PLANNED }, at)).toEqual([]);
  });

  test("no longer when planned work leaves the cluster without a leader for ten minutes", async () => {
    const stuck = { ...WELL, ...PLANNED, [member("leader", 0)]: turned(1, 0) };
    expect(await firing(stuck, "1h9m")).toEqual([]);
    expect(await firing(stuck, "1h12m")).toEqual(["QuorateNoLeader"]);
  });
});
