// What spec.slo asks for, as numbers: how much of the time may be bad, over which windows that is looked at.
import type { ServiceLevel } from "../api/objectives.ts";

/** The objectives, each with an error budget of its own. */
export const OBJECTIVES = ["Availability", "Requests", "Latency", "Errors", "ApiLatency"] as const;
export type ObjectiveName = (typeof OBJECTIVES)[number];

/** One objective: at most the share `allowed` of the time may be bad. */
export interface Objective {
  readonly name: ObjectiveName;
  readonly allowed: number;
  /** Slower than this is bad; of latency objectives only. */
  readonly limitMs?: number;
}

/** Requests of clients, below which the share that failed means little: one of three is no outage. */
export const ENOUGH_REQUESTS = 20;

const ALLOWED_BY_P95 = 0.05;

/** The objectives that `slo` states, in the order of OBJECTIVES. */
export function objectivesOf({ dataPlane, controlPlane }: ServiceLevel): readonly Objective[] {
  const { availabilityPercent, requestErrorPercent, latencyP95Milliseconds, errorPercent } = dataPlane;
  const { apiLatencyP95Milliseconds } = controlPlane;
  const latency = (name: ObjectiveName, limitMs: number | undefined): Objective[] =>
    limitMs === undefined ? [] : [{ name, allowed: ALLOWED_BY_P95, limitMs }];
  const share = (name: ObjectiveName, percent: string | undefined): Objective[] =>
    percent === undefined ? [] : [{ name, allowed: Number(percent) / 100 }];
  return [
    { name: "Availability", allowed: (100 - Number(availabilityPercent)) / 100 },
    ...share("Requests", requestErrorPercent),
    ...latency("Latency", latencyP95Milliseconds),
    ...share("Errors", errorPercent),
    ...latency("ApiLatency", apiLatencyP95Milliseconds),
  ];
}

const DAY_MS = 86_400_000;

/** Length of the window that the objectives hold over. */
export function windowMsOf({ window }: Pick<ServiceLevel, "window">): number {
  return Number(window.slice(0, -1)) * DAY_MS;
}

/** A window is looked at in 720 units: hours, when it is 30 days. */
export const UNITS_PER_WINDOW = 720;

/** A budget burns too fast when it does so over a long window, and over a short one, so that it still does now. */
export interface BurnRule {
  readonly severity: "Page" | "Ticket";
  /** How many times faster than the budget allows. */
  readonly factor: number;
  readonly longUnits: number;
  readonly shortUnits: number;
}

/** Google's SRE Workbook, chapter 5, and Sloth: 2, 5, 10 and 10 % of the budget spent. Windows scale with the objective's. */
export const BURN_RULES: readonly BurnRule[] = [
  { severity: "Page", factor: 14.4, longUnits: 1, shortUnits: 1 / 12 },
  { severity: "Page", factor: 6, longUnits: 6, shortUnits: 1 / 2 },
  { severity: "Ticket", factor: 3, longUnits: 24, shortUnits: 2 },
  { severity: "Ticket", factor: 1, longUnits: 72, shortUnits: 6 },
];

/** The windows of all rules in units, each once, short to long. */
export const BURN_UNITS: readonly number[] = [
  ...new Set(BURN_RULES.flatMap(({ longUnits, shortUnits }) => [shortUnits, longUnits])),
].toSorted((a, b) => a - b);

const MINUTE_MS = 60_000;

/** A length of time as people and Prometheus write it, for example 1h30m. Rounded to whole seconds. */
export function formatDuration(durationMs: number): string {
  let restMs = Math.round(durationMs / 1000) * 1000;
  const parts: string[] = [];
  for (const [unit, unitMs] of [
    ["d", DAY_MS],
    ["h", 60 * MINUTE_MS],
    ["m", MINUTE_MS],
    ["s", 1000],
  ] as const) {
    const count = Math.floor(restMs / unitMs);
    restMs -= count * unitMs;
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return parts.join("") || "0s";
}
