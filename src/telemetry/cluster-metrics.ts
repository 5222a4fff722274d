// Metrics of single clusters, as the operator sees them. A series exists while what it tells is true and goes with it, so
// names as labels stay bounded by what is out of the ordinary now.
import { Gauge, type Registry } from "prom-client";
import type { Blocked } from "../api/cluster-spec.ts";

/** Where the controller says what the last pass over a cluster found. Keys are `namespace/name`. */
export interface ClusterObserver {
  planned(key: string, found: { readonly blocked: readonly Blocked[] }): void;
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
  return {
    planned: (key, { blocked }) => void (blocked.length === 0 ? blockedOf.delete(key) : blockedOf.set(key, blocked)),
    gone: (key) => void blockedOf.delete(key),
  };
}
