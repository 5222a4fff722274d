// Alerts about what no agent measures: members without agents, and objectives of the user's own. Judged by promtool.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { describe, expect, test } from "vitest";
import { ServiceLevel } from "../../src/api/objectives.ts";
import { parseClusterSpec } from "../../src/api/parse.ts";
import { OBJECTIVE_ALERTS, ruleGroup } from "../../src/slo/rules.ts";
import { alertsOver, checkRules, type Input } from "./promtool.ts";

const slo = ServiceLevel.parse({
  objectives: [
    {
      name: "checkout",
      targetPercent: "99.9",
      badQuery: 'increase(http_requests_total{job="$(CLUSTER)",code=~"5.."}[$(WINDOW)]) # what we are to blame for',
      totalQuery: 'increase(http_requests_total{job="$(CLUSTER)"}[$(WINDOW)])',
    },
    { name: "search", targetPercent: "95", badRatioQuery: "1 - avg_over_time(search_quick[$(WINDOW)])" },
  ],
});
const GROUP = ruleGroup({ namespace: "shop", cluster: "front", slo, topology: "Stateless" });

const FRONT = 'namespace="shop",cluster="front"';
/** Seconds that an operator counted. */
const slices = (result: "good" | "bad", values: string, operator = "operator-0"): Input => ({
  series: `quorate_cluster_serving_slices_total{${FRONT},result="${result}",pod="${operator}"}`,
  values,
});
const requests = (code: string, values: string): Input => ({
  series: `http_requests_total{job="front",code="${code}"}`,
  values,
});
const quick = (values: string): Input => ({ series: "search_quick", values });
/** Requests of which none failed yet: there is no series of those that did. */
const SERVED = [requests("200", "0+900x200"), quick("1x200")];
const SERVING = [slices("good", "0+30x200"), slices("bad", "0x200")];

/** The alerts that fire at some times, as `name objective`. */
function firing(times: readonly string[], input: readonly Input[]): Promise<readonly (readonly string[])[]> {
  return alertsOver({ groups: [GROUP], names: OBJECTIVE_ALERTS, input, judgedEvery: "1m", with: "objective" }, times);
}

test("promtool finds nothing wrong with them, nor with those of the example", async () => {
  const example = await readFile(join(import.meta.dirname, "../../examples/web/objectives.yaml"), "utf8");
  const [cluster] = loadAll(example);
  const { spec, metadata } = parseClusterSpec(cluster);
  const { slo: promised = slo, topology } = spec;
  const shown = ruleGroup({ namespace: "demo", cluster: metadata.name, slo: promised, topology });
  expect(new Set(shown.rules.map(({ labels }) => labels["objective"]))).toEqual(
    new Set(["Availability", "answered", "quick", undefined]),
  );
  for (const group of [GROUP, shown]) expect(await checkRules([group])).toContain("SUCCESS");
});

describe("members without agents", { timeout: 120_000 }, () => {
  test("of which too few are ready for three minutes page, whichever operator counts; a replaced one pages nobody", async () => {
    const counted = [
      slices("good", "0+30x60 stale"),
      slices("bad", "0x60 stale"),
      slices("good", "_x62 0+30x58 1740x6 1740+30x80", "operator-1"),
      slices("bad", "_x62 0x58 0+30x6 180x80", "operator-1"),
    ];
    const fired = await firing(["40m", "1h3m", "1h36m"], [...counted, ...SERVED]);
    expect(fired).toEqual([
      [],
      ["QuorateBudgetBurnsFast Availability", "QuorateBudgetBurnsSlowly Availability"],
      ["QuorateBudgetBurnsSlowly Availability"],
    ]);
  });

  test("that no operator looks at are unknown, unless nobody is to serve", async () => {
    const uncounted = [slices("good", "0+30x60 stale"), slices("bad", "0x60 stale"), ...SERVED];
    const stopped = { series: `quorate_cluster_members{${FRONT},state="desired"}`, values: "3x130 0x70" };
    expect(await firing(["30m", "1h", "1h20m"], [...uncounted, stopped])).toEqual([[], ["QuorateBudgetUnknown"], []]);
  });
});

describe("an objective of the user's own", { timeout: 120_000 }, () => {
  test("pages when its share of bad events does, and is kept while there are no series of them", async () => {
    const failing = [...SERVING, requests("200", "0+900x200"), requests("503", "_x119 0+90x80"), quick("1x200")];
    expect(await firing(["59m", "1h10m"], failing)).toEqual([
      [],
      ["QuorateBudgetBurnsFast checkout", "QuorateBudgetBurnsSlowly checkout"],
    ]);
  });

  test("given as a share pages by it", async () => {
    const slow = [...SERVING, requests("200", "0+900x200"), quick("1x120 0x80")];
    expect(await firing(["59m", "1h55m"], slow)).toEqual([
      [],
      ["QuorateBudgetBurnsFast search", "QuorateBudgetBurnsSlowly search"],
    ]);
  });

  test("is kept while nothing happens, and unknown once nothing says so", async () => {
    const quiet = [...SERVING, requests("200", "7x120 stale"), quick("1x200")];
    expect(await firing(["59m", "1h30m"], quiet)).toEqual([[], ["QuorateBudgetUnknown checkout"]]);
  });
});
