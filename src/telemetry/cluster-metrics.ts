// Metrics of single clusters, as the operator sees them. A series exists while what it tells is true, at the longest as long
// as its cluster, so names as labels stay bounded by what is there now.
import type { Blocked } from "../api/cluster-status.ts";
import type { RolloutStatus } from "../api/update.ts";
import { clusterCounter } from "./cluster-counter.ts";
import type { ClusterRegistry, Row } from "./cluster-registry.ts";

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

function counters(registry: ClusterRegistry) {
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
  const forced = new Map<string, number>();
  registry.show({
    name: "quorate_forced_promotions_total",
    help: "Members that lead by a person's order although acknowledged writes may have been lost.",
    type: "counter",
    labels: [],
    *rows(): Iterable<Row> {
      for (const [key, value] of forced) yield { key, labels: {}, value };
    },
  });
  return { changes, rollouts, forced };
}

/** Observes clusters. @param nowMs - Epoch milliseconds. */
export function clusterMetrics(registry: ClusterRegistry, nowMs: () => number): ClusterObserver {
  const blockedOf = new Map<string, readonly Blocked[]>();
  const rolloutOf = new Map<string, RolloutStatus>();
  const plannedOf = new Map<string, PlannedStep>();
  registry.show({
    name: "quorate_blocked_seconds",
    help: "How long a guard has held back a step of a cluster, in seconds; absent while it holds nothing back.",
    type: "gauge",
    labels: ["guard"],
    *rows(): Iterable<Row> {
      for (const [key, blocked] of known(blockedOf)) {
        for (const [guard, sinceMs] of sinceMsByGuard(blocked))
          yield { key, labels: { guard }, value: Math.max(0, (nowMs() - sinceMs) / 1000) };
      }
    },
  });
  registry.show({
    name: "quorate_rollout_info",
    help: "1 for the revision that a cluster's members are brought to, and how far they are; a change of it is an annotation.",
    type: "gauge",
    labels: ["revision", "phase"],
    *rows(): Iterable<Row> {
      for (const [key, { revision, phase }] of known(rolloutOf)) yield { key, labels: { revision, phase }, value: 1 };
    },
  });
  registry.show({
    name: "quorate_planned_step",
    help: "1 while a step of a planned change runs, and for a minute after it; alerts about the cluster may be held back meanwhile. Absent while a guard holds the change back for longer.",
    type: "gauge",
    labels: ["change"],
    *rows(): Iterable<Row> {
      for (const [key, { change, untilMs }] of known(plannedOf))
        if (untilMs > nowMs()) yield { key, labels: { change }, value: 1 };
    },
  });
  const { changes, rollouts, forced } = counters(registry);
  return {
    planned: (key, { blocked, rollout, planned }) => {
      // There before the first one ends: a counter that appears with 1 looks as if nothing had happened.
      rollouts.known(key);
      forced.set(key, forced.get(key) ?? 0);
      const before = plannedOf.get(key);
      if (planned !== undefined) plannedOf.set(key, { change: planned, untilMs: Number.POSITIVE_INFINITY });
      else if (before?.untilMs === Number.POSITIVE_INFINITY)
        plannedOf.set(key, { change: before.change, untilMs: nowMs() + STEP_SHOWN_MS });
      if (blocked.length === 0) blockedOf.delete(key);
      else blockedOf.set(key, blocked);
      if (rollout !== undefined) rolloutOf.set(key, rollout);
    },
    rolloutEnded: (key, result) => rollouts.add(key, result),
    promotedByForce: (key) => void forced.set(key, (forced.get(key) ?? 0) + 1),
    membersChanged: (key, { joined, left }) => {
      changes.add(key, "join", joined);
      changes.add(key, "leave", left);
    },
    gone: (key) => {
      for (const map of [blockedOf, rolloutOf, plannedOf, forced]) map.delete(key);
      changes.gone(key);
      rollouts.gone(key);
    },
  };
}

/** Of several objects that one guard holds back the oldest counts. */
function sinceMsByGuard(blocked: readonly Blocked[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { guard, since } of blocked) {
    found.set(guard, Math.min(Date.parse(since), found.get(guard) ?? Number.POSITIVE_INFINITY));
  }
  return found;
}

function* known<T>(byKey: ReadonlyMap<string, T>): Iterable<readonly [string, T]> {
  let count = 0;
  for (const entry of byKey) {
    if (count++ === MAX_CLUSTERS) return;
    yield entry;
  }
}
