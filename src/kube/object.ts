// Kubernetes objects as they are on the wire: plain JSON, times as strings, unknown fields kept.

/** A reference from a child to its owner, as in `metadata.ownerReferences`. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** The part of `metadata` that this program reads. Optional fields are absent in objects that are still to be created. */
export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly managedFields?: readonly unknown[];
}

/** Any object of the API server. Concrete kinds are types that add their own fields; see `Wire` for those of client-node. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** An object as the API server returned it: these fields are always there. */
export type Stored<T extends KubeObject> = T & {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
};

/**
 * The wire form of a client-node model: `Date` becomes the string that JSON carries, and the type's own
 * `apiVersion`, `kind` and `metadata` are there. Example: `Wire<V1Pod>`.
 */
export type Wire<T> = Json<T> & KubeObject;

type Json<T> = T extends Date ? string : T extends object ? { readonly [K in keyof T]: Json<T[K]> } : T;

/** A kind of object. `apiVersion` as in manifests: `v1`, `apps/v1`, `quorate.io/v1alpha1`. */
export interface KindRef {
  readonly apiVersion: string;
  readonly kind: string;
}

/** One object by name. `namespace` is left out for cluster-scoped kinds only. */
export interface ObjectRef extends KindRef {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** The reference that addresses `object`. @throws {TypeError} when it has no name: that is a bug of the caller. */
export function refOf(object: KubeObject): ObjectRef {
  const { name, namespace } = object.metadata;
  if (name === undefined || name === "") throw new TypeError(`${object.kind} without metadata.name`);
  return { apiVersion: object.apiVersion, kind: object.kind, namespace, name };
}

/** `Kind namespace/name`, for messages. */
export function describeRef(
  ref: KindRef & { readonly namespace?: string | undefined; readonly name?: string },
): string {
  const path = [ref.namespace, ref.name].filter((part) => part !== undefined).join("/");
  return path === "" ? ref.kind : `${ref.kind} ${path}`;
}

/** `namespace/name`, or `name` for cluster-scoped objects: the key of queues and stores. */
export function keyOf(object: KubeObject): string {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

/** The owner that controls `object`, if any. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

/**
 * Orders two resource versions of the same resource: negative when `a` is older, 0 when equal, positive when newer.
 *
 * Resource versions are decimal numbers of any length that grow with every write; since Kubernetes 1.35 clients may rely on that.
 * @throws {TypeError} on anything that is not such a number, because guessing an order here loses events.
 */
export function compareResourceVersions(a: string, b: string): number {
  for (const version of [a, b]) {
    if (!/^(0|[1-9][0-9]*)$/.test(version)) throw new TypeError("resourceVersion is not a decimal number");
  }
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
