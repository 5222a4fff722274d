// Metrics of single clusters, as the operator sees them. A series exists while what it tells is true, at the longest as long
// as its cluster, so names as labels stay bounded by what is there now.
import { Counter, Gauge, type Registry } from "prom-client";
import type { Blocked } from "../api/cluster-spec.ts";

/** Where the controller says what the last pass over a cluster found. Keys are `namespace/name`. */
export interface ClusterObserver {
  planned(key: string, found: { readonly blocked: readonly Blocked[] }): void;
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
  return {
    planned: (key, { blocked }) => void (blocked.length === 0 ? blockedOf.delete(key) : blockedOf.set(key, blocked)),
    membersChanged: (key, { joined, left }) => {
      const [namespace = "", cluster = ""] = key.split("/");
      changes.inc({ namespace, cluster, change: "join" }, joined);
      changes.inc({ namespace, cluster, change: "leave" }, left);
    },
    gone: (key) => {
      blockedOf.delete(key);
      const [namespace = "", cluster = ""] = key.split("/");
      for (const change of CHANGES) changes.remove({ namespace, cluster, change });
    },
  };
}
