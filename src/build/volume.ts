// The volume of one member. It has no owner reference: no deletion of anything else may take data along by itself.
import { ANNOTATION_CLUSTER_UID, nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { ANNOTATION_DELETE_WITH, ANNOTATION_INITIALIZED, memberLabels } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { formatBytes, parseQuantity } from "./quantity.ts";

/** What must be kept of a volume that exists. */
export interface LiveVolume {
  /** uid of the ClusterSpec it was made for; says for ever whether it is fresh. */
  readonly clusterUid: string | undefined;
  readonly initialized: boolean;
  readonly requestedBytes: number;
  readonly className: string | undefined;
}

/** The PersistentVolumeClaim of one member. */
export function buildVolume(
  context: BuildContext,
  member: string,
  initialized: boolean,
  live?: LiveVolume,
): Manifest {
  const { size, className: wantedClass } = context.intent.storage.data;
  const className = live === undefined ? wantedClass : live.className; // immutable once it exists
  const sizeBytes = Math.max(parseQuantity(size), live?.requestedBytes ?? 0); // volumes never shrink
  const isFresh = live === undefined;
  const clusterUid = isFresh ? context.uid : live.clusterUid;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: nameOf.volume(member),
      namespace: context.namespace,
      labels: memberLabels(context, member),
      annotations: {
        ...(clusterUid === undefined ? {} : { [ANNOTATION_CLUSTER_UID]: clusterUid }),
        ...(initialized || live?.initialized === true ? { [ANNOTATION_INITIALIZED]: "true" } : {}),
        ...(goesWithCluster(context) ? { [ANNOTATION_DELETE_WITH]: context.uid } : {}),
      },
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      ...(className === undefined ? {} : { storageClassName: className }),
      resources: { requests: { storage: formatBytes(sizeBytes) } },
    },
  };
}

/** Whether deleting the ClusterSpec deletes its volumes. */
export function goesWithCluster(context: BuildContext): boolean {
  const { volumeRetention, deletionProtection } = context.intent;
  return volumeRetention.whenDeleted === "Delete" && !deletionProtection;
}
