// The dashboards as Grafana gets them: nothing that is not there, nothing on top of each other, and something to read on everything.
import { describe, expect, test } from "vitest";
import { DASHBOARDS } from "../../../hack/generate/dashboards/dashboards.ts";
import { ANNOTATIONS, toGrafana } from "../../../hack/generate/dashboards/panel.ts";
import { agentInstruments, operatorInstruments } from "../../../hack/generate/instruments.ts";
import { GROUNDWORK, INDICATORS } from "../../../src/slo/indicators.ts";

interface GrafanaPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}

const instruments = [...agentInstruments(), ...operatorInstruments()];
const KNOWN = new Set([
  ...instruments.map(({ name }) => name),
  ...instruments
    .filter(({ type }) => type === "histogram")
    .flatMap(({ name }) => ["bucket", "sum", "count"].map((part) => `${name}_${part}`)),
  ...instruments
    .filter(({ type }) => type === "summary")
    .flatMap(({ name }) => ["sum", "count"].map((part) => `${name}_${part}`)),
  ...[...GROUNDWORK, ...INDICATORS].map(({ record }) => record),
]);

function namesIn(expr: string): string[] {
  return [...expr.matchAll(/\bquorate[_:][a-z0-9_:]+/g)].map(([name]) => name);
}

describe.each(DASHBOARDS)("$uid", (dashboard) => {
  const panels = dashboard.rows.flatMap((row) => row.panels);

  test("asks for nothing that nobody shows", () => {
    const names = panels.flatMap(({ queries }) => queries.flatMap(({ expr }) => namesIn(expr)));
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !KNOWN.has(name))).toEqual([]);
  });

  test("says of every panel what it shows", () => {
    expect(panels.filter(({ title, description }) => title === "" || !/[.]$/.test(description))).toEqual([]);
    expect(panels.filter(({ queries }) => queries.length === 0)).toEqual([]);
    const titles = panels.map(({ title }) => title);
    expect(titles).toEqual([...new Set(titles)]);
  });

  test("lays panels beside each other and not over each other", () => {
    const placed = (toGrafana(dashboard) as { readonly panels: readonly GrafanaPanel[] }).panels;
    expect(placed).toHaveLength(panels.length + dashboard.rows.length);
    expect(placed.map(({ id }) => id)).toEqual(placed.map((_, at) => at + 1));
    const taken = new Set<string>();
    for (const { gridPos } of placed) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(taken.has(`${x} ${y}`)).toBe(false);
          taken.add(`${x} ${y}`);
        }
      }
    }
  });
});

test("rolls, failovers and maintenance are marked on every dashboard", () => {
  expect(ANNOTATIONS.map(({ name }) => name)).toEqual(["Rolls", "Failovers", "Planned work", "Maintenance windows"]);
  expect(ANNOTATIONS.flatMap(({ expr }) => namesIn(expr)).filter((name) => !KNOWN.has(name))).toEqual([]);
});

test("every recorded indicator that people were promised is on some dashboard", () => {
  const text = JSON.stringify(DASHBOARDS.map(toGrafana));
  const hidden = [
    "quorate:replication_lag",
    "quorate:api_request",
    "quorate:latency",
    "quorate:errors",
    "quorate:rollouts",
  ];
  const records = INDICATORS.map(({ record }) => record).filter((name) => !hidden.some((one) => name.startsWith(one)));
  expect(records.filter((record) => !text.includes(record))).toEqual([]);
});
