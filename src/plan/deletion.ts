// After a ClusterSpec is gone. The garbage collector takes what it owned; volumes and passwords are the operator's to decide,
// by what the ClusterSpec said while it lived and the volumes have noted down.
import { nameOf } from "../api/names.ts";
import type { Observation } from "./observation.ts";
import type { Step } from "./plan.ts";

/** Steps that delete what the gone ClusterSpec wanted deleted with it. Everything else stays for ever. */
export function planDeletion(seen: Observation): readonly Step[] {
  if (seen.stateMayHaveGoneBack) return [];
  const members = seen.members.toSorted((a, b) => a.ordinal - b.ordinal);
  const kept = members.filter((m) => m.volume !== undefined && m.volume.deleteWith === undefined);
  const doomed = members.filter((m) => m.volume?.deleteWith !== undefined);
  const reason = "its ClusterSpec was deleted with volumeRetention.whenDeleted Delete";
  const { namespace } = seen;
  const steps = doomed.flatMap<Step>(({ pod, volume }) => {
    if (volume === undefined || volume.deleting || pod !== undefined) return [];
    const claim = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name: volume.name, uid: volume.uid };
    return [{ kind: "Delete", object: claim, reason }];
  });
  // Whoever keeps a volume keeps the passwords that open it.
  const uid = seen.named.credentialsUid;
  if (doomed.length === 0 || kept.length > 0 || uid === undefined) return steps;
  const secret = { apiVersion: "v1", kind: "Secret", namespace, name: nameOf.credentialsSecret(seen.name), uid };
  return [...steps, { kind: "Delete", object: secret, reason }];
}
