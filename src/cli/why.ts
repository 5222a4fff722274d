/** Says why a cluster is as it is: what is not well, what is held back and by what, and what was told of it. Pure. */
import type { ClusterOperation } from "../api/cluster-operation.ts";
import type { ClusterSpec } from "../api/cluster-spec.ts";
import { type Guard, GUARDS } from "../plan/guards.ts";
import { ago } from "./ago.ts";
import type { Palette } from "./palette.ts";

/** An Event, as far as it is shown. */
export interface ToldEvent {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly object: string;
  readonly atMs: number;
}

/** Everything that an answer is made from. */
export interface Circumstances {
  readonly cluster: ClusterSpec;
  readonly operations: readonly ClusterOperation[];
  readonly events: readonly ToldEvent[];
  readonly nowMs: number;
}

const MAX_EVENTS = 10;
/** Conditions that are bad when true; the others are bad when not. */
const ABNORMAL = [
  ...["Reconciling", "Stalled", "Degraded", "Blocked", "Progressing"],
  ...["PendingChange", "AgentOutdated", "PromotedByForce"],
];

/** The answer, most important first. */
export function renderWhy(known: Circumstances, palette: Palette): string[] {
  const sections = [
    conditions(known, palette),
    blocks(known, palette),
    operations(known, palette),
    events(known, palette),
  ];
  const told = sections.filter((lines) => lines.length > 0);
  const { name } = known.cluster.metadata;
  if (told.length === 0) return [`${palette.green("✓")} ${name} is as its spec asks, and nothing is held back`];
  return told.flatMap((lines, index) => (index === 0 ? lines : ["", ...lines]));
}

function conditions({ cluster, nowMs }: Circumstances, palette: Palette): string[] {
  const { status } = cluster;
  if (status?.conditions === undefined) {
    return [
      palette.yellow("No operator has looked at this cluster yet: is one running, and does it watch this namespace?"),
    ];
  }
  const behind = status.observedGeneration !== cluster.metadata.generation;
  const notWell = status.conditions.filter(({ type, status: value }) =>
    ABNORMAL.includes(type) ? value === "True" : value !== "True",
  );
  return [
    ...(behind ? [palette.yellow("The operator has not dealt with the newest spec yet.")] : []),
    ...(status.change === undefined ? [] : [`${palette.yellow("…")} ${status.change}`]),
    ...notWell.map(
      ({ type, status: value, reason, message, lastTransitionTime }) =>
        `${palette.bold(type)} is ${value} since ${ago(lastTransitionTime, nowMs)}, ${palette.yellow(reason)}: ${message}`,
    ),
  ];
}

function blocks({ cluster, nowMs }: Circumstances, palette: Palette): string[] {
  return (cluster.status?.blocked ?? []).flatMap((block) => {
    const guard = GUARDS[block.guard as Guard] as (typeof GUARDS)[Guard] | undefined;
    return [
      `${palette.red(`Held back by ${block.guard}`)} (${block.object}) since ${ago(block.since, nowMs)}: ${block.message}`,
      ...(guard === undefined ? [] : [`  goes on when ${guard.holds}`]),
      ...(block.nextTry === undefined ? [] : [`  tried again by itself at ${block.nextTry}`]),
      ...(block.override === undefined ? [] : [`  to let it pass: ${palette.bold(block.override)}`]),
    ];
  });
}

function operations({ operations: all }: Circumstances, palette: Palette): string[] {
  const open = all.filter(({ status }) => status?.completionTime === undefined);
  return open.map(
    ({ metadata, spec, status }) =>
      `${palette.yellow(spec.type)} by operation ${metadata.name}, ${status?.phase ?? "not looked at yet"}: ${status?.message ?? ""}`,
  );
}

function events({ events: all, nowMs }: Circumstances, palette: Palette): string[] {
  const newest = all.toSorted((a, b) => b.atMs - a.atMs).slice(0, MAX_EVENTS);
  return newest.map(({ type, reason, note, object, atMs }) => {
    const paint = type === "Warning" ? palette.yellow : palette.dim;
    return `${ago(new Date(atMs).toISOString(), nowMs).padStart(8)} ago ${paint(reason)} ${object}: ${note}`;
  });
}
