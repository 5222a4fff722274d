// Members that their machine ended, each counted when it is seen to happen. What had happened before the operator looked is no news.
import { LABEL_CLUSTER } from "../api/names.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { PodEnd, ProjectedPod } from "../observe/kinds.ts";
import type { AnyChange } from "../observe/stores.ts";

/** The end that a change tells of, and whose it was, as `namespace/name`; undefined when it tells of none. */
export function podEndOf({ kind, change }: AnyChange): { readonly key: string; readonly reason: PodEnd } | undefined {
  if (kind !== "Pod" || change.type !== "Updated") return undefined;
  const { metadata, measuring } = change.object as Stored<ProjectedPod>;
  const { namespace = "", labels = {} }: KubeObject["metadata"] = metadata;
  const before = (change.previous as Stored<ProjectedPod>).measuring.lastEnd;
  const { lastEnd } = measuring;
  const cluster = labels[LABEL_CLUSTER];
  if (lastEnd === undefined || cluster === undefined) return undefined;
  if (lastEnd.reason === before?.reason && lastEnd.at === before.at) return undefined;
  return { key: `${namespace}/${cluster}`, reason: lastEnd.reason };
}
