// What clusters and their members are, for joins: figures of agents are told apart by member, and everything else one may want
// to tell them apart by stands here once. Shown as the caches have it at each scrape, so nothing outlives its cluster.
import type { ClusterState } from "../observe/cluster-states.ts";
import { POD_ENDS, type PodEnd } from "../observe/kinds.ts";
import { clusterCounter } from "./cluster-counter.ts";
import type { ClusterRegistry, Family, Row } from "./cluster-registry.ts";

type Series = readonly [labels: Readonly<Record<string, string>>, value: number];

/** Shows `current()` to whoever asks. */
export function stateMetrics(registry: ClusterRegistry, current: () => Iterable<ClusterState>): void {
  const show = (
    text: Pick<Family, "name" | "help" | "labels">,
    seriesOf: (state: ClusterState) => readonly Series[],
  ): void =>
    registry.show({
      ...text,
      type: "gauge",
      *rows(): Iterable<Row> {
        for (const state of current()) {
          const key = `${state.namespace}/${state.cluster}`;
          for (const [labels, value] of seriesOf(state)) yield { key, labels, value };
        }
      },
    });
  show(
    {
      name: "quorate_cluster_info",
      help: "1 for every ClusterSpec, with what it runs.",
      labels: ["engine", "version", "topology", "durability", "profile", "shard_of"],
    },
    ({ engine, version, topology, durability, profile, shardOf }) => [
      [{ engine, version, topology, durability, profile, shard_of: shardOf }, 1],
    ],
  );
  show(
    {
      name: "quorate_cluster_members",
      help: "Members of a cluster: desired are those that shall serve (none while it is stopped), ready those whose pods are.",
      labels: ["state"],
    },
    ({ desired, ready }) => [
      [{ state: "desired" }, desired],
      [{ state: "ready" }, ready],
    ],
  );
  show(
    {
      name: "quorate_cluster_initialized",
      help: "1 once a first leader of the cluster has served, else 0.",
      labels: [],
    },
    ({ isInitialized }) => [[{}, isInitialized ? 1 : 0]],
  );
  show(
    {
      name: "quorate_member_info",
      help: "1 for every member that has a pod, with its node and region, its role and the revision it runs.",
      labels: ["member", "node", "region", "role", "revision"],
    },
    ({ members }) => members.map((one) => [{ ...one }, 1]),
  );
  show(
    {
      name: "quorate_maintenance_window_open",
      help: "1 while a maintenance window is open, else 0.",
      labels: ["window"],
    },
    ({ windows }) => windows.map(({ window, isOpen }) => [{ window }, isOpen ? 1 : 0]),
  );
}

/** Counts members that their machine ended. Keys are `namespace/name`. */
export interface PodEndCounter {
  /** The cluster is there: so are its counts, at zero at first, or nobody would see the first one. */
  known(key: string): void;
  ended(key: string, reason: PodEnd): void;
  gone(key: string): void;
}

/** Makes the counter. */
export function podEndMetrics(registry: ClusterRegistry): PodEndCounter {
  const ends = clusterCounter(
    registry,
    {
      name: "quorate_pod_ends_total",
      help: "Times a member was ended because memory (OOMKilled) or its node (Evicted) had run out.",
    },
    "reason",
    POD_ENDS,
  );
  return { known: ends.known, ended: ends.add, gone: ends.gone };
}
