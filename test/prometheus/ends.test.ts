// Alerts end: each is there while its fault is, and not an hour later. One run of promtool tells them all, and takes half a minute.
import { expect, test } from "vitest";
import { ALERTS } from "../../src/slo/alerts.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { expanded, FAULTS, BEFORE, REST, type Series, WELL } from "./faults.ts";
import { alertsOver } from "./promtool.ts";

/** What the alerts look back at longest, and ten minutes of waiting. */
const AFTER = 2 * 60 + 20;

/** A fault that is over after half an hour, and then all that is well. */
function ended(fault: Series): Series {
  const entries = Object.entries({ ...WELL, ...fault }).map(([name, values]) => {
    const during = [...expanded(values), ...Array.from({ length: BEFORE + REST }, () => "_")].slice(0, BEFORE + REST);
    const [well = "_", next = well] = expanded(WELL[name] ?? "_");
    const last = during.findLast((value) => !["_", "stale"].includes(value)) ?? "0";
    const growth = well === "_" ? 0 : Number(next) - Number(well);
    const isCounter = /_(total|bucket|count)[{]/.test(name);
    return [name, [...during, isCounter ? `${last}+${growth}x${AFTER}` : `${well}x${AFTER}`].join(" ")];
  });
  return Object.fromEntries(entries);
}

const NAMES: readonly string[] = ALERTS.filter(({ about }) => about === "Cluster").map(({ name }) => name);
/** A cluster for each fault, by the name of its alert. */
const SERIES = new Map(
  FAULTS.filter(({ alert }) => NAMES.includes(alert)).flatMap(({ alert, fault }) =>
    Object.entries(ended(fault)).map(([name, values]) => [
      name.replace('cluster="orders"', `cluster="${alert}"`),
      values,
    ]),
  ),
);
const input = [...SERIES].map(([series, values]) => ({ series, values }));

test("every alert about a cluster is there while its fault is, and none an hour after it", {
  timeout: 240_000,
}, async () => {
  const question = { groups: fleetGroups(), names: NAMES, input, with: "cluster" };
  const [during, after] = await alertsOver(question, ["44m", "2h5m"]);
  expect(during).toEqual(expect.arrayContaining(NAMES.map((name) => `${name} ${name}`)));
  expect(after).toEqual([]);
});
