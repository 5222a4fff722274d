// The alerts about all clusters, judged by promtool: each when its fault is there, none other than its consequences, none while
// all is well, and none for want of traffic.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { ALERTS } from "../../src/slo/alerts.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { alertsOver, checkRuleFile, checkRules } from "./promtool.ts";

import {
  apiCalls,
  cluster,
  expanded,
  FAULTS,
  faultOf,
  firing,
  firingAtMost,
  firingOver,
  growing,
  BEFORE,
  member,
  MUTED_IN_WINDOWS,
  NO_MEMBERS,
  ofEach,
  PLANNED,
  REST,
  type Series,
  statements,
  steady,
  turned,
  WELL,
  windowOpen,
} from "./faults.ts";

const execute = promisify(execFile);
const CLI = join(import.meta.dirname, "../../src/cli.ts");
const NAMES = ALERTS.map(({ name }) => name);

/** What members tell, and what the operator tells of clusters. */
const BY_MEMBERS = "quorate_member_";
const BY_OPERATOR = "quorate_cluster_";

/** The same where, from the fault on, every third scrape of a busy member or operator takes too long: its series end, and begin anew. */
function withGaps(series: Series, by: string): Series {
  const gappy = (values: string) =>
    expanded(values)
      .map((value, at) => (at > BEFORE && at % 3 === 0 ? "stale" : value))
      .join(" ");
  return Object.fromEntries(
    Object.entries(series).map(([name, values]) => [name, name.startsWith(by) ? gappy(values) : values]),
  );
}

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
    expect(await firing(withGaps({ ...WELL, ...fault }, BY_MEMBERS), "50m")).toEqual([alert]);
  });

  test("QuorateClusterDown, which the operator tells of", async () => {
    const down = faultOf("QuorateClusterDown").fault;
    expect(await firing(withGaps({ ...WELL, ...down }, BY_OPERATOR), "34m")).toEqual(["QuorateClusterDown"]);
  });

  test.each([BY_MEMBERS, BY_OPERATOR])("nobody is told when nothing else is the matter: %s", async (by) => {
    expect(await firingAtMost(withGaps(WELL, by), "50m")).toEqual([]);
  });
});

describe("although the operator is replaced", { timeout: 60_000 }, () => {
  /** What it tells of members that are ready, from two processes one after the other; the second began a minute after the fault. */
  const told = (before: number, after: number): Series => ({
    ...Object.fromEntries(Object.entries(WELL).filter(([name]) => !name.includes('state="ready"'))),
    [cluster("cluster_members", 'state="ready",pod="a"')]: `${before}x${BEFORE} ${after} ${after} stale`,
    [cluster("cluster_members", 'state="ready",pod="b"')]: `_x${BEFORE + 2} ${after}x${REST}`,
  });

  test("QuorateClusterDown", async () => {
    expect(await firing({ ...told(3, 0), ...NO_MEMBERS }, "32m30s")).toEqual(["QuorateClusterDown"]);
  });

  test("nobody is told when nothing else is the matter", async () => {
    expect(await firingAtMost(told(3, 3), "34m")).toEqual([]);
  });
});

describe("quiet", { timeout: 60_000 }, () => {
  test("while all is well", async () => {
    expect(await firingAtMost(WELL, "45m")).toEqual([]);
  });

  test("of clusters, when nobody is scraped at all; that the operator is not there is known", async () => {
    expect(await firing({}, "45m")).toEqual(["QuorateOperatorDown"]);
  });

  test("of topology Stateless, whose members are nothing to scrape, wakes nobody; without a ready one it does", async () => {
    const front = 'namespace="shop",cluster="front"';
    const fleet = (ready: string) => ({
      [`quorate_cluster_info{${front},topology="Stateless"}`]: steady(1),
      [`quorate_cluster_members{${front},state="desired"}`]: steady(3),
      [`quorate_cluster_members{${front},state="ready"}`]: ready,
      [`quorate_cluster_initialized{${front}}`]: steady(1),
      "quorate_operator_leading{}": steady(1),
    });
    expect(await firing(fleet(steady(3)), "45m")).toEqual([]);
    expect(await firing(fleet(turned(3, 0)), "45m")).toEqual(["QuorateClusterDown"]);
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
    expect(await firingAtMost({ ...WELL, ...series }, "45m")).toEqual([]);
  });

  const duringWork = FAULTS.filter(
    ({ alert }) => ALERTS.find(({ name }) => name === alert)?.quietWhilePlanned !== "Never",
  );
  test.each(duringWork)("during planned work: $alert", async ({ fault, at }) => {
    expect(await firingAtMost({ ...WELL, ...fault, ...PLANNED }, at)).toEqual([]);
  });

  test("no longer when planned work leaves the cluster without a leader for ten minutes", async () => {
    const stuck = { ...WELL, ...PLANNED, [member("leader", 0)]: turned(1, 0) };
    expect(await firingOver(stuck, ["39m", "42m"])).toEqual([[], ["QuorateNoLeader"]]);
  });
});

describe("in a maintenance window", { timeout: 60_000 }, () => {
  // That each fault is told as it shall be, open or closed, is tried in windows.test.ts.
  test("a cluster without a leader is told of all the same", async () => {
    const { fault, at } = faultOf("QuorateNoLeader");
    expect(await firing({ ...WELL, ...fault, ...windowOpen(true) }, at)).toContain("QuorateNoLeader");
  });

  test("no page is among those that it mutes, and no ticket that planned steps mute is left out", () => {
    const tickets = ALERTS.filter(({ severity, quietWhilePlanned }) => {
      return severity === "ticket" && quietWhilePlanned !== "Never";
    });
    expect(MUTED_IN_WINDOWS).toEqual(tickets.map(({ name }) => name as string).toSorted());
  });

  test("of another cluster nothing is quiet", async () => {
    const elsewhere = {
      'quorate_maintenance_window_open{namespace="shop",cluster="carts",window="saturday"}': steady(1),
    };
    const { fault } = faultOf("QuorateReplicaLag");
    expect(await firing({ ...WELL, ...fault, ...elsewhere }, "31m")).toEqual(["QuorateReplicaLag"]);
  });

  /** A follower that lags all the time, and the window's values, once a minute. */
  const laggingIn = (window: string, ...times: string[]): Promise<readonly (readonly string[])[]> =>
    alertsOver(
      {
        groups: fleetGroups(),
        names: ["QuorateReplicaLag"],
        input: [
          { series: member("replication_lag_seconds", 1), values: "2x600" },
          { series: cluster("maintenance_window_open", 'window="saturday"'), values: window },
        ],
        every: "1m",
      },
      times,
    );
  const LAGS = ["QuorateReplicaLag"];

  test("it is told two minutes after the window, and the alert's own time", async () => {
    expect(await laggingIn("1x60 0x540", "1h9m", "1h13m")).toEqual([[], LAGS]);
  });

  test("that stays open, tickets are told after four hours, and go on to be", async () => {
    expect(await laggingIn("1x600", "4h5m", "4h20m", "9h")).toEqual([[], LAGS, LAGS]);
    // An operator that is not scraped for a moment says nothing about the window.
    expect(await laggingIn("1x100 _ _ 1x500", "5h42m")).toEqual([LAGS]);
  });

  test("one of several that opens again after a break is quiet anew", async () => {
    expect(await laggingIn("1x300 0x30 1x270", "5h25m", "6h")).toEqual([LAGS, []]);
  });
});
