// What Grafana's dashboard-linter would say of the dashboards: nothing, but for what is left out below for a reason. Each rule is tried
// on a dashboard that breaks it. The linter itself is not run, because it cannot be built from the Go modules that are at hand.
import { describe, expect, test } from "vitest";
import { DASHBOARDS } from "../../../hack/generate/dashboards/dashboards.ts";
import { toGrafana } from "../../../hack/generate/dashboards/panel.ts";

interface Source {
  readonly type: string;
  readonly uid: string;
}

interface Target {
  readonly datasource: Source;
  readonly expr?: string;
  readonly query?: string;
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: Source;
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly Target[];
  readonly panels?: readonly Panel[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly label?: string;
  readonly query: unknown;
  readonly refresh?: number;
}

interface Board {
  readonly editable: boolean;
  readonly templating: { readonly list: readonly Variable[] };
  readonly panels: readonly Panel[];
}

/** Of Grafana's units those that are used here. */
const UNITS = ["bytes", "none", "percentunit", "reqps", "s", "short"];

const panelsOf = ({ panels }: Board): readonly Panel[] =>
  panels.flatMap((panel) => (panel.type === "row" ? (panel.panels ?? []) : [panel]));
const sourcesOf = ({ templating: { list } }: Board): readonly Variable[] =>
  list.filter(({ type }) => type === "datasource");
const targetsOf = (board: Board, kind: string): readonly string[] =>
  panelsOf(board).flatMap(({ targets = [] }) =>
    targets.flatMap(({ datasource: { type }, expr, query }) => (type === kind ? (expr ?? query ?? "") : [])),
  );
const titled = (panels: readonly Panel[]): string[] => panels.map(({ title }) => title);

/** The rules, by the linter's names: each gives what it finds. */
const RULES: Readonly<Record<string, (board: Board) => readonly string[]>> = {
  "template-datasource-rule": (board) => {
    const all = sourcesOf(board);
    const found = all.flatMap(({ name, label, query }) => {
      const kind = String(query);
      const names = [`${kind}_datasource`, ...(all.length === 1 ? ["datasource"] : [])];
      const labels = [
        `${kind.charAt(0).toUpperCase()}${kind.slice(1)} data source`,
        ...(all.length === 1 ? ["Data source"] : []),
      ];
      return names.includes(name) && labels.includes(label ?? "") ? [] : [`${name} ${label ?? ""}`];
    });
    return all.length === 0 ? ["none"] : found;
  },
  "template-on-time-change-reload-rule": ({ templating: { list } }) =>
    list.flatMap(({ name, type, refresh }) => (type === "query" && refresh !== 2 ? [name] : [])),
  "template-label-promql-rule": ({ templating: { list } }) =>
    list.flatMap(({ name, type, query }) => {
      const text = type === "query" ? (query as { readonly query: string }).query : "";
      return type === "query" && !/^label_values\([a-z_:]+(\{[^{}]*\})?, [a-z_]+\)$/.test(text) ? [name] : [];
    }),
  "panel-datasource-rule": (board) => {
    const known = sourcesOf(board).map(({ name, query }) => `${String(query)} $${name}`);
    const isKnown = (source: Source | undefined): boolean =>
      known.includes(`${source?.type ?? ""} ${source?.uid ?? ""}`);
    return titled(
      panelsOf(board).filter(
        ({ datasource, targets = [] }) => !isKnown(datasource) || !targets.every((one) => isKnown(one.datasource)),
      ),
    );
  },
  "panel-title-description-rule": (board) =>
    titled(panelsOf(board).filter(({ title, description = "" }) => title === "" || description === "")),
  "panel-units-rule": (board) =>
    titled(
      panelsOf(board).filter(
        ({ type, fieldConfig }) =>
          ["stat", "table", "timeseries"].includes(type) && !UNITS.includes(fieldConfig?.defaults.unit ?? ""),
      ),
    ),
  "panel-no-targets-rule": (board) =>
    titled(
      panelsOf(board).filter(({ targets = [] }) => targets.every(({ expr, query }) => (expr ?? query ?? "") === "")),
    ),
  "target-rate-interval-rule": (board) =>
    targetsOf(board, "prometheus").filter((expr) => /\bi?rate\([^()]*\[(?!\$__rate_interval\])/.test(expr)),
  "target-counter-agg-rule": (board) =>
    targetsOf(board, "prometheus").filter((expr) => {
      const rated = expr.replaceAll(/\b(?:i?rate|increase)\(\w+_total(?:\{[^{}]*\})?\[[^\]]+\]\)/g, "");
      return /_total\b/.test(rated);
    }),
  "target-logql-auto-rule": (board) =>
    targetsOf(board, "loki").filter((expr) => /\[(?!\$__auto\])/.test(expr.replaceAll(/"[^"]*"/g, ""))),
  "target-required-matchers-rule": (board) =>
    // In the place of job and instance: whoever asks about clusters asks about those that were chosen.
    targetsOf(board, "prometheus").filter(
      (expr) => /\bquorate[_:]/.test(expr) && !OF_THE_OPERATOR.test(expr) && !/\$namespace.*\$cluster/.test(expr),
    ),
  "uneditable-dashboard-rule": ({ editable }) => (editable ? ["editable"] : []),
};

/** What the operator tells about itself has no cluster. */
const OF_THE_OPERATOR = /\bquorate[_:](?:api_request|watch|queue|reconcile|operator)/;

/** Rules that hold for dashboards of other kinds. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "template-job-rule":
    "series name their cluster and member by themselves (honorLabels); which job scraped them says nothing",
  "template-instance-rule": "members are named by the label member, which outlives the pods that instance would name",
  "target-job-rule": "see template-job-rule: namespace and cluster are required in its place",
  "target-instance-rule": "see template-instance-rule",
  "target-promql-rule": "every query is asked of a real Prometheus by test/prometheus/dashboards.test.ts",
};

describe.each(DASHBOARDS)("$uid", (dashboard) => {
  test.each(Object.entries(RULES))("%s", (_name, find) => {
    expect(find(toGrafana(dashboard) as Board)).toEqual([]);
  });
});

type Changes = Readonly<Record<string, unknown>>;
const sound = toGrafana(DASHBOARDS.at(-1) ?? { uid: "", title: "", description: "", rows: [] }) as Board;

/** The same dashboard with all that a rule looks at changed. */
function withPanels(change: (panel: Panel) => Changes): Board {
  return { ...sound, panels: sound.panels.map((panel) => ({ ...panel, ...change(panel) })) };
}

function withVariables(change: Changes): Board {
  return { ...sound, templating: { list: sound.templating.list.map((one) => ({ ...one, ...change })) } };
}

const asking = (expr: string, type = "prometheus"): Board =>
  withPanels(() => ({ targets: [{ datasource: { type, uid: `$${type}_datasource` }, expr }] }));

const FLAWS: Readonly<Record<string, Board>> = {
  "template-datasource-rule": withVariables({ label: "Where from" }),
  "template-on-time-change-reload-rule": withVariables({ refresh: 1 }),
  "template-label-promql-rule": withVariables({ query: { query: "label_values(cluster" } }),
  "panel-datasource-rule": withPanels(() => ({ datasource: { type: "prometheus", uid: "abcd" } })),
  "panel-title-description-rule": withPanels(() => ({ description: "" })),
  "panel-units-rule": withPanels(() => ({ fieldConfig: { defaults: { unit: "furlongs" } } })),
  "panel-no-targets-rule": withPanels(() => ({ targets: [] })),
  "target-rate-interval-rule": asking('sum(rate(quorate_api_requests_total{a="b"}[5m]))'),
  "target-counter-agg-rule": asking("sum(quorate_api_requests_total)"),
  "target-logql-auto-rule": asking('count_over_time({node="[a]"}[5m])', "loki"),
  "target-required-matchers-rule": asking("quorate_member_leader"),
  "uneditable-dashboard-rule": { ...sound, editable: true },
};

test.each(Object.entries(RULES))("%s finds what it looks for", (name, find) => {
  expect(find(FLAWS[name] ?? sound)).not.toEqual([]);
});

test("no rule is both made and left out", () => {
  expect(Object.keys(RULES).filter((name) => LEFT_OUT[name] !== undefined)).toEqual([]);
  expect(Object.keys(FLAWS).toSorted()).toEqual(Object.keys(RULES).toSorted());
});
