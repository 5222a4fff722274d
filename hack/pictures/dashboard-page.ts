// A dashboard as a page of its own: the panels that Grafana would draw, from the same definitions, for pictures and for tests.
import { Html, html } from "../../src/web/html.ts";
import type { Dashboard, Panel, Row } from "../generate/dashboards/panel.ts";
import { ALARM, GOOD, merged, PLAIN, renderChart, renderStates } from "./chart.ts";
import type { NamedSeries, Range, Series } from "./range.ts";

/** What every panel shows, by its title. */
export type PanelData = ReadonlyMap<string, readonly NamedSeries[]>;

const STYLE = `
body { margin: 0; padding: 16px; width: 1248px; font: 13px/1.35 system-ui, sans-serif; color: #1f2328; background: #f6f8fa; }
h1 { font-size: 18px; margin: 0; } h2 { font-size: 14px; margin: 16px 0 6px; } h3 { font-size: 13px; margin: 0; }
p { margin: 2px 0 8px; color: #57606a; }
main > div { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; }
section { background: #fff; border: 1px solid #d0d7de; border-radius: 6px; padding: 8px 10px; min-width: 0; }
svg { width: 100%; display: block; } svg text { font: 11px system-ui, sans-serif; fill: #57606a; }
ul { list-style: none; margin: 4px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 12px; color: #57606a; }
li i { display: inline-block; width: 10px; height: 3px; margin-right: 4px; vertical-align: middle; }
`;

/** The legend of a series: Grafana's template with its labels filled in. */
export function legendOf(template: string, labels: Series["labels"]): string {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? "");
}

/** The page. Panels without data are left out, and rows of nothing but those. */
export function renderDashboard({ title, description, rows }: Dashboard, data: PanelData, range: Range): string {
  const shown = rows
    .map((row) => ({ ...row, panels: row.panels.filter((panel) => (data.get(panel.title) ?? []).length > 0) }))
    .filter(({ panels }) => panels.length > 0);
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title><style>${new Html(STYLE)}</style></head>
<body><h1>${title}</h1><p>${description}</p><main>${shown.map((row) => renderRow(row, data, range))}</main></body></html>
`.text;
}

function renderRow({ title, panels }: Row, data: PanelData, range: Range): Html {
  return html`<h2>${title}</h2><div>${panels.map((panel) => renderPanel(panel, data.get(panel.title) ?? [], range))}</div>`;
}

function renderPanel(panel: Panel, lines: readonly NamedSeries[], range: Range): Html {
  // Tables list what is so now; over time it is when it was.
  const isAlarm = panel.queries.some(({ expr }) => /\bALERTS\b|blocked/.test(expr));
  const listed = isAlarm ? ALARM : PLAIN;
  const color = { "state-timeline": GOOD, table: listed, timeseries: undefined, stat: undefined }[panel.kind];
  const drawn =
    color === undefined ? renderChart(lines, panel, range) : renderStates(merged(lines), panel, range, color);
  return html`<section style="${`grid-column: span ${panel.width}`}"><h3>${panel.title}</h3>${drawn}</section>`;
}
