// A picture of a dashboard with what a real Prometheus knows.
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { chromium } from "playwright-core";
import type { Dashboard } from "../generate/dashboards/panel.ts";
import { legendOf, type PanelData, renderDashboard } from "./dashboard-page.ts";
import { askRange, type NamedSeries, type Range } from "./range.ts";

const WIDTH = 1280;

/** What the panels of a dashboard show over a range, with every namespace and cluster chosen. */
export async function dataOf({ rows }: Dashboard, url: string, range: Range): Promise<PanelData> {
  const data = new Map<string, readonly NamedSeries[]>();
  for (const { title, queries } of rows.flatMap(({ panels }) => panels)) {
    const answers = await Promise.all(queries.map(({ expr }) => askRange(url, filledIn(expr), range)));
    const named = answers.flatMap((all, at) =>
      all.map((series) => ({ name: legendOf(queries[at]?.legend ?? "", series.labels), series })),
    );
    data.set(
      title,
      named.filter(({ series }) => series.points.length > 0).toSorted((a, b) => a.name.localeCompare(b.name)),
    );
  }
  return data;
}

/** As Grafana fills it in when everything is chosen. */
export function filledIn(expr: string): string {
  return expr.replaceAll("$namespace", ".*").replaceAll("$cluster", ".*").replaceAll("$__rate_interval", "5m");
}

/** Draws a dashboard into a PNG file, in a browser without a screen. */
export async function takePicture(dashboard: Dashboard, data: PanelData, range: Range, file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ viewport: { width: WIDTH, height: 800 } });
    await page.setContent(renderDashboard(dashboard, data, range));
    await page.screenshot({ path: file, fullPage: true });
  } finally {
    await browser.close();
  }
}
