// Who asked for what: a line of the log for every change of what quorate follows. The API server's own audit log is the proof; this
// one stands where people look first.
import { GROUP } from "../api/names.ts";
import { ANNOTATION_REQUESTED_BY } from "../build/labels.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { ProjectedRequest } from "../observe/kinds.ts";
import type { AnyChange } from "../observe/stores.ts";

/** What people ask with. */
const ASKED_WITH: readonly string[] = ["ClusterSpec", "ClusterOperation", "Engine"];

/** Fields of an audit line; values of annotations are not among them. */
export interface AuditLine {
  readonly audit: "created" | "changed" | "annotated" | "deleted";
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly cluster?: string;
  readonly generation?: number;
  /** The field manager that wrote last: the program. Of a deletion nobody is told. */
  readonly manager?: string;
  /** The person, as kubectl quorate has named them on an operation. */
  readonly requestedBy?: string;
  /** Names of our annotations that were set, changed or taken away. */
  readonly annotations?: readonly string[];
}

/** The line about a change; undefined when nobody asked for anything. @param sinceMs - What was created before is no news. */
export function auditOf({ kind, change }: AnyChange, sinceMs: number): AuditLine | undefined {
  if (!ASKED_WITH.includes(kind)) return undefined;
  const object = change.object as Stored<ProjectedRequest>;
  if (change.type === "Deleted") return { audit: "deleted", ...subjectOf(object) };
  const line = { ...subjectOf(object), ...writerOf(object) };
  if (change.type === "Added") {
    return Date.parse(object.metadata.creationTimestamp ?? "") >= sinceMs ? { audit: "created", ...line } : undefined;
  }
  const { previous } = change;
  if (previous.metadata.generation !== object.metadata.generation) return { audit: "changed", ...line };
  const annotations = changedAnnotations(previous, object);
  return annotations.length === 0 ? undefined : { audit: "annotated", ...line, annotations };
}

function subjectOf({ kind, metadata, ...rest }: Stored<KubeObject>): Omit<AuditLine, "audit"> {
  const { name, namespace, generation } = metadata;
  const { spec } = rest as { readonly spec?: { readonly clusterName?: string } };
  const cluster = kind === "ClusterSpec" ? name : spec?.clusterName;
  return {
    kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(cluster === undefined ? {} : { cluster }),
    ...(generation === undefined ? {} : { generation }),
  };
}

function writerOf({ metadata, changedBy }: Stored<ProjectedRequest>): Pick<AuditLine, "manager" | "requestedBy"> {
  const requestedBy = metadata.annotations?.[ANNOTATION_REQUESTED_BY];
  return {
    ...(changedBy === undefined ? {} : { manager: changedBy }),
    ...(requestedBy === undefined ? {} : { requestedBy }),
  };
}

function changedAnnotations(before: Stored<KubeObject>, after: Stored<KubeObject>): string[] {
  const [old = {}, now = {}] = [before.metadata.annotations, after.metadata.annotations];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  return names.filter((name) => name.startsWith(`${GROUP}/`) && old[name] !== now[name]).toSorted();
}
