// The rules, judged by promtool: each alert when it is due, and no other.
import { describe, expect, test } from "vitest";
import { ServiceLevel } from "../../src/api/objectives.ts";
import { OBJECTIVE_ALERTS, ruleGroup } from "../../src/slo/rules.ts";
import { alertsOver as askPromtool, checkRules, type Input } from "./promtool.ts";

const SUBJECT = { namespace: "shop", cluster: "orders" };
const slo = ServiceLevel.parse({
  dataPlane: { latencyP95Milliseconds: 200, errorPercent: "0.1", requestErrorPercent: "0.1" },
  controlPlane: { apiLatencyP95Milliseconds: 500 },
});
const LABELS = 'namespace="shop",cluster="orders",member="orders-0"';

const leader = (values: string): Input => ({ series: `quorate_member_leader{${LABELS}}`, values });
const slices = (result: "good" | "bad", values: string): Input => ({
  series: `quorate_member_write_slices_total{${LABELS},result="${result}"}`,
  values,
});
const requests = (result: "good" | "bad", values: string, member = "orders-0"): Input => ({
  series: `quorate_member_requests_total{${LABELS.replace("orders-0", member)},result="${result}"}`,
  values,
});
const action = (result: string, values: string): Input => ({
  series: `quorate_member_action_seconds_count{${LABELS},action="observe",result="${result}"}`,
  values,
});
const bucket = (le: string, values: string): Input => ({
  series: `quorate_member_action_seconds_bucket{${LABELS},action="observe",result="ok",le="${le}"}`,
  values,
});

/** The alerts that fire at some times, as `name objective`. */
function alertsOver(
  times: readonly string[],
  input: readonly Input[],
  promised = slo,
  every = "30s",
): Promise<readonly (readonly string[])[]> {
  return askPromtool(
    {
      groups: [ruleGroup({ ...SUBJECT, slo: promised, topology: "ActivePassive" })],
      names: OBJECTIVE_ALERTS,
      input,
      every,
      judgedEvery: every === "30s" ? "1m" : every,
      with: "objective",
    },
    times,
  );
}

/** The same at one time. */
async function alertsAt(at: string, input: readonly Input[]): Promise<readonly string[]> {
  const [fired = []] = await alertsOver([at], input);
  return fired;
}

/** The same after three days, of series that have a value every half hour. */
async function alertsAfterDays(input: readonly Input[]): Promise<readonly string[]> {
  const [fired = []] = await alertsOver(["3d2h"], input, slo, "30m");
  return fired;
}

test("promtool finds nothing wrong with them", async () => {
  expect(await checkRules([ruleGroup({ ...SUBJECT, slo, topology: "ActivePassive" })])).toContain("SUCCESS");
});

describe("availability", { timeout: 120_000 }, () => {
  const FAST = "QuorateBudgetBurnsFast Availability";
  const SLOW = "QuorateBudgetBurnsSlowly Availability";

  test("that is kept wakes nobody", async () => {
    expect(await alertsAt("1h10m", [leader("1x150"), slices("good", "0+30x150"), slices("bad", "0x150")])).toEqual([]);
  });

  test("with writes that fail for three minutes pages, and no more half an hour later", async () => {
    const outage = [
      leader("1x210"),
      slices("good", "0+30x120 3600x6 3600+30x80"),
      slices("bad", "0x120 0+30x6 180x80"),
    ];
    const [during, after] = await alertsOver(["1h3m", "1h36m"], outage);
    expect(during).toContain(FAST);
    expect(after).not.toContain(FAST);
  });

  test("over a week instead of a month: the same outage is forgotten as much sooner", async () => {
    const outage = [
      leader("1x210"),
      slices("good", "0+30x120 3600x6 3600+30x80"),
      slices("bad", "0x120 0+30x6 180x80"),
    ];
    const week = ServiceLevel.parse({ window: "7d", dataPlane: slo.dataPlane });
    const [during, after] = await alertsOver(["1h3m", "1h12m"], outage, week);
    expect(during).toContain(FAST);
    expect(after).not.toContain(FAST);
  });

  test("without a leader pages, although nobody writes and nothing fails", async () => {
    const unled = [leader("1x120 0x60"), slices("good", "0+30x120 3600x60"), slices("bad", "0x180")];
    expect(await alertsAt("1h3m", unled)).toContain(FAST);
  });

  test("that is missed by a little for days is a ticket and no page", async () => {
    const steady = [leader("1x150"), slices("good", "0+598.8x150"), slices("bad", "0+1.2x150")];
    expect(await alertsAfterDays(steady)).toEqual([SLOW]);
  });

  test("of a cluster that is a few minutes old pages nobody for one bad second", async () => {
    expect(await alertsAt("5m", [leader("1x20"), slices("good", "0+30x20"), slices("bad", "0 1x19")])).toEqual([]);
  });

  test("of a cluster that nobody scrapes is unknown, after a while", async () => {
    const gone = [leader("1x120 stale"), slices("good", "0+30x120 stale"), slices("bad", "0x120 stale")];
    expect(await alertsOver(["1h10m", "1h30m"], gone)).toEqual([[], ["QuorateBudgetUnknown"]]);
  });

  test("of a cluster that is stopped need not be known", async () => {
    const desired = {
      series: 'quorate_cluster_members{namespace="shop",cluster="orders",state="desired"}',
      values: "3x120 0x120",
    };
    const stopped = [leader("1x120 stale"), slices("good", "0+30x120 stale"), slices("bad", "0x120 stale"), desired];
    expect(await alertsAt("1h30m", stopped)).toEqual([]);
  });
});

