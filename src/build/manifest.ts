// The JSON that build/ makes: what is sent to the API server, byte for byte.

/** The reference from a child to the ClusterSpec that controls it. */
export interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller: boolean;
  readonly blockOwnerDeletion: boolean;
}

/** Metadata of an object to be written. `resourceVersion` makes the write conditional. */
export interface ManifestMeta {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly Owner[];
  readonly resourceVersion?: string;
}

/** A whole desired object. Quantities are in the API server's canonical form, so that what is stored equals what was sent. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMeta;
  readonly [field: string]: unknown;
}

/** `Kind/name`, the key of an object among the children of one cluster. */
export function childKey(kind: string, name: string): string {
  return `${kind}/${name}`;
}
