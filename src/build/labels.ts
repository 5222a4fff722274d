// Labels, annotations and owners of children; those that only the operator reads are named here.
import { API_VERSION, GROUP, LABEL_CLUSTER, LABEL_MEMBER, LABEL_SHARD_OF, MANAGED_BY } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import type { Manifest, Owner } from "./manifest.ts";

/** Hash of the manifest as it was last applied; a child whose hash and live fields agree is left alone. */
export const ANNOTATION_APPLIED_HASH = `${GROUP}/applied-hash`;
/** Hash of what the user decides about a pod. A template that differs while this is equal comes from the operator or the Engine. */
export const ANNOTATION_INPUT_HASH = `${GROUP}/input-hash`;
/** On a volume: uid of the ClusterSpec whose deletion (or scaling in) takes the volume along. Absent: it is kept. */
export const ANNOTATION_DELETE_WITH = `${GROUP}/delete-with`;
/** On a ClusterSpec, by the user: hash of a template of a new operator version or Engine that may be rolled out. */
export const ANNOTATION_ACCEPT_TEMPLATE = `${GROUP}/accept-template`;
/** On a ClusterSpec, by the user: until when (RFC 3339) changes pass maintenance windows and the error budget. */
export const ANNOTATION_URGENT_UNTIL = `${GROUP}/urgent-until`;
/** On a ClusterSpec, by the user: `<template hash>.half` or `.all`, how far a canary may go on. */
export const ANNOTATION_PROMOTE = `${GROUP}/promote`;
/** On a ClusterSpec, by the user: template hash of a revision to be given up. */
export const ANNOTATION_ABORT = `${GROUP}/abort-revision`;
/** On a ClusterSpec, by the user: `<template hash>.<failures>` of a failed revision to be tried once more. */
export const ANNOTATION_RETRY = `${GROUP}/retry-revision`;
/** On a ClusterSpec, by the user: `<template hash>.<failures>` of an update that may go on although it cannot be taken back. */
export const ANNOTATION_CONSENT = `${GROUP}/consent-irreversible`;
/** On a ClusterSpec, by the user: `<template hash>.<failures>` of an update to be rolled back whatever the Engine says. */
export const ANNOTATION_FORCE_ROLLBACK = `${GROUP}/force-rollback`;
/** On a Deployment's pod template: uid of the ClusterOperation that restarted its members last. */
export const ANNOTATION_RESTART = `${GROUP}/restart`;
/** On a ClusterOperation, by `kubectl quorate`: the name under which the API server knows whoever asked for it. */
export const ANNOTATION_REQUESTED_BY = `${GROUP}/requested-by`;
/** On a ControllerRevision: what became of the revision, as JSON. */
export const ANNOTATION_REVISION_NOTE = `${GROUP}/revision-note`;
/** On a ControllerRevision of ours: its template hash. Those that StatefulSets make for themselves do not have it. */
export const LABEL_REVISION = `${GROUP}/revision`;
/** On an EndpointSlice: who writes it; controllers leave alone what is not theirs. */
export const LABEL_SLICE_MANAGER = "endpointslice.kubernetes.io/managed-by";
/** That it is us. */
export const SLICE_MANAGER = "quorate.io";
/** On a connection Secret: hash of what it was made from. */
export const ANNOTATION_CONNECTION_HASH = `${GROUP}/connection-hash`;
/** On the peer Secret, and on a connection Secret with a client's certificate: RFC 3339 end of that certificate. */
export const ANNOTATION_NOT_AFTER = `${GROUP}/not-after`;
/** On the peer Secret: which authority it is of and what comes next, as JSON. */
export const ANNOTATION_AUTHORITY = `${GROUP}/authority`;
/** On a ClusterSpec, by the user: any text, such as a date; each new one asks for another authority of the members. */
export const ANNOTATION_ROTATE_AUTHORITY = `${GROUP}/rotate-authority`;
/** On the peer Secret: the names that the certificate was made for, comma-separated. */
export const ANNOTATION_HOSTS = `${GROUP}/hosts`;

/** Labels of every child. */
export function childLabels(context: BuildContext): Record<string, string> {
  const { shard } = context.intent;
  return {
    "app.kubernetes.io/managed-by": MANAGED_BY,
    "app.kubernetes.io/instance": context.name,
    "app.kubernetes.io/name": context.engineName,
    [LABEL_CLUSTER]: context.name,
    ...(shard === undefined ? {} : { [LABEL_SHARD_OF]: shard.of }),
  };
}

/** Labels of a child that belongs to one member. */
export function memberLabels(context: BuildContext, member: string): Record<string, string> {
  return { ...childLabels(context), [LABEL_MEMBER]: member };
}

/** Labels that select the pods of all members; immutable in StatefulSets, so the engine's name is not among them. */
export function podSelector(cluster: string): Record<string, string> {
  return { "app.kubernetes.io/managed-by": MANAGED_BY, [LABEL_CLUSTER]: cluster };
}

/** Labels that select the pods of all members of all shards. */
export function shardsSelector(cluster: string): Record<string, string> {
  return { "app.kubernetes.io/managed-by": MANAGED_BY, [LABEL_SHARD_OF]: cluster };
}

/** The owner reference that lets the garbage collector take a child away together with its ClusterSpec. */
export function ownerOf(context: Pick<BuildContext, "name" | "uid">): Owner {
  return {
    apiVersion: API_VERSION,
    kind: "ClusterSpec",
    name: context.name,
    uid: context.uid,
    controller: true,
    blockOwnerDeletion: false, // a namespace or a cluster must be able to go while the operator is away
  };
}

/** What most children start with: an object of this cluster that goes with its ClusterSpec. */
export function child(
  context: BuildContext,
  kind: { readonly apiVersion: string; readonly kind: string },
  name: string,
  fields: Readonly<Record<string, unknown>>,
): Manifest {
  return {
    ...kind,
    metadata: {
      name,
      namespace: context.namespace,
      labels: childLabels(context),
      ownerReferences: [ownerOf(context)],
    },
    ...fields,
  };
}