describe("statements", { timeout: 120_000 }, () => {
  const well = [leader("1x150"), slices("good", "0+30x150"), slices("bad", "0x150")];

  test("of which one in five fails page for errors alone", async () => {
    const errors = [...well, action("ok", "0+80x150"), action("error", "0+20x150"), bucket("0.2", "0+80x150")];
    expect(await alertsAt("1h10m", errors)).toEqual([
      "QuorateBudgetBurnsFast Errors",
      "QuorateBudgetBurnsSlowly Errors",
    ]);
  });

  test("that are all slow page for latency alone", async () => {
    const slow = [...well, action("ok", "0+100x150"), action("error", "0x150"), bucket("0.2", "0x150")];
    expect(await alertsAt("1h10m", slow)).toEqual([
      "QuorateBudgetBurnsFast Latency",
      "QuorateBudgetBurnsSlowly Latency",
    ]);
  });

  test("of which there are none say nothing", async () => {
    expect(await alertsAt("1h10m", [...well, action("ok", "7x150"), action("error", "0x150")])).toEqual([]);
  });
});

describe("a leader's writes of its Lease", { timeout: 120_000 }, () => {
  const FAST = "QuorateBudgetBurnsFast ApiLatency";
  const SLOW = "QuorateBudgetBurnsSlowly ApiLatency";
  const well = [leader("1x150"), slices("good", "0+30x150"), slices("bad", "0x150")];
  /** So many writes every half minute: within the limit, later than that, and refused. */
  const writes = (quick: string, all: string, refused = "0x150"): Input[] => {
    const series = (name: string, labels: string): string =>
      `quorate_member_lease_write_seconds_${name}{${LABELS},${labels}}`;
    return [
      ...well,
      { series: series("bucket", 'result="ok",le="0.5"'), values: quick },
      { series: series("count", 'result="ok"'), values: all },
      { series: series("bucket", 'result="error",le="0.5"'), values: refused },
      { series: series("count", 'result="error"'), values: refused },
    ];
  };

  test("that all take too long page for the API server's latency alone", async () => {
    expect(await alertsAt("1h10m", writes("0x150", "0+15x150"))).toEqual([FAST, SLOW]);
  });

  test("that are quick wake nobody, nor do one in thirty that are late", async () => {
    expect(await alertsAt("1h10m", writes("0+15x150", "0+15x150"))).toEqual([]);
    expect(await alertsAt("1h10m", writes("0+29x150", "0+30x150"))).toEqual([]);
  });

  test("of which more are late than may be, for days, are a ticket and no page", async () => {
    const series = writes("0+920x150", "0+1000x150", "0x150").filter((one) => !well.includes(one));
    const beside = [leader("1x150"), slices("good", "0+600x150"), slices("bad", "0x150")];
    expect(await alertsAfterDays([...beside, ...series])).toEqual([SLOW]);
  });

  test("that are refused are no quick answers", async () => {
    expect(await alertsAt("1h10m", writes("0x150", "0x150", "0+15x150"))).toEqual([FAST, SLOW]);
  });

  test("of which there are none, since nobody leads or all stand still, say nothing", async () => {
    expect(await alertsAt("1h10m", writes("7x150", "7x150"))).toEqual([]);
    expect(await alertsAt("1h10m", well)).toEqual([]);
  });

  test("that are late no more stop paging within the half hour", async () => {
    const healed = writes("0x120 0+15x90", "0+15x210", "0x210").filter((one) => !well.includes(one));
    const beside = [leader("1x210"), slices("good", "0+30x210"), slices("bad", "0x210")];
    const [during, after] = await alertsOver(["1h", "1h35m"], [...beside, ...healed]);
    expect(during).toContain(FAST);
    expect(after).not.toContain(FAST);
  });
});

