// From kinds to URL paths. What this program uses every day is a table; anything else is asked of the server once.
import type { KindRef } from "./object.ts";

/** How a kind is addressed. */
export interface Resource {
  /** Plural name in the path. */
  readonly plural: string;
  readonly namespaced: boolean;
}

/** Reads the kinds of one group version, for `Discovery`. Returns undefined when the server does not serve it. */
export type ReadKinds = (apiVersion: string) => Promise<ReadonlyMap<string, Resource> | undefined>;

const NAMESPACED: Readonly<Record<string, string>> = {
  "v1 ConfigMap": "configmaps",
  "v1 Event": "events",
  "v1 PersistentVolumeClaim": "persistentvolumeclaims",
  "v1 Pod": "pods",
  "v1 Secret": "secrets",
  "v1 Service": "services",
  "v1 ServiceAccount": "serviceaccounts",
  "apps/v1 Deployment": "deployments",
  "apps/v1 StatefulSet": "statefulsets",
  "batch/v1 Job": "jobs",
  "coordination.k8s.io/v1 Lease": "leases",
  "discovery.k8s.io/v1 EndpointSlice": "endpointslices",
  "events.k8s.io/v1 Event": "events",
  "networking.k8s.io/v1 NetworkPolicy": "networkpolicies",
  "policy/v1 PodDisruptionBudget": "poddisruptionbudgets",
  "quorate.io/v1alpha1 ClusterBackup": "clusterbackups",
  "quorate.io/v1alpha1 ClusterOperation": "clusteroperations",
  "quorate.io/v1alpha1 ClusterSpec": "clusterspecs",
  "rbac.authorization.k8s.io/v1 Role": "roles",
  "rbac.authorization.k8s.io/v1 RoleBinding": "rolebindings",
};

const CLUSTER_SCOPED: Readonly<Record<string, string>> = {
  "v1 Namespace": "namespaces",
  "v1 Node": "nodes",
  "v1 PersistentVolume": "persistentvolumes",
  "apiextensions.k8s.io/v1 CustomResourceDefinition": "customresourcedefinitions",
  "quorate.io/v1alpha1 Engine": "engines",
  "rbac.authorization.k8s.io/v1 ClusterRole": "clusterroles",
  "rbac.authorization.k8s.io/v1 ClusterRoleBinding": "clusterrolebindings",
  "storage.k8s.io/v1 StorageClass": "storageclasses",
};

/** Answers how a kind is addressed; remembers what the server said about group versions. */
export class Discovery {
  readonly #readKinds: ReadKinds;
  readonly #known = new Map<string, ReadonlyMap<string, Resource>>();

  constructor(readKinds: ReadKinds) {
    this.#readKinds = readKinds;
  }

  /** @returns undefined when the server does not serve that kind now; asked again on the next call. */
  async find(ref: KindRef): Promise<Resource | undefined> {
    const key = `${ref.apiVersion} ${ref.kind}`;
    const namespaced = NAMESPACED[key];
    if (namespaced !== undefined) return { plural: namespaced, namespaced: true };
    const clusterScoped = CLUSTER_SCOPED[key];
    if (clusterScoped !== undefined) return { plural: clusterScoped, namespaced: false };
    const remembered = this.#known.get(ref.apiVersion)?.get(ref.kind);
    if (remembered !== undefined) return remembered;
    const kinds = await this.#readKinds(ref.apiVersion);
    if (kinds !== undefined) this.#known.set(ref.apiVersion, kinds);
    return kinds?.get(ref.kind);
  }
}

/** The path of a group version: `/api/v1`, `/apis/apps/v1`. */
export function groupVersionPath(apiVersion: string): string {
  return apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}
