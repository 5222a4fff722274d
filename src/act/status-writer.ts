// The one place that writes the status of a ClusterSpec.
import type { ClusterStatus } from "../api/cluster-status.ts";
import { API_VERSION } from "../api/names.ts";
import { canonicalJson } from "../build/hash.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { ClusterView } from "../plan/observation.ts";
import { STATUS_FIELD_MANAGER } from "./field-manager.ts";

interface WithStatus extends KubeObject {
  readonly status: ClusterStatus;
}

/**
 * Writes `status` unless it is what the cluster has already.
 *
 * @returns the object as stored, or undefined when nothing was written.
 */
export async function writeStatus(
  api: Pick<KubeApi, "apply">,
  cluster: ClusterView,
  status: ClusterStatus,
  signal: AbortSignal,
): Promise<Stored<KubeObject> | undefined> {
  if (canonicalJson(status) === canonicalJson(cluster.status)) return undefined;
  const { namespace, name, uid } = cluster;
  const object: WithStatus = {
    apiVersion: API_VERSION,
    kind: "ClusterSpec",
    metadata: { namespace, name, uid }, // a namesake made meanwhile must not get it
    status,
  };
  return api.apply(object, { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: "status", signal });
}
