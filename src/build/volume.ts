// The volume of one member. It has no owner reference: no deletion of anything else may take data along by itself.
import { ANNOTATION_CLUSTER_UID, nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { ANNOTATION_DELETE_WITH, memberLabels } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { formatBytes, parseQuantity } from "./quantity.ts";

/** What must be kept of a volume that exists. */
export interface LiveVolume {
  /** uid of the ClusterSpec it was made for; says for ever whether it is fresh. */
  readonly clusterUid: string | undefined;
  readonly requestedBytes: number;
  readonly className: string | undefined;
}

/**
 * The claim as it is created: it says once and for all whom it is made for. What may change later is left to
 * `buildVolume`, because fields set by a create cannot be taken back by an apply.
 */
export function buildFreshVolume(context: BuildContext, member: string): Manifest {
  const { size, className } = context.intent.storage.data;
  return claim(context, member, {
    annotations: { [ANNOTATION_CLUSTER_UID]: context.uid },
    className,
    sizeBytes: parseQuantity(size),
  });
}

/** The claim of one member that exists, as it is to be kept. @param sizeBytes - What it shall ask for; never less than it does. */
export function buildVolume(context: BuildContext, member: string, live: LiveVolume, sizeBytes: number): Manifest {
  return claim(context, member, {
    annotations: {
      // A volume of an earlier cluster keeps saying so.
      ...(live.clusterUid === undefined ? {} : { [ANNOTATION_CLUSTER_UID]: live.clusterUid }),
      ...(goesWithCluster(context) ? { [ANNOTATION_DELETE_WITH]: context.uid } : {}),
    },
    className: live.className, // immutable
    sizeBytes: Math.max(sizeBytes, live.requestedBytes), // volumes never shrink
  });
}

interface ClaimFields {
  readonly annotations: Record<string, string>;
  readonly className: string | undefined;
  readonly sizeBytes: number;
}

function claim(context: BuildContext, member: string, fields: ClaimFields): Manifest {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: nameOf.volume(member),
      namespace: context.namespace,
      labels: memberLabels(context, member),
      annotations: fields.annotations,
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      ...(fields.className === undefined ? {} : { storageClassName: fields.className }),
      resources: { requests: { storage: formatBytes(fields.sizeBytes) } },
    },
  };
}

/** Whether deleting the ClusterSpec deletes its volumes. */
export function goesWithCluster(context: BuildContext): boolean {
  const { volumeRetention, deletionProtection } = context.intent;
  return volumeRetention.whenDeleted === "Delete" && !deletionProtection;
}
