// Which clusters a change concerns, and how urgent it is. Events are forgotten here; only keys go on.
import { LABEL_CLUSTER } from "../api/names.ts";
import { isSameJson } from "../build/hash.ts";
import type { Change } from "../kube/store.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { ProjectedPod } from "../observe/kinds.ts";
import type { AnyChange, Stores } from "../observe/stores.ts";
import type { Priority } from "../queue/queue.ts";

/** A key to be queued. */
export interface Concern {
  readonly key: string;
  readonly priority: Priority;
}

interface WithSpec extends KubeObject {
  readonly spec?: {
    readonly clusterName?: string;
    readonly engine?: { readonly name?: string };
    readonly pods?: { readonly priorityClassName?: string };
  };
}

/** The clusters that must be looked at because of one change; empty when nothing that a plan depends on changed. */
export function concernsOf(stores: Stores, { kind, change }: AnyChange): readonly Concern[] {
  const { metadata } = change.object;
  if (change.type === "Updated" && isSame(kind, change.previous, change.object)) {
    // What a shard reports is news for the whole, and for nobody else.
    return kind === "ClusterSpec" ? toKeys(metadata.namespace, metadata.labels?.[LABEL_CLUSTER], "change") : [];
  }
  switch (kind) {
    case "ClusterSpec":
      return [
        ...toKeys(metadata.namespace, metadata.name, "change"),
        ...toKeys(metadata.namespace, metadata.labels?.[LABEL_CLUSTER], "change"),
      ];
    case "ClusterOperation":
      return toKeys(metadata.namespace, (change.object as WithSpec).spec?.clusterName, "change");
    case "Engine":
      return clustersWith(stores, ({ engine }) => engine?.name === metadata.name);
    case "PriorityClass":
      return clustersWith(stores, ({ pods }) => pods?.priorityClassName === metadata.name);
    case "Node":
      return clustersOnNode(stores, metadata.name);
    case "Pod":
      return toKeys(metadata.namespace, metadata.labels?.[LABEL_CLUSTER], podPriority(change));
    default:
      return toKeys(metadata.namespace, metadata.labels?.[LABEL_CLUSTER], "change");
  }
}

/** Nothing but versions and what this operator itself reports differs. */
function isSame(kind: string, before: Stored<KubeObject>, after: Stored<KubeObject>): boolean {
  return isSameJson(essence(kind, before), essence(kind, after));
}

function essence(kind: string, object: Stored<KubeObject>): unknown {
  const { resourceVersion: _, generation: __, ...metadata } = object.metadata as KubeObject["metadata"];
  return { ...object, metadata, ...(kind === "ClusterSpec" ? { status: undefined } : {}) };
}

function toKeys(namespace: string | undefined, cluster: string | undefined, priority: Priority): readonly Concern[] {
  return cluster === undefined ? [] : [{ key: `${namespace ?? ""}/${cluster}`, priority }];
}

/** A change of role is news of a failover, and first in the queue. */
function podPriority(change: Change<KubeObject>): Priority {
  const role = (object: KubeObject) => (object as ProjectedPod).view.report?.role;
  if (change.type !== "Updated") return "change";
  return role(change.previous) === role(change.object) ? "change" : "failover";
}

function clustersWith(
  stores: Stores,
  isConcerned: (spec: NonNullable<WithSpec["spec"]>) => boolean,
): readonly Concern[] {
  const clusters = stores.of("ClusterSpec");
  if (!clusters.isSynced) return [];
  return clusters
    .all()
    .filter((cluster) => isConcerned((cluster as WithSpec).spec ?? {}))
    .map(({ metadata }) => ({ key: `${metadata.namespace ?? ""}/${metadata.name}`, priority: "change" }));
}

function clustersOnNode(stores: Stores, node: string): readonly Concern[] {
  const pods = stores.of("Pod");
  if (!pods.isSynced) return [];
  return pods
    .all()
    .filter((pod) => (pod as Stored<ProjectedPod>).view.node === node)
    .flatMap(({ metadata }) => {
      const meta: KubeObject["metadata"] = metadata;
      return toKeys(meta.namespace, meta.labels?.[LABEL_CLUSTER], "change");
    });
}
