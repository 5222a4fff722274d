import { expect, test } from "vitest";
import { formatValue, merged, renderChart, runsOf } from "../../../hack/pictures/chart.ts";
import { legendOf, renderDashboard } from "../../../hack/pictures/dashboard-page.ts";
import type { Dashboard } from "../../../hack/generate/dashboards/panel.ts";

const RANGE = { startSeconds: 0, endSeconds: 10, stepSeconds: 1 };
const DASHBOARD: Dashboard = {
  uid: "d",
  title: "Members & more",
  description: "What there is.",
  rows: [
    {
      title: "Seen",
      panels: [
        { title: "Lag", description: "", kind: "timeseries", unit: "s", width: 8, queries: [], limit: 2 },
        { title: "Up", description: "", kind: "state-timeline", unit: "short", width: 12, queries: [] },
      ],
    },
    { title: "Unseen", panels: [{ title: "None", description: "", kind: "stat", unit: "s", width: 6, queries: [] }] },
  ],
};

test.each([
  { value: 0.9995, unit: "percentunit", said: "99.95 %" },
  { value: 0.0123, unit: "s", said: "12.3 ms" },
  { value: 90, unit: "s", said: "90 s" },
  { value: 1536, unit: "bytes", said: "1.5 KiB" },
  { value: 0, unit: "bytes", said: "0 B" },
  { value: 1200, unit: "short", said: "1.2 k" },
  { value: 3, unit: "short", said: "3" },
])("$value in $unit is $said", ({ value, unit, said }) => {
  expect(formatValue(value, unit)).toBe(said);
});

test("a legend has the values of its labels", () => {
  expect(legendOf("{{namespace}}/{{cluster}} {{none}}", { namespace: "shop", cluster: "orders" })).toBe("shop/orders ");
});

test("a line ends where nothing was seen, and begins anew", () => {
  const points = [0, 1, 2, 6, 7].map((seconds) => [seconds, 1] as const);
  expect(runsOf(points, 1).map((run) => run.map(([seconds]) => seconds))).toEqual([
    [0, 1, 2],
    [6, 7],
  ]);
});

test("series of one name are one line", () => {
  const of = (name: string, seconds: number) => ({ name, series: { labels: {}, points: [[seconds, 1] as const] } });
  expect(merged([of("a", 3), of("b", 1), of("a", 1)]).map(({ name, series }) => [name, series.points])).toEqual([
    [
      "a",
      [
        [1, 1],
        [3, 1],
      ],
    ],
    ["b", [[1, 1]]],
  ]);
});

test("of very many lines those are named that show something", () => {
  const lines = Array.from({ length: 40 }, (_, at) => ({
    name: `line-${at}`,
    series: { labels: {}, points: [[0, at === 33 ? 1 : 0] as const] },
  }));
  const { text } = renderChart(lines, { unit: "short", width: 8 }, RANGE);
  expect(text).toContain("line-33");
  expect(text).not.toContain("line-3<");
  expect(text).toContain("and 39 more");
});

test("panels without data, and rows of them, are left out; text is escaped", () => {
  const series = (values: readonly number[]) => ({
    labels: {},
    points: values.map((value, at) => [at, value] as const),
  });
  const data = new Map([
    ["Lag", [{ name: "<orders-0>", series: series([0, 1, 3]) }]],
    ["Up", [{ name: "orders-1", series: series([1, 1, 0, 0, 1]) }]],
  ]);
  const page = renderDashboard(DASHBOARD, data, RANGE);
  expect(page).toContain("<h1>Members &amp; more</h1>");
  expect(page).toContain("&lt;orders-0&gt;");
  expect(page).not.toContain("Unseen");
  expect(page.match(/<path /g)).toHaveLength(1);
  expect(page.match(/<rect /g)).toHaveLength(3); // up, down, up
  expect(page).toContain("stroke-dasharray"); // the limit is in sight
});
