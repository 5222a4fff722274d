// The Lease and the Secrets of a cluster: read live by name, remembered for a while as facts (there or not, which keys,
// valid until when), never as contents.
import { ANNOTATION_LEADER, nameOf } from "../api/names.ts";
import { readAuthorityNote } from "../build/certificate.ts";
import type { LiveConnection } from "../build/connection.ts";
import { ANNOTATION_CONNECTION_HASH, ANNOTATION_HOSTS, ANNOTATION_NOT_AFTER } from "../build/labels.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { NamedView } from "../plan/observation.ts";

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const SETTLED_MS = 600_000; // nobody deletes these in passing; ten minutes is soon enough to repair a mistake
const UNSETTLED_MS = 10_000; // while nobody leads, a missing Lease may be why
const DENIED_MS = 1000; // members watch the Lease, and say at once that it is gone

/** What the members make of what is remembered. */
export interface MembersSay {
  /** Somebody leads, or nobody is to. */
  readonly isSettled: boolean;
  /** A member sees no Lease. */
  readonly isLeaseGone: boolean;
}

/** Reads and remembers. */
export class NamedObjects {
  readonly #api: Pick<KubeApi, "get">;
  readonly #known = new Map<string, { readonly view: NamedView; readonly readMs: number }>();

  constructor(api: Pick<KubeApi, "get">) {
    this.#api = api;
  }

  /**
   * The facts about one cluster's named objects, at most ten minutes old; ten seconds while nobody leads, and one while members see no
   * Lease where one is remembered.
   * @param nowMs - Monotonic.
   */
  async read(
    cluster: { readonly namespace: string; readonly name: string; readonly connections: readonly string[] },
    nowMs: number,
    said: MembersSay,
    signal: AbortSignal,
  ): Promise<NamedView> {
    const key = `${cluster.namespace}/${cluster.name}`;
    const known = this.#known.get(key);
    if (known !== undefined && nowMs - known.readMs < maxAgeMs(known.view, said)) return known.view;
    const { namespace, name } = cluster;
    const secret = (of: string) =>
      this.#api.get<Secret>({ apiVersion: "v1", kind: "Secret", namespace, name: of }, { signal });
    const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(name) };
    const [found, peer, credentials, ...connections] = await Promise.all([
      this.#api.get(lease, { signal }),
      secret(nameOf.peerSecret(name)),
      secret(nameOf.credentialsSecret(name)),
      ...cluster.connections.map(secret),
    ]);
    const view: NamedView = {
      ...leaseFacts(found),
      ...peerFacts(peer),
      ...credentialsFacts(credentials),
      connections: new Map(
        connections.flatMap((one) => (one === undefined ? [] : [[one.metadata.name, connectionFacts(one)] as const])),
      ),
    };
    this.#known.set(key, { view, readMs: nowMs });
    return view;
  }

  /** Takes in one of the objects as a write left it, so that it need not be read again. @param key - `namespace/name`. */
  wrote(key: string, object: Stored<KubeObject>): void {
    const known = this.#known.get(key);
    const [, cluster = ""] = key.split("/");
    if (known !== undefined) this.#known.set(key, { ...known, view: withObject(known.view, cluster, object) });
  }

  /** Forgets a cluster's facts: after a write without an answer, or when the cluster is gone. */
  forget(key: string): void {
    this.#known.delete(key);
  }
}

function maxAgeMs({ hasLease }: NamedView, { isSettled, isLeaseGone }: MembersSay): number {
  if (isLeaseGone && hasLease) return DENIED_MS;
  return isSettled ? SETTLED_MS : UNSETTLED_MS;
}

function withObject(view: NamedView, cluster: string, object: Stored<KubeObject>): NamedView {
  const { name } = object.metadata;
  if (object.kind === "Lease") return { ...view, ...leaseFacts(object) };
  if (name === nameOf.peerSecret(cluster)) return { ...view, ...peerFacts(object) };
  if (name === nameOf.credentialsSecret(cluster)) return { ...view, ...credentialsFacts(object) };
  return { ...view, connections: new Map(view.connections).set(name, connectionFacts(object)) };
}

function leaseFacts(lease: Stored<KubeObject> | undefined): Pick<NamedView, "hasLease" | "lastLeader"> {
  return { hasLease: lease !== undefined, lastLeader: annotationOf(lease, ANNOTATION_LEADER) };
}

function peerFacts(
  peer: Stored<KubeObject> | undefined,
): Pick<NamedView, "peerNotAfterMs" | "peerHosts" | "peerVersion" | "authority"> {
  return {
    peerNotAfterMs: endOf(peer),
    peerHosts: annotationOf(peer, ANNOTATION_HOSTS) ?? "",
    peerVersion: peer?.metadata.resourceVersion ?? "",
    authority: readAuthorityNote(peer?.metadata.annotations),
  };
}

function credentialsFacts(
  secret: Stored<Secret> | undefined,
): Pick<NamedView, "credentialsUid" | "credentialKeys" | "credentialsVersion"> {
  return {
    credentialsUid: secret?.metadata.uid,
    credentialKeys: Object.keys(secret?.data ?? {}),
    credentialsVersion: secret?.metadata.resourceVersion ?? "",
  };
}

function connectionFacts(secret: Stored<KubeObject>): LiveConnection {
  const notAfterMs = endOf(secret);
  const hash = annotationOf(secret, ANNOTATION_CONNECTION_HASH) ?? "";
  return { hash, ...(notAfterMs === undefined ? {} : { notAfterMs }) };
}

/** When the certificate in a Secret ends, epoch milliseconds; undefined when it has none. */
function endOf(secret: Stored<KubeObject> | undefined): number | undefined {
  const ms = Date.parse(annotationOf(secret, ANNOTATION_NOT_AFTER) ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

function annotationOf(object: Stored<KubeObject> | undefined, annotation: string): string | undefined {
  return object?.metadata.annotations?.[annotation];
}
