// The objectives as PromQL over the agents' metrics, and users' queries with their placeholders filled in.
import { ACTION_BOUNDS_SECONDS, LEASE_BOUNDS_SECONDS } from "../api/agent-metrics.ts";
import {
  ENOUGH_REQUESTS,
  formatDuration,
  type MeasuredObjectiveName,
  type Objective,
  type QueryObjective,
  UNITS_PER_WINDOW,
} from "./objectives.ts";

/** Whose series are asked for. */
export interface Subject {
  readonly namespace: string;
  readonly cluster: string;
}

/** The label that tells the windows of one query apart. */
export const UNITS_LABEL = "quorate_units";

/** What UNITS_LABEL says of a series that is no share: a user's query found events over the whole window, and its other one no series of bad ones. */
export const NO_BAD_SERIES = "no-bad-series";

/** One query for the share of bad time over each of the windows, told apart by UNITS_LABEL; see also NO_BAD_SERIES. */
export function badShareQuery(
  objective: Objective,
  subject: Subject,
  units: readonly number[],
  windowMs: number,
): string {
  const shares = units.map((one) => {
    const range = formatDuration((one * windowMs) / UNITS_PER_WINDOW);
    return labelled(badShare(objective, subject, range), String(one));
  });
  const whole = units.includes(UNITS_PER_WINDOW) ? [formatDuration(windowMs)] : [];
  return [...shares, ...whole.flatMap((range) => noBadSeries(objective, subject, range))].join(" or ");
}

function labelled(query: string, label: string): string {
  return `label_replace(${query}, "${UNITS_LABEL}", "${label}", "", "")`;
}

/** Nothing for objectives that are not by two queries. */
function noBadSeries(objective: Objective, subject: Subject, range: string): readonly string[] {
  if (objective.source !== "Queries") return [];
  const { badQuery, totalQuery } = objective.queries;
  if (badQuery === undefined || totalQuery === undefined) return [];
  const sumOf = (query: string) => `sum(${closed(fillInObjective(query, subject, range).trim())})`;
  return [labelled(`(${sumOf(totalQuery)} unless ${sumOf(badQuery)})`, NO_BAD_SERIES)];
}

/** The growth of one of the agents' counters, over all members. */
type Increase = (metric: string, ...matchers: readonly string[]) => string;

const STATEMENTS = 'action=~"probeWrite|observe"';
const ANSWERED = 'result=~"ok|conflict"';

const BAD_SHARES: Readonly<Record<MeasuredObjectiveName, (increase: Increase, limitMs: number) => string>> = {
  Availability: (increase) =>
    `${increase("write_slices_total", 'result="bad"')} / (${increase("write_slices_total")} > 0)`,
  Requests: (increase) =>
    `${increase("requests_total", 'result="bad"')} / (${increase("requests_total")} >= ${ENOUGH_REQUESTS})`,
  Latency: (increase, limitMs) => {
    const le = `le="${boundOf(limitMs, ACTION_BOUNDS_SECONDS)}"`;
    const ok = [STATEMENTS, 'result="ok"'];
    return `1 - ${increase("action_seconds_bucket", ...ok, le)} / (${increase("action_seconds_count", ...ok)} > 0)`;
  },
  Errors: (increase) =>
    `${increase("action_seconds_count", STATEMENTS, 'result="error"')} / (${increase("action_seconds_count", STATEMENTS)} > 0)`,
  ApiLatency: (increase, limitMs) => {
    const le = `le="${boundOf(limitMs, LEASE_BOUNDS_SECONDS)}"`;
    return `1 - ${increase("lease_write_seconds_bucket", ANSWERED, le)} / (${increase("lease_write_seconds_count")} > 0)`;
  },
};

/** The share of time or of attempts within `range` that was bad; nothing when there was nothing to count, or too little. */
export function badShare(objective: Objective, subject: Subject, range: string): string {
  if (objective.source === "Queries") return ownShare(objective, subject, range);
  if (objective.source === "Pods") {
    const slices = (...matchers: readonly string[]) =>
      `sum(increase(${servingSlices(subject, ...matchers)}[${range}]))`;
    return `${slices('result="bad"')} / (${slices()} > 0)`;
  }
  return BAD_SHARES[objective.name](
    (metric, ...matchers) => `sum(increase(${seriesOf(subject, metric, ...matchers)}[${range}]))`,
    objective.limitMs ?? 0,
  );
}

