// What spec.slo asks for, as numbers: how much of the time may be bad, over which windows that is looked at.
import type { OwnObjective, ServiceLevel } from "../api/objectives.ts";
import type { Topology } from "../api/topology.ts";

/** The objectives about what quorate measures itself, each with an error budget of its own. */
export const OBJECTIVES = ["Availability", "Requests", "Latency", "Errors", "ApiLatency"] as const;
export type MeasuredObjectiveName = (typeof OBJECTIVES)[number];

/** One of OBJECTIVES, or what the user calls an objective of his own: a DNS label, so that the two never meet. */
export type ObjectiveName = string;

interface Allowed {
  /** At most this share of the time, or of the events, may be bad. */
  readonly allowed: number;
}

/** About what the members' agents measure. */
export interface AgentObjective extends Allowed {
  readonly source: "Agents";
  readonly name: MeasuredObjectiveName;
  /** Slower than this is bad; of latency objectives only. */
  readonly limitMs?: number;
}

/** About members that have no agents, as the operator sees their pods. */
export interface ServingObjective extends Allowed {
  readonly source: "Pods";
  readonly name: "Availability";
}

/** A user's own, about what Prometheus knows and nobody else. */
export interface QueryObjective extends Allowed {
  readonly source: "Queries";
  readonly name: ObjectiveName;
  readonly queries: Pick<OwnObjective, "badQuery" | "totalQuery" | "badRatioQuery">;
}

/** One objective. */
export type Objective = AgentObjective | ServingObjective | QueryObjective;

/** Requests of clients, below which the share that failed means little: one of three is no outage. */
export const ENOUGH_REQUESTS = 20;

const ALLOWED_BY_P95 = 0.05;

/** The objectives that `slo` states: those of OBJECTIVES in their order, then the user's own. */
export function objectivesOf(slo: ServiceLevel, topology: Topology): readonly Objective[] {
  const allowed = (100 - Number(slo.dataPlane.availabilityPercent)) / 100;
  if (topology === "Stateless") return [{ source: "Pods", name: "Availability", allowed }, ...ownObjectives(slo)];
  const measured = agentObjectives(slo, allowed);
  // Each shard has them; the whole would only say again what they say.
  return topology === "Sharded" ? measured : [...measured, ...ownObjectives(slo)];
}

function agentObjectives({ dataPlane, controlPlane }: ServiceLevel, unavailable: number): readonly Objective[] {
  const { requestErrorPercent, latencyP95Milliseconds, errorPercent } = dataPlane;
  const { apiLatencyP95Milliseconds } = controlPlane;
  const latency = (name: MeasuredObjectiveName, limitMs: number | undefined): Objective[] =>
    limitMs === undefined ? [] : [{ source: "Agents", name, allowed: ALLOWED_BY_P95, limitMs }];
  const share = (name: MeasuredObjectiveName, percent: string | undefined): Objective[] =>
    percent === undefined ? [] : [{ source: "Agents", name, allowed: Number(percent) / 100 }];
  return [
    { source: "Agents", name: "Availability", allowed: unavailable },
    ...share("Requests", requestErrorPercent),
    ...latency("Latency", latencyP95Milliseconds),
    ...share("Errors", errorPercent),
    ...latency("ApiLatency", apiLatencyP95Milliseconds),
  ];
}

function ownObjectives({ objectives }: ServiceLevel): readonly QueryObjective[] {
  return objectives.map(({ name, targetPercent, ...queries }) => {
    return { source: "Queries", name, allowed: (100 - Number(targetPercent)) / 100, queries };
  });
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
