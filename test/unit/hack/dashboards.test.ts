// The dashboards as Grafana gets them: nothing that is not there, nothing on top of each other, and something to read on everything.
import { readFileSync } from "node:fs";
import { join } from "node:path";
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
  /** Of a row that is closed. */
  readonly panels?: readonly GrafanaPanel[];
  readonly collapsed?: boolean;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly targets?: readonly {
    readonly datasource: { readonly type: string; readonly uid: string };
    readonly expr?: string;
    readonly query?: string;
    readonly queryType?: string;
  }[];
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
    const events = (dashboard.events ?? []).flatMap((row) => row.panels);
    expect(events.filter(({ title, description }) => title === "" || !/[.]$/.test(description))).toEqual([]);
    const titles = [...panels, ...events].map(({ title }) => title);
    expect(titles).toEqual([...new Set(titles)]);
  });

  test("lays panels beside each other and not over each other", () => {
    const events = dashboard.events ?? [];
    const outer = (toGrafana(dashboard) as { readonly panels: readonly GrafanaPanel[] }).panels;
    expect(outer).toHaveLength(panels.length + dashboard.rows.length + events.length);
    // What is within a closed row lies below it, where it will be seen once that is opened: one after the other as if alone.
    const within = outer.map((row) => row.panels ?? []);
    for (const [at, inner] of within.entries()) {
      if (inner.length > 0)
        expect(Math.min(...inner.map(({ gridPos }) => gridPos.y))).toBe((outer[at]?.gridPos.y ?? 0) + 1);
    }
    const ids = outer.flatMap((one) => [one.id, ...(one.panels ?? []).map(({ id }) => id)]);
    expect(ids).toEqual(ids.map((_, at) => at + 1));
    for (const placed of [outer, ...within]) expectNoOverlap(placed);
  });
});

function expectNoOverlap(placed: readonly GrafanaPanel[]): void {
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
}

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

describe("lines and traces on the dashboard debug", () => {
  const debug = DASHBOARDS.find(({ uid }) => uid === "quorate-debug");
  if (debug === undefined) throw new Error("there is such a dashboard");
  const grafana = toGrafana(debug) as {
    readonly panels: readonly GrafanaPanel[];
    readonly templating: {
      readonly list: readonly { readonly name: string; readonly type: string; readonly query: unknown }[];
    };
  };
  const panels = (debug.events ?? []).flatMap((row) => row.panels);
  const queriesOf = (source: string): string[] => panels.flatMap((one) => (one.source === source ? one.query : []));
  const read = (file: string): string => readFileSync(join(import.meta.dirname, "../../..", file), "utf8");

  test("are there, in rows that ask nothing until they are opened", () => {
    expect(panels.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["logs", "traces"]));
    const rows = grafana.panels.filter(({ panels: inner = [] }) => inner.length > 0);
    expect(rows.map(({ title }) => title)).toEqual(debug.events?.map(({ title }) => title));
    expect(rows.every(({ collapsed }) => collapsed)).toBe(true);
    const outside = grafana.panels.filter((one) => one.type !== "row").map(({ datasource }) => datasource?.type);
    expect([...new Set(outside)]).toEqual(["prometheus"]);
  });

  test("come from data sources that one chooses, each of the kind that its query is for", () => {
    const chosen = grafana.templating.list.filter(({ type }) => type === "datasource");
    expect(chosen.map(({ name, query }) => `${name} ${String(query)}`)).toEqual([
      "prometheus_datasource prometheus",
      "loki_datasource loki",
      "tempo_datasource tempo",
    ]);
    for (const { datasource, targets = [] } of grafana.panels.flatMap(({ panels: inner = [] }) => inner)) {
      const [target] = targets;
      expect(datasource).toEqual({ type: datasource?.type, uid: `$${datasource?.type ?? ""}_datasource` });
      expect(target?.datasource).toEqual(datasource);
      expect(target?.queryType).toBe(datasource?.type === "tempo" ? "traceql" : "range");
      expect(datasource?.type === "tempo" ? target?.query : target?.expr).toMatch(/\{.*\}/);
    }
  });

  test("follow the chosen clusters, and every variable that they name is there", () => {
    const names = grafana.templating.list.map(({ name }) => name);
    for (const { query } of panels) {
      const used = [...query.matchAll(/\$([a-z]\w*)/g)].map(([, name = ""]) => name);
      expect(used).toEqual(expect.arrayContaining(["namespace", "cluster"]));
      expect(used.filter((name) => !names.includes(name))).toEqual([]);
    }
  });

  test("ask Loki for labels that lines are shipped with, and for fields that lines have", () => {
    const shipped = [...read("docs/logs.md").matchAll(/target_label: ([a-z]\w*)|- labels: \{(.*)\}/g)];
    const labels = shipped.flatMap(
      ([, one, others = ""]) => one ?? [...others.matchAll(/(\w+):/g)].map(([, name = ""]) => name),
    );
    expect(labels).toEqual(expect.arrayContaining(["cluster", "namespace", "member", "node", "level", "program"]));
    for (const query of queriesOf("loki")) {
      const [, selector = "", pipeline = ""] = /\{([^}]*)\}(.*)/.exec(query) ?? [];
      const matched = [...selector.matchAll(/(\w+)=/g)].map(([, name = ""]) => name);
      expect(matched.filter((name) => !labels.includes(name))).toEqual([]);
      // One matcher at least must not match a label that is not there, or Loki refuses the query: "all nodes" is .+ for that.
      expect(matched.some((name) => ["node", "program"].includes(name))).toBe(true);
      const fields = [...pipeline.matchAll(/\| (\w+)(?:=~|!=|=)/g)].map(([, name = ""]) =>
        name.replace(/_extracted$/, ""),
      );
      expect(fields.filter((name) => !["audit", "cluster", "namespace"].includes(name))).toEqual([]);
    }
    const node = grafana.templating.list.find(({ name }) => name === "node");
    expect(node).toMatchObject({ allValue: ".+" });
  });

  test("ask Tempo for spans that are sent: by these programs, under these names", () => {
    const text = queriesOf("tempo").join("\n");
    const programs = [...text.matchAll(/service\.name = "([^"]+)"/g)].map(([, name = ""]) => name);
    const sent = ["src/operator.ts", "src/agent/equipment.ts"].map(
      (file) => /"service\.name": "([^"]+)"/.exec(read(file))?.[1],
    );
    expect(new Set(programs)).toEqual(new Set(sent));
    const names = [...text.matchAll(/\bname = "([^"]+)"/g)]
      .map(([, name = ""]) => name)
      .filter((name) => !programs.includes(name));
    expect(names).toEqual(["ClusterSpec changed"]);
    expect(read("src/controller/change-spans.ts")).toContain('name: "ClusterSpec changed"');
  });

  test("are only on the dashboard for finding out why", () => {
    expect(DASHBOARDS.filter(({ events }) => events !== undefined)).toEqual([debug]);
  });
});