/**
 * The same of a user's own queries.
 *
 * Counters of errors often appear with the first error, so no bad series are no bad events. No series of all events are no data,
 * but where nothing happened nothing was bad: otherwise a quiet night would look like a monitoring that has failed.
 */
function ownShare({ queries }: QueryObjective, subject: Subject, range: string): string {
  const { badQuery = "", totalQuery = "", badRatioQuery } = queries;
  const asked = (query: string) => closed(fillInObjective(query, subject, range).trim());
  if (badRatioQuery !== undefined) return `max(${asked(badRatioQuery)})`;
  return `(sum(${asked(badQuery)}) or vector(0)) / clamp_min(sum(${asked(totalQuery)}), ${NO_EVENTS})`;
}

/** Less than any number of events or any rate of them, and not zero. */
const NO_EVENTS = "1e-12";

/** A query may end in a comment, which must not take in what follows. */
function closed(query: string): string {
  return query.includes("#") ? `${query}\n` : query;
}

/** The seconds in which the operator looked whether the members of topology Stateless serve. */
export function servingSlices(subject: Subject, ...matchers: readonly string[]): string {
  return `quorate_cluster_serving_slices_total{${[...selector(subject), ...matchers].join(",")}}`;
}

/** The series of one of the agents' metrics, of all members of a cluster. */
export function seriesOf(subject: Subject, metric: string, ...matchers: readonly string[]): string {
  return `quorate_member_${metric}{${[...selector(subject), ...matchers].join(",")}}`;
}

function selector({ namespace, cluster }: Subject): string[] {
  return [`namespace="${escapeString(namespace)}"`, `cluster="${escapeString(cluster)}"`];
}

/** The first bound that is at least the limit: between two bounds Prometheus' text tells nothing. */
function boundOf(limitMs: number, bounds: readonly number[]): string {
  const bound = bounds.find((one) => one >= limitMs / 1000);
  return bound === undefined ? "+Inf" : String(bound);
}

/** What the placeholders of a user's query stand for. Names of pods. */
export interface Placeholders extends Subject {
  readonly canary: readonly string[];
  readonly control: readonly string[];
}

/** The query as Prometheus gets it. @param pods - What $(PODS) stands for. */
export function fillIn(
  query: string,
  pods: readonly string[],
  { canary, control, namespace, cluster }: Placeholders,
): string {
  const values: Readonly<Record<string, string>> = {
    PODS: anyOf(pods),
    CANARY: anyOf(canary),
    CONTROL: anyOf(control),
    NAMESPACE: escapeString(namespace),
    CLUSTER: escapeString(cluster),
  };
  return filledIn(query, values);
}

/** The query of an objective as Prometheus gets it, over a window of the length `range`. */
function fillInObjective(query: string, { namespace, cluster }: Subject, range: string): string {
  return filledIn(query, { WINDOW: range, NAMESPACE: escapeString(namespace), CLUSTER: escapeString(cluster) });
}

/** In one pass: what was filled in is never looked at again. */
function filledIn(query: string, values: Readonly<Record<string, string>>): string {
  return query.replaceAll(/\$\(([A-Z]+)\)/g, (whole, name: string) => values[name] ?? whole);
}

/** A regular expression, inside of a string, that matches exactly these names; of none, one that matches nothing. */
function anyOf(names: readonly string[]): string {
  if (names.length === 0) return escapeString("[^\\s\\S]");
  return names.map((name) => escapeString(name.replaceAll(/[^A-Za-z0-9_-]/g, "\\$&"))).join("|");
}

/** Inside of a PromQL string in double or single quotes. */
function escapeString(text: string): string {
  return text.replaceAll(/["'\\]/g, "\\$&").replaceAll("\n", "\\n");
}
