// What every cluster and its members are at this moment, for metrics. Reads caches and parses nothing: a scrape asks for all clusters.
import { LABEL_MEMBER, LABEL_SHARD_OF } from "../api/names.ts";
import type { MaintenanceWindow } from "../api/objectives.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { isOpen } from "../plan/maintenance.ts";
import type { ProjectedNode, ProjectedPod } from "./kinds.ts";
import type { Stores } from "./stores.ts";

/** One member as the operator sees it. */
export interface MemberState {
  readonly member: string;
  readonly node: string;
  /** Of its node, by the node's well-known label; empty when it has none. */
  readonly region: string;
  readonly role: string;
  /** Hash of its pod's template. */
  readonly revision: string;
}

/** One cluster as the operator sees it. */
export interface ClusterState {
  readonly namespace: string;
  readonly cluster: string;
  readonly engine: string;
  readonly version: string;
  readonly topology: string;
  readonly durability: string;
  readonly profile: string;
  /** Of a shard the ClusterSpec that it is a part of; else empty. */
  readonly shardOf: string;
  /** Members that shall serve; none while the cluster is stopped on purpose. */
  readonly desired: number;
  readonly ready: number;
  /** A first leader has served. */
  readonly isInitialized: boolean;
  readonly members: readonly MemberState[];
  /** Names of the maintenance windows, and whether each is open. */
  readonly windows: readonly { readonly window: string; readonly isOpen: boolean }[];
}

/** A ClusterSpec as the API server stores it, defaults filled in. */
interface WireCluster extends KubeObject {
  readonly spec?: {
    readonly engine?: { readonly name?: string; readonly version?: string };
    readonly topology?: string;
    readonly members?: number;
    readonly stopped?: boolean;
    readonly durability?: { readonly mode?: string };
    readonly failover?: { readonly profile?: string };
    readonly maintenanceWindows?: readonly MaintenanceWindow[];
  };
  readonly status?: {
    readonly readyMembers?: number;
    readonly desiredMembers?: number;
    readonly initialized?: boolean;
  };
}

/** The states of all clusters, made one after the other; none before the caches are synced. */
export function* clusterStates(stores: Stores, nowMs: number): Iterable<ClusterState> {
  if (!stores.isSynced) return;
  const nodes = stores.of("Node").all() as readonly Stored<ProjectedNode>[];
  const regions = new Map(nodes.map(({ metadata, region }) => [metadata.name, region]));
  for (const object of stores.of("ClusterSpec").all()) {
    if (!stores.isSynced) return; // not any more: whoever asks may take their time
    yield toState(object, stores, { nowMs, regions });
  }
}

function toState(
  { metadata, spec = {}, status = {} }: Stored<WireCluster>,
  stores: Stores,
  { nowMs, regions }: { readonly nowMs: number; readonly regions: ReadonlyMap<string, string> },
): ClusterState {
  const { namespace = "", name, labels }: KubeObject["metadata"] = metadata;
  const isWhole = spec.topology === "Sharded";
  const pods = stores.of("Pod").ofCluster(namespace, name) as readonly Stored<ProjectedPod>[];
  return {
    namespace,
    cluster: name,
    engine: spec.engine?.name ?? "",
    version: spec.engine?.version ?? "",
    topology: spec.topology ?? "",
    durability: spec.durability?.mode ?? "",
    profile: spec.failover?.profile ?? "",
    shardOf: labels?.[LABEL_SHARD_OF] ?? "",
    desired: spec.stopped === true ? 0 : desiredOf(spec, status),
    ready: isWhole ? 0 : (status.readyMembers ?? 0),
    isInitialized: !isWhole && status.initialized === true,
    members: pods.flatMap((pod) => toMember(pod, regions) ?? []),
    windows: (spec.maintenanceWindows ?? []).map((window) => ({
      window: window.name,
      isOpen: isOpenNow(window, nowMs),
    })),
  };
}

/** A whole of shards has no members itself: the shards are clusters with states of their own. Where the number follows the load, the autoscaler's last word counts. */
function desiredOf(
  { topology, members = 0 }: NonNullable<WireCluster["spec"]>,
  { desiredMembers = members }: NonNullable<WireCluster["status"]>,
): number {
  if (topology === "Sharded") return 0;
  return topology === "Stateless" ? desiredMembers : members;
}

function toMember(
  { metadata, view }: Stored<ProjectedPod>,
  regions: ReadonlyMap<string, string>,
): MemberState | undefined {
  const member = metadata.labels?.[LABEL_MEMBER];
  if (member === undefined) return undefined;
  const { node = "", report, templateHash: revision = "" } = view;
  return { member, node, region: regions.get(node) ?? "", role: report?.role ?? "none", revision };
}

/** A window that the planner refuses is never open. */
function isOpenNow(window: MaintenanceWindow, nowMs: number): boolean {
  try {
    return isOpen(window, nowMs);
  } catch {
    return false;
  }
}
