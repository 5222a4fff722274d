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
const SECRETS_UNSETTLED_MS = 60_000; // or a missing Secret, though pods without one say so; a new cluster is unsettled for as long as it starts
const DENIED_MS = 1000; // members watch the Lease, and say at once that it is gone

/** What the members make of what is remembered. */
export interface MembersSay {
  /** Somebody leads, or nobody is to. */
  readonly isSettled: boolean;
  /** A member sees no Lease. */
  readonly isLeaseGone: boolean;
}

/** Whose objects are read. */
interface Cluster {
  readonly namespace: string;
  readonly name: string;
  /** Names of its connection Secrets. */
  readonly connections: readonly string[];
}

type LeaseFacts = Pick<NamedView, "hasLease" | "lastLeader">;

/** What is remembered, and since when. */
interface Known {
  readonly view: NamedView;
  readonly leaseReadMs: number;
  readonly secretsReadMs: number;
}

/** Reads and remembers. */
export class NamedObjects {
  readonly #api: Pick<KubeApi, "get">;
  readonly #known = new Map<string, Known>();

  constructor(api: Pick<KubeApi, "get">) {
    this.#api = api;
  }

  /**
   * The facts about one cluster's named objects, at most ten minutes old. While nobody leads, those of the Lease ten seconds and those of
   * the Secrets a minute; and those of the Lease one second while members see none where one is remembered.
   * @param nowMs - Monotonic.
   */
  async read(cluster: Cluster, nowMs: number, said: MembersSay, signal: AbortSignal): Promise<NamedView> {
    const key = `${cluster.namespace}/${cluster.name}`;
    const known = this.#known.get(key);
    if (known === undefined || nowMs - known.secretsReadMs >= (said.isSettled ? SETTLED_MS : SECRETS_UNSETTLED_MS)) {
      const [lease, secrets] = await Promise.all([this.#lease(cluster, signal), this.#secrets(cluster, signal)]);
      return this.#know(key, { view: { ...lease, ...secrets }, leaseReadMs: nowMs, secretsReadMs: nowMs });
    }
    if (nowMs - known.leaseReadMs < leaseMaxAgeMs(known.view, said)) return known.view;
    const lease = await this.#lease(cluster, signal);
    return this.#know(key, { ...known, view: { ...known.view, ...lease }, leaseReadMs: nowMs });
  }

  #know(key: string, known: Known): NamedView {
    this.#known.set(key, known);
    return known.view;
  }

  async #lease({ namespace, name }: Cluster, signal: AbortSignal): Promise<LeaseFacts> {
    const ref = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(name) };
    return leaseFacts(await this.#api.get(ref, { signal }));
  }

  async #secrets(
    { namespace, name, connections }: Cluster,
    signal: AbortSignal,
  ): Promise<Omit<NamedView, keyof LeaseFacts>> {
    const secret = (of: string) =>
      this.#api.get<Secret>({ apiVersion: "v1", kind: "Secret", namespace, name: of }, { signal });
    const [peer, credentials, ...found] = await Promise.all(
      [nameOf.peerSecret(name), nameOf.credentialsSecret(name), ...connections].map(secret),
    );
    return {
      ...peerFacts(peer),
      ...credentialsFacts(credentials),
      connections: new Map(
        found.flatMap((one) => (one === undefined ? [] : [[one.metadata.name, connectionFacts(one)] as const])),
      ),
    };
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

function leaseMaxAgeMs({ hasLease }: NamedView, { isSettled, isLeaseGone }: MembersSay): number {
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

function leaseFacts(lease: Stored<KubeObject> | undefined): LeaseFacts {
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
