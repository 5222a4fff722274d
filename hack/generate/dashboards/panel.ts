// Grafana's JSON, as little of it as these dashboards need. Dashboards say what they show; where it stands follows from the order.

/** One line of a panel. */
export interface Query {
  readonly expr: string;
  /** Grafana's template of the legend, such as {{member}}. */
  readonly legend: string;
}

/** One panel. */
export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly kind: "timeseries" | "stat" | "table" | "state-timeline";
  /** Grafana's name of the unit: s, bytes, percentunit, short, reqps. */
  readonly unit: string;
  /** Of 24. */
  readonly width: 6 | 8 | 12 | 24;
  readonly queries: readonly Query[];
  /** From here on it is drawn in red. */
  readonly limit?: number;
  /** Below the limit is bad, not above. */
  readonly isLowBad?: boolean;
}

/** Panels under one heading. */
export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** One dashboard. */
export interface Dashboard {
  /** Also its file's name and its address. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly Row[];
}

/** What is marked on every time line. */
export const ANNOTATIONS: readonly {
  readonly name: string;
  readonly expr: string;
  readonly color: string;
  readonly text: string;
}[] = [
  {
    name: "Rolls",
    expr: 'quorate_rollout_info{namespace=~"$namespace",cluster=~"$cluster"} unless quorate_rollout_info offset 1m',
    color: "blue",
    text: "{{namespace}}/{{cluster}}: revision {{revision}} {{phase}}",
  },
  {
    name: "Failovers",
    expr: 'delta(quorate:cluster_epoch:max{namespace=~"$namespace",cluster=~"$cluster"}[2m]) > 0',
    color: "red",
    text: "{{namespace}}/{{cluster}}: another leadership",
  },
  {
    name: "Planned work",
    expr: 'quorate_planned_step{namespace=~"$namespace",cluster=~"$cluster"}',
    color: "green",
    text: "{{namespace}}/{{cluster}}: {{change}}",
  },
  {
    name: "Maintenance windows",
    expr: 'quorate_maintenance_window_open{namespace=~"$namespace",cluster=~"$cluster"} == 1',
    color: "purple",
    text: "{{namespace}}/{{cluster}}: {{window}} is open",
  },
];

const SOURCE = { type: "prometheus", uid: "$datasource" };
const HEIGHT = 8;
const STAT_HEIGHT = 4;
const COLUMNS = 24;

/** The dashboard as Grafana reads it. */
export function toGrafana({ uid, title, description, rows }: Dashboard): object {
  return {
    uid,
    title,
    description,
    tags: ["quorate"],
    timezone: "browser",
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    templating: { list: variables() },
    annotations: { list: ANNOTATIONS.map(toAnnotation) },
    links: [
      { type: "dashboards", tags: ["quorate"], title: "quorate", asDropdown: false, includeVars: true, keepTime: true },
    ],
    panels: placed(rows),
  };
}

function variables(): object[] {
  const labels = (name: string, selector: string) => ({
    name,
    type: "query",
    datasource: SOURCE,
    query: { query: `label_values(quorate_cluster_info${selector}, ${name})`, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: ["All"], value: ["$__all"] },
  });
  return [
    { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
    labels("namespace", ""),
    labels("cluster", '{namespace=~"$namespace"}'),
  ];
}

function toAnnotation({ name, expr, color, text }: (typeof ANNOTATIONS)[number]): object {
  return {
    name,
    datasource: SOURCE,
    enable: true,
    expr,
    step: "60s",
    iconColor: color,
    titleFormat: name,
    textFormat: text,
  };
}

/** Panels from left to right and line by line, each line as high as its panels. */
function placed(rows: readonly Row[]): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title: row.title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      if (x + panel.width > COLUMNS) {
        x = 0;
        y += height;
        height = 0;
      }
      const h = panel.kind === "stat" ? STAT_HEIGHT : HEIGHT;
      panels.push(toPanel(panel, panels.length + 1, { x, y, w: panel.width, h }));
      x += panel.width;
      height = Math.max(height, h);
    }
    y += height;
  }
  return panels;
}

function toPanel(panel: Panel, id: number, gridPos: object): object {
  const { title, description, kind, unit, queries } = panel;
  const isTable = kind === "table";
  return {
    id,
    title,
    description,
    type: kind,
    gridPos,
    datasource: SOURCE,
    fieldConfig: {
      defaults: {
        unit,
        thresholds: thresholdsOf(panel),
        color: { mode: kind === "stat" ? "thresholds" : "palette-classic" },
      },
      overrides: [],
    },
    options: kind === "stat" ? { reduceOptions: { calcs: ["lastNotNull"] }, colorMode: "value" } : {},
    targets: queries.map(({ expr, legend }, at) => ({
      refId: `Q${at + 1}`,
      datasource: SOURCE,
      expr,
      legendFormat: legend,
      ...(isTable ? { format: "table", instant: true } : {}),
    })),
  };
}

function thresholdsOf({ limit, isLowBad = false }: Panel): object {
  if (limit === undefined) return { mode: "absolute", steps: [{ color: "green", value: null }] };
  const [below, above] = isLowBad ? ["red", "green"] : ["green", "red"];
  return {
    mode: "absolute",
    steps: [
      { color: below, value: null },
      { color: above, value: limit },
    ],
  };
}