describe("clients' requests", { timeout: 120_000 }, () => {
  const well = [leader("1x150"), slices("good", "0+30x150"), slices("bad", "0x150")];
  const FAST = "QuorateBudgetBurnsFast Requests";
  const SLOW = "QuorateBudgetBurnsSlowly Requests";

  test("of which one in ten fails page, though every probe succeeds", async () => {
    const failing = [...well, requests("good", "0+90x150"), requests("bad", "0+10x150")];
    expect(await alertsAt("1h10m", failing)).toEqual([FAST, SLOW]);
  });

  test("that fail on one member alone count by their share of all", async () => {
    const onOne = (bad: number): Input[] => [
      ...well,
      requests("good", "0+1000x150"),
      requests("bad", "0x150"),
      requests("good", "0x150", "orders-1"),
      requests("bad", `0+${bad}x150`, "orders-1"),
    ];
    expect(await alertsAt("1h10m", onOne(0.5))).toEqual([]);
    expect(await alertsAt("1h10m", onOne(20))).toEqual([FAST, SLOW]);
  });

  test("that all succeed wake nobody, nor do those that an engine does not count", async () => {
    expect(await alertsAt("1h10m", [...well, requests("good", "0+90x150"), requests("bad", "0x150")])).toEqual([]);
    expect(await alertsAt("1h10m", well)).toEqual([]);
  });

  test("that are few page nobody, whatever share of them fails", async () => {
    // One in five minutes: twelve in the hour, and all of them fail.
    const few = [
      ...well,
      requests("good", "0x150"),
      requests("bad", "0x10 1x10 2x10 3x10 4x10 5x10 6x10 7x10 8x10 9x70"),
    ];
    expect(await alertsAt("1h10m", few)).toEqual([]);
    // As many in the hour as make a share, but not in the last five minutes: it is over, or it was never much.
    const over = [...well, requests("good", "0+10x150"), requests("bad", "0x60 30x90")];
    expect(await alertsAt("1h10m", over)).not.toContain(FAST);
  });

  test("of which little fails for days is a ticket and no page", async () => {
    const steady = [
      leader("1x150"),
      slices("good", "0+600x150"),
      slices("bad", "0x150"),
      requests("good", "0+998x150"),
      requests("bad", "0+2x150"),
    ];
    expect(await alertsAfterDays(steady)).toEqual([SLOW]);
  });

  test("counted anew by agents that were replaced are no failures", async () => {
    // Both counters fall to zero together, ten times an hour.
    const saw = (step: number): string => Array.from({ length: 12 }, () => `0+${step}x11`).join(" ");
    expect(await alertsAt("1h10m", [...well, requests("good", saw(100)), requests("bad", saw(0))])).toEqual([]);
    expect(await alertsAt("1h10m", [...well, requests("good", saw(90)), requests("bad", saw(10))])).toEqual([
      FAST,
      SLOW,
    ]);
  });

  test("that nobody can see any more are unknown with the rest of the cluster", async () => {
    const gone = [
      leader("1x120 stale"),
      slices("good", "0+30x120 stale"),
      slices("bad", "0x120 stale"),
      requests("good", "0+90x120 stale"),
      requests("bad", "0x120 stale"),
    ];
    expect(await alertsAt("1h30m", gone)).toEqual(["QuorateBudgetUnknown"]);
  });
});
