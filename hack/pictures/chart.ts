// Charts as SVG: lines over time, and bars of what was true when.
import { type Html, html } from "../../src/web/html.ts";
import type { Panel } from "../generate/dashboards/panel.ts";
import type { NamedSeries, Range, Series } from "./range.ts";

// Okabe and Ito's palette, which people who see fewer colours can tell apart.
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const [HEIGHT, LEFT, TOP, BOTTOM] = [150, 58, 8, 18];
/** Of the 24 columns that a page has: text is of one size in all of them. */
const COLUMN = 50;
const BAR = 22;
const BAR_LEFT = 130;
/** Of a bar: what shall be, what somebody is called for, and what only is. */
export const GOOD = "#009e73";
export const ALARM = "#c62828";
export const PLAIN = "#0072b2";
/** Names that a legend has at the most. */
const NAMED = 16;
const OFF = "#d0d7de";
/** Further apart than this many steps nothing was seen in between. */
const GAP_STEPS = 1.5;

type Point = Series["points"][number];

const colorOf = (at: number): string => COLORS[at % COLORS.length] ?? "#000";

/** Points that follow each other without a gap. */
export function runsOf(points: readonly Point[], stepSeconds: number): readonly (readonly Point[])[] {
  const runs: Point[][] = [];
  let lastSeconds = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    if (point[0] - lastSeconds > GAP_STEPS * stepSeconds) runs.push([]);
    runs.at(-1)?.push(point);
    [lastSeconds] = point;
  }
  return runs;
}

/** A value in its panel's unit, as short as it can be said. */
export function formatValue(value: number, unit: string): string {
  if (unit === "percentunit") return `${Number((value * 100).toPrecision(4))} %`;
  if (unit === "s")
    return value < 1 ? `${Number((value * 1000).toPrecision(3))} ms` : `${Number(value.toPrecision(3))} s`;
  const [suffixes, base] = unit === "bytes" ? [["B", "KiB", "MiB", "GiB", "TiB"], 1024] : [["", "k", "M", "G"], 1000];
  let [rest, at] = [value, 0];
  while (Math.abs(rest) >= base && at < suffixes.length - 1) [rest, at] = [rest / base, at + 1];
  return `${Number(rest.toPrecision(3))} ${suffixes[at] ?? ""}`.trim();
}

/** Series of the same name as one: what tells them apart is of no interest here. */
export function merged(lines: readonly NamedSeries[]): readonly NamedSeries[] {
  const byName = Map.groupBy(lines, ({ name }) => name);
  return [...byName].map(([name, all]) => {
    const points = all.flatMap(({ series }) => series.points).toSorted(([a], [b]) => a - b);
    return { name, series: { labels: all[0]?.series.labels ?? {}, points } };
  });
}

/** Lines, with the panel's limit where it is in sight. */
export function renderChart(
  lines: readonly NamedSeries[],
  { unit, limit, width: columns }: Pick<Panel, "unit" | "limit" | "width">,
  range: Range,
): Html {
  const width = columns * COLUMN;
  const values = lines.flatMap(({ series }) => series.points.map(([, value]) => value));
  const [low, high] = [Math.min(0, ...values), Math.max(...values, 0)];
  const span = high - low === 0 ? 1 : (high - low) * 1.05;
  const x = (seconds: number) => xOf(seconds, range, LEFT, width);
  const y = (value: number) => HEIGHT - BOTTOM - ((value - low) / span) * (HEIGHT - BOTTOM - TOP);
  const ticks = [low, low + span / 2, low + span].map(
    (value) =>
      html`<line x1="${LEFT}" x2="${width}" y1="${y(value)}" y2="${y(value)}" stroke="#eaeef2"/><text x="${LEFT - 4}" y="${y(value) + 4}" text-anchor="end">${formatValue(value, unit)}</text>`,
  );
  const paths = lines.flatMap(({ series }, at) =>
    runsOf(series.points, range.stepSeconds).map((run) => {
      const path = run.map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`).join(" L");
      return html`<path d="${`M${path}`}" fill="none" stroke="${colorOf(at)}" stroke-width="1.6"/>`;
    }),
  );
  const inSight = limit !== undefined && limit >= low && limit <= low + span;
  const line = inSight
    ? html`<line x1="${LEFT}" x2="${width}" y1="${y(limit)}" y2="${y(limit)}" stroke="${ALARM}" stroke-dasharray="4 3"/>`
    : undefined;
  return html`<svg viewBox="${`0 0 ${width} ${HEIGHT}`}">${ticks}${line}${paths}${renderTimes(range, LEFT, width, HEIGHT)}</svg>${renderLegend(lines)}`;
}

/** A bar for each series: in `color` while it is not 0, grey while it is, nothing while it is not there. */
export function renderStates(
  lines: readonly NamedSeries[],
  { width: columns }: Pick<Panel, "width">,
  range: Range,
  color: string,
): Html {
  const width = columns * COLUMN;
  const height = lines.length * BAR + BOTTOM;
  const x = (seconds: number) => xOf(seconds, range, BAR_LEFT, width);
  const bars = lines.flatMap(({ name, series }, at) => [
    html`<text x="${BAR_LEFT - 6}" y="${at * BAR + BAR / 2 + 4}" text-anchor="end">${name}</text>`,
    ...statesOf(series, range.stepSeconds).map(
      ({ from, to, isOn }) =>
        html`<rect x="${x(from)}" y="${at * BAR + 3}" width="${Math.max(1, x(to) - x(from))}" height="${BAR - 6}" fill="${isOn ? color : OFF}"/>`,
    ),
  ]);
  return html`<svg viewBox="${`0 0 ${width} ${height}`}">${bars}${renderTimes(range, BAR_LEFT, width, height)}</svg>`;
}

interface State {
  readonly from: number;
  to: number;
  readonly isOn: boolean;
}

function statesOf({ points }: Series, stepSeconds: number): readonly State[] {
  const states: State[] = [];
  for (const run of runsOf(points, stepSeconds)) {
    for (const [at, [seconds, value]] of run.entries()) {
      const last = states.at(-1);
      const isOn = value !== 0;
      if (at > 0 && last !== undefined) last.to = seconds;
      if (at === 0 || last?.isOn !== isOn) states.push({ from: seconds, to: seconds + stepSeconds, isOn });
    }
  }
  return states;
}

function xOf(seconds: number, { startSeconds, endSeconds }: Range, left: number, width: number): number {
  return left + ((seconds - startSeconds) / (endSeconds - startSeconds)) * (width - left);
}

function renderTimes({ startSeconds, endSeconds }: Range, left: number, width: number, height: number): Html {
  const time = (seconds: number) => new Date(seconds * 1000).toISOString().slice(11, 19);
  return html`<text x="${left}" y="${height - 4}">${time(startSeconds)}</text><text x="${width}" y="${height - 4}" text-anchor="end">${time(endSeconds)}</text>`;
}

/** Of many lines those are named that are not zero all the time, as far as there is room. */
function renderLegend(lines: readonly NamedSeries[]): Html {
  const all = lines.map(({ name, series }, at) => ({
    name,
    at,
    isZero: series.points.every(([, value]) => value === 0),
  }));
  const named = (lines.length > NAMED ? all.filter(({ isZero }) => !isZero) : all).slice(0, NAMED);
  const items = named.map(({ name, at }) => html`<li><i style="${`background: ${colorOf(at)}`}"></i>${name}</li>`);
  const rest = lines.length - named.length;
  return html`<ul>${items}${rest === 0 ? undefined : html`<li>and ${rest} more</li>`}</ul>`;
}
