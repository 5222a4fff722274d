// Metrics of single clusters, as the operator sees them. A series exists while what it tells is true, at the longest as long
// as its cluster, so names as labels stay bounded by what is there now.
import { Counter, type Registry } from "prom-client";
import type { Blocked } from "../api/cluster-status.ts";
import type { RolloutStatus } from "../api/update.ts";
import { clusterCounter } from "./cluster-counter.ts";
import { clusterGauge, clusterLabels } from "./cluster-gauge.ts";

/** What the last pass over a cluster found. */
export interface Found {
  readonly blocked: readonly Blocked[];
  readonly rollout?: RolloutStatus | undefined;
  /** Kind of the planned change whose step runs. */
  readonly planned?: string | undefined;
}

/** How a roll ends. A failed one is rolled back later, or not. */
export const ROLLOUT_RESULTS = ["completed", "failed", "rolled_back"] as const;
export type RolloutResult = (typeof ROLLOUT_RESULTS)[number];

/** Where the controller says what the last pass over a cluster found. Keys are `namespace/name`. */
export interface ClusterObserver {
  planned(key: string, found: Found): void;
  /** A roll of the members came to an end, one way or the other. */
  rolloutEnded(key: string, result: RolloutResult): void;
  /** A member leads by a person's order, although acknowledged writes may be lost. */
  promotedByForce(key: string): void;
  /** So many members began and ceased to serve since the pass before. */
  membersChanged(key: string, changes: { readonly joined: number; readonly left: number }): void;
  /** The cluster is gone, and with it every series of it. */
  gone(key: string): void;
}

/** Clusters of which series are kept; a thousand blocked ones have one cause, and the rest would only hide it. */
const MAX_CLUSTERS = 1000;

/**
 * A step may be over between two scrapes, and most passes of a roll only wait for the member that the last one restarted: without this
 * nobody would ever see that something was planned. As long as scrapes are apart at the most.
 */
const STEP_SHOWN_MS = 60_000;

/** A planned change, and until when it shows. */
interface PlannedStep {
  readonly change: string;
  /** Infinity while its step runs. */
  readonly untilMs: number;
}

const CHANGES = ["join", "leave"] as const;

function counters(registry: Registry) {
  const changes = clusterCounter(
    registry,
    {
      name: "quorate_membership_changes_total",
      help: "Members of a cluster that began (join) or ceased (leave) to serve.",
    },
    "change",
    CHANGES,
  );
  const rollouts = clusterCounter(
    registry,
    {
      name: "quorate_rollouts_total",
      help: "Rolls of a cluster's members that came to an end; a failed one counts again when it is rolled back.",
    },
    "result",
    ROLLOUT_RESULTS,
  );
  const forced = new Counter({
    name: "quorate_forced_promotions_total",
    help: "Members that lead by a person's order although acknowledged writes may have been lost.",
    labelNames: ["namespace", "cluster"],
    registers: [registry],
  });
  return { changes, rollouts, forced };
}

/** Observes clusters. @param nowMs - Epoch milliseconds. */
export function clusterMetrics(registry: Registry, nowMs: () => number): ClusterObserver {
  const blockedOf = new Map<string, readonly Blocked[]>();
  const rolloutOf = new Map<string, RolloutStatus>();
  const plannedOf = new Map<string, PlannedStep>();
  clusterGauge(
    registry,
    {
      name: "quorate_blocked_seconds",
      help: "How long a guard has held back a step of a cluster, in seconds; absent while it holds nothing back.",
      labelNames: ["guard"],
    },
    () =>
      known(blockedOf).flatMap(([key, blocked]) =>
        // Newest first: of two objects that one guard holds back, the series tells the older.
        blocked
          .toSorted((a, b) => Date.parse(b.since) - Date.parse(a.since))
          .map(({ guard, since }) => {
            return { key, labels: { guard }, value: Math.max(0, (nowMs() - Date.parse(since)) / 1000) };
          }),
      ),
  );
  clusterGauge(
    registry,
    {
      name: "quorate_rollout_info",
      help: "1 for the revision that a cluster's members are brought to, and how far they are; a change of it is an annotation.",
      labelNames: ["revision", "phase"],
    },
    () => known(rolloutOf).map(([key, { revision, phase }]) => ({ key, labels: { revision, phase }, value: 1 })),
  );
  clusterGauge(
    registry,
    {
      name: "quorate_planned_step",
      help: "1 while a step of a planned change runs, and for a minute after it; alerts about the cluster may be held back meanwhile. Absent while a guard holds the change back for longer.",
      labelNames: ["change"],
    },
    () =>
      known(plannedOf).flatMap(([key, { change, untilMs }]) =>
        untilMs > nowMs() ? [{ key, labels: { change }, value: 1 }] : [],
      ),
  );
  const { changes, rollouts, forced } = counters(registry);
  return {
    planned: (key, { blocked, rollout, planned }) => {
      // There before the first one ends: a counter that appears with 1 looks as if nothing had happened.
      rollouts.known(key);
      forced.inc(clusterLabels(key), 0);
      const before = plannedOf.get(key);
      if (planned !== undefined) plannedOf.set(key, { change: planned, untilMs: Number.POSITIVE_INFINITY });
      else if (before?.untilMs === Number.POSITIVE_INFINITY)
        plannedOf.set(key, { change: before.change, untilMs: nowMs() + STEP_SHOWN_MS });
      if (blocked.length === 0) blockedOf.delete(key);
      else blockedOf.set(key, blocked);
      if (rollout !== undefined) rolloutOf.set(key, rollout);
    },
    rolloutEnded: (key, result) => rollouts.add(key, result),
    promotedByForce: (key) => forced.inc(clusterLabels(key)),
    membersChanged: (key, { joined, left }) => {
      changes.add(key, "join", joined);
      changes.add(key, "leave", left);
    },
    gone: (key) => {
      for (const map of [blockedOf, rolloutOf, plannedOf]) map.delete(key);
      changes.gone(key);
      rollouts.gone(key);
      forced.remove(clusterLabels(key));
    },
  };
}

function known<T>(byKey: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...byKey].slice(0, MAX_CLUSTERS);
}
