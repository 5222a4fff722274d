// Where on the API server a request goes: the path of a kind, an object or a subresource, and the query of a selection.
import type { Selection } from "./api.ts";
import { groupVersionPath, type Resource } from "./discovery.ts";
import type { KindRef } from "./object.ts";

/** What is POSTed to a subresource has a kind of its own; its path is that of the object it belongs to. */
export const SUBRESOURCE_PARENTS: Readonly<Record<string, KindRef>> = {
  eviction: { apiVersion: "v1", kind: "Pod" },
  token: { apiVersion: "v1", kind: "ServiceAccount" },
};

/** The kind alone of what may have more fields. */
export function kindOf({ apiVersion, kind }: KindRef): KindRef {
  return { apiVersion, kind };
}

/** Path of all objects of a kind, in one namespace where `ref` names one and the kind has them. */
export function pathOf(ref: KindRef & { readonly namespace?: string | undefined }, resource: Resource): string {
  const base = groupVersionPath(ref.apiVersion);
  const inNamespace = resource.namespaced && ref.namespace !== undefined;
  return inNamespace
    ? `${base}/namespaces/${encodeURIComponent(ref.namespace)}/${resource.plural}`
    : `${base}/${resource.plural}`;
}

/** The selectors of a list or watch; a name is the field selector for it. */
export function selectionQuery(selection: Selection): URLSearchParams {
  const query = new URLSearchParams();
  const byName = selection.name === undefined ? undefined : `metadata.name=${selection.name}`;
  const fields = [byName, selection.fieldSelector].filter((selector) => selector !== undefined).join(",");
  if (fields !== "") query.set("fieldSelector", fields);
  if (selection.labelSelector !== undefined) query.set("labelSelector", selection.labelSelector);
  return query;
}

/** `path` with a query added to what it may have already. */
export function withQuery(path: string, query: URLSearchParams): string {
  if (query.size === 0) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${query.toString()}`;
}
