// The promises about alerts: none of the indicators and failure modes is left out, and people are told what tests look after.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ALERTS } from "../../../src/slo/alerts.ts";
import { INDICATORS } from "../../../src/slo/indicators.ts";
import { OBJECTIVE_ALERTS } from "../../../src/slo/rules.ts";
import { PROMISES } from "../../lab/promises.ts";

const numbered = (letter: "M" | "F", count: number) => Array.from({ length: count }, (_, at) => `${letter}${at + 1}`);

test("there is one for every indicator, and at least one for every failure mode", () => {
  expect(PROMISES.map(({ indicator }) => indicator)).toEqual(numbered("M", 10));
  expect(new Set(PROMISES.map(({ failure }) => failure))).toEqual(new Set(numbered("F", 7)));
});

test.each(PROMISES)("$indicator: $alert is about $failure, and the series is the indicator's", (promise) => {
  const { indicator, failure, record, alert, who, withinMinutes } = promise;
  expect(INDICATORS.find((one) => one.record === record)?.code).toBe(indicator);
  const found = ALERTS.find(({ name }) => name === alert);
  // Those of a cluster's own objectives have no failure mode: what they count is what clients feel of any.
  if (found === undefined) expect(OBJECTIVE_ALERTS).toContain(alert);
  else expect(found).toMatchObject({ code: failure, severity: who === "pager" ? "page" : "ticket" });
  expect(withinMinutes * 60).toBeGreaterThan(Number.parseInt(found?.for ?? "0m", 10));
});

test("docs/slo.md promises the same to people", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../docs/slo.md"), "utf8");
  const rows = text.match(/^\| M[0-9]+ .*$/gm) ?? [];
  const ends = (minutes: number | undefined) => (minutes === undefined ? "an hour" : `${minutes} min`);
  const promised = PROMISES.map(({ indicator, failure, alert, who, withinMinutes, endsWithinMinutes }) => ({
    row: new RegExp(
      `^\\| ${indicator} [^|]+ \\| ${failure} \\| ${alert} \\| ${who} \\| ${withinMinutes} min \\| ${ends(endsWithinMinutes)}\\b`,
    ),
  }));
  expect(rows).toHaveLength(promised.length);
  for (const [at, { row }] of promised.entries()) expect(rows[at]).toMatch(row);
});
