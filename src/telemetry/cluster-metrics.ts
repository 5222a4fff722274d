// Metrics of single clusters, as the operator sees them. A series exists while what it tells is true, at the longest as long
// as its cluster, so names as labels stay bounded by what is there now.
import { Counter, Gauge, type Registry } from "prom-client";
import type { Blocked } from "../api/cluster-spec.ts";
import type { RolloutStatus } from "../api/update.ts";

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
  /** So many members began and ceased to serve since the pass before. */
  membersChanged(key: string, changes: { readonly joined: number; readonly left: number }): void;
  /** The cluster is gone, and with it every series of it. */
  gone(key: string): void;
}

/** Clusters of which series are kept; a thousand blocked ones have one cause, and the rest would only hide it. */
const MAX_CLUSTERS = 1000;

/** Observes clusters. @param nowMs - Epoch milliseconds. */
export function clusterMetrics(registry: Registry, nowMs: () => number): ClusterObserver {
  const blockedOf = new Map<string, readonly Blocked[]>();
  const seconds = new Gauge({
    name: "quorate_blocked_seconds",
    help: "How long a guard has held back a step of a cluster, in seconds; absent while it holds nothing back.",
    labelNames: ["namespace", "cluster", "guard"],
    registers: [],
    collect() {
      this.reset();
      for (const [key, blocked] of [...blockedOf].slice(0, MAX_CLUSTERS)) {
        const [namespace = "", cluster = ""] = key.split("/");
        // Newest first: of two objects that one guard holds back, the series tells the older.
        for (const { guard, since } of blocked.toSorted((a, b) => Date.parse(b.since) - Date.parse(a.since))) {
          this.set({ namespace, cluster, guard }, Math.max(0, (nowMs() - Date.parse(since)) / 1000));
        }
      }
    },
  });
  registry.registerMetric(seconds);
  const changes = new Counter({
    name: "quorate_membership_changes_total",
    help: "Members of a cluster that began (join) or ceased (leave) to serve.",
    labelNames: ["namespace", "cluster", "change"],
    registers: [registry],
  });
  const CHANGES = ["join", "leave"] as const;
  const rollouts = new Counter({
    name: "quorate_rollouts_total",
    help: "Rolls of a cluster's members that came to an end; a failed one counts again when it is rolled back.",
    labelNames: ["namespace", "cluster", "result"],
    registers: [registry],
  });
  const rolloutOf = new Map<string, RolloutStatus>();
  const rollout = new Gauge({
    name: "quorate_rollout_info",
    help: "1 for the revision that a cluster's members are brought to, and how far they are; a change of it is an annotation.",
    labelNames: ["namespace", "cluster", "revision", "phase"],
    registers: [],
    collect() {
      this.reset();
      for (const [key, { revision, phase }] of [...rolloutOf].slice(0, MAX_CLUSTERS)) {
        const [namespace = "", cluster = ""] = key.split("/");
        this.set({ namespace, cluster, revision, phase }, 1);
      }
    },
  });
  registry.registerMetric(rollout);
  const plannedOf = plannedSteps(registry);
  return {
    planned: (key, { blocked, rollout: found, planned }) => {
      const [namespace = "", cluster = ""] = key.split("/");
      // There before the first one ends: a counter that appears with 1 looks as if nothing had happened.
      for (const result of ROLLOUT_RESULTS) rollouts.inc({ namespace, cluster, result }, 0);
      if (planned === undefined) plannedOf.delete(key);
      else plannedOf.set(key, planned);
      if (blocked.length === 0) blockedOf.delete(key);
      else blockedOf.set(key, blocked);
      if (found !== undefined) rolloutOf.set(key, found);
    },
    rolloutEnded: (key, result) => {
      const [namespace = "", cluster = ""] = key.split("/");
      rollouts.inc({ namespace, cluster, result });
    },
    membersChanged: (key, { joined, left }) => {
      const [namespace = "", cluster = ""] = key.split("/");
      changes.inc({ namespace, cluster, change: "join" }, joined);
      changes.inc({ namespace, cluster, change: "leave" }, left);
    },
    gone: (key) => {
      blockedOf.delete(key);
      rolloutOf.delete(key);
      plannedOf.delete(key);
      const [namespace = "", cluster = ""] = key.split("/");
      for (const change of CHANGES) changes.remove({ namespace, cluster, change });
      for (const result of ROLLOUT_RESULTS) rollouts.remove({ namespace, cluster, result });
    },
  };
}

/** The planned change that runs on each cluster, shown as long as it does. */
function plannedSteps(registry: Registry): Map<string, string> {
  const plannedOf = new Map<string, string>();
  const step = new Gauge({
    name: "quorate_planned_step",
    help: "1 while a step of a planned change runs; alerts about the cluster may be held back meanwhile. Absent while a guard holds it back.",
    labelNames: ["namespace", "cluster", "change"],
    registers: [],
    collect() {
      this.reset();
      for (const [key, change] of [...plannedOf].slice(0, MAX_CLUSTERS)) {
        const [namespace = "", cluster = ""] = key.split("/");
        this.set({ namespace, cluster, change }, 1);
      }
    },
  });
  registry.registerMetric(step);
  return plannedOf;
}
