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

/** One panel of what Loki or Tempo keep: lines, or traces. */
export interface EventPanel {
  readonly title: string;
  readonly description: string;
  readonly source: "loki" | "tempo";
  /** Lines and lists of traces as they are; a time line of counts. */
  readonly kind: "logs" | "traces" | "timeseries";
  readonly width: Panel["width"];
  /** In LogQL or TraceQL. */
  readonly query: string;
  /** Of a time line only. */
  readonly legend?: string;
}

/**
 * Panels of lines and traces under one heading. Apart from Panel, whose queries are all asked of a Prometheus that has our series: there
 * is no Loki and no Tempo to ask these of, and who has none leaves the row closed, which asks nothing.
 */
export interface EventRow {
  readonly title: string;
  readonly panels: readonly EventPanel[];
}

/** One dashboard. */
export interface Dashboard {
  /** Also its file's name and its address. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly Row[];
  /** Closed until somebody opens them, after the others. */
  readonly events?: readonly EventRow[];
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

const SOURCE = { type: "prometheus", uid: "$prometheus_datasource" };
const HEIGHT = 8;
const STAT_HEIGHT = 4;
const COLUMNS = 24;

/** The dashboard as Grafana reads it. */
export function toGrafana({ uid, title, description, rows, events = [] }: Dashboard): object {
  const sources = [...new Set(events.flatMap(({ panels }) => panels.map(({ source }) => source)))];
  return {
    uid,
    title,
    description,
    tags: ["quorate"],
    timezone: "browser",
    schemaVersion: 39,
    editable: false, // it comes from code, and would be overwritten
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    templating: { list: [...variables(), ...(events.length === 0 ? [] : eventVariables(sources))] },
    annotations: { list: ANNOTATIONS.map(toAnnotation) },
    links: [
      { type: "dashboards", tags: ["quorate"], title: "quorate", asDropdown: false, includeVars: true, keepTime: true },
    ],
    panels: placed(rows, events),
  };
}

function variables(): object[] {
  return [
    sourceVariable("prometheus"),
    labelVariable("namespace", "quorate_cluster_info"),
    labelVariable("cluster", 'quorate_cluster_info{namespace=~"$namespace"}'),
  ];
}

/** Where lines and traces are, and whose. @param sources - Kinds of data sources. */
function eventVariables(sources: readonly EventPanel["source"][]): object[] {
  return [
    // Lines of what is not on a node are nobody's: so "all" is no empty name, which Loki refuses.
    { ...labelVariable("node", 'quorate_member_info{namespace=~"$namespace",cluster=~"$cluster"}'), allValue: ".+" },
    ...sources.map(sourceVariable),
  ];
}

function sourceVariable(source: "prometheus" | EventPanel["source"]): object {
  const label = `${source.charAt(0).toUpperCase()}${source.slice(1)} data source`;
  return { name: `${source}_datasource`, type: "datasource", query: source, label };
}

function labelVariable(name: string, series: string): object {
  return {
    name,
    type: "query",
    datasource: SOURCE,
    query: { query: `label_values(${series}, ${name})`, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: ["All"], value: ["$__all"] },
  };
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

/** Panels from left to right and line by line, each line as high as its panels; those of events within their closed rows. */
function placed(rows: readonly Row[], events: readonly EventRow[]): object[] {
  const panels: object[] = [];
  let id = 0;
  let y = 0;
  const heading = (title: string, rest: object): object => {
    id += 1;
    const gridPos = { x: 0, y, w: COLUMNS, h: 1 };
    y += 1;
    return { id, type: "row", title, ...rest, gridPos };
  };
  for (const row of rows) {
    panels.push(heading(row.title, { collapsed: false, panels: [] }));
    const { positions, end } = positionsOf(row.panels, y);
    y = end;
    for (const [panel, gridPos] of positions) panels.push(toPanel(panel, (id += 1), gridPos));
  }
  for (const row of events) {
    const within: object[] = [];
    panels.push(heading(row.title, { collapsed: true, panels: within }));
    // A closed row takes one line, and what is within lies where it will when it is opened.
    for (const [panel, gridPos] of positionsOf(row.panels, y).positions)
      within.push(toEventPanel(panel, (id += 1), gridPos));
  }
  return panels;
}

/** Where each panel of a row lies. @param top - The first line. @returns with the line after the last. */
function positionsOf<P extends { readonly kind: string; readonly width: number }>(
  panels: readonly P[],
  top: number,
): { readonly positions: readonly (readonly [panel: P, gridPos: object])[]; readonly end: number } {
  let [x, y, height] = [0, top, 0];
  const positions = panels.map((panel) => {
    if (x + panel.width > COLUMNS) [x, y, height] = [0, y + height, 0];
    const h = panel.kind === "stat" ? STAT_HEIGHT : HEIGHT;
    const gridPos = { x, y, w: panel.width, h };
    x += panel.width;
    height = Math.max(height, h);
    return [panel, gridPos] as const;
  });
  return { positions, end: y + height };
}

function toEventPanel(
  { title, description, source, kind, query, legend }: EventPanel,
  id: number,
  gridPos: object,
): object {
  const datasource = { type: source, uid: `$${source}_datasource` };
  const target = { refId: "Q1", datasource };
  return {
    id,
    title,
    description,
    // Tempo's lists of traces are tables; its panel of that name shows a single trace.
    type: kind === "traces" ? "table" : kind,
    gridPos,
    datasource,
    fieldConfig: { defaults: { unit: "short" }, overrides: [] },
    options:
      kind === "logs" ? { showTime: true, wrapLogMessage: true, sortOrder: "Descending", dedupStrategy: "none" } : {},
    targets: [
      source === "tempo"
        ? { ...target, queryType: "traceql", query, tableType: "traces", limit: 50 }
        : { ...target, queryType: "range", expr: query, ...(legend === undefined ? {} : { legendFormat: legend }) },
    ],
  };
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
