// The Lease and the Secrets of a cluster: read live by name, remembered for a while as facts (there or not, which keys,
// valid until when), never as contents.
import { ANNOTATION_LEADER, nameOf } from "../api/names.ts";
import { ANNOTATION_CONNECTION_HASH, ANNOTATION_NOT_AFTER } from "../build/labels.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject } from "../kube/object.ts";
import type { NamedView } from "../plan/observation.ts";

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const SETTLED_MS = 600_000; // nobody deletes these in passing; ten minutes is soon enough to repair a mistake
const UNSETTLED_MS = 10_000; // while nobody leads, a missing Lease may be why

/** Reads and remembers. */
export class NamedObjects {
  readonly #api: Pick<KubeApi, "get">;
  readonly #known = new Map<string, { readonly view: NamedView; readonly readMs: number }>();

  constructor(api: Pick<KubeApi, "get">) {
    this.#api = api;
  }

  /**
   * The facts about one cluster's named objects, at most ten minutes old, or ten seconds while `isSettled` is false.
   * @param nowMs - Monotonic.
   */
  async read(
    cluster: { readonly namespace: string; readonly name: string; readonly connections: readonly string[] },
    nowMs: number,
    isSettled: boolean,
    signal: AbortSignal,
  ): Promise<NamedView> {
    const key = `${cluster.namespace}/${cluster.name}`;
    const known = this.#known.get(key);
    if (known !== undefined && nowMs - known.readMs < (isSettled ? SETTLED_MS : UNSETTLED_MS)) return known.view;
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
    const notAfter = Date.parse(peer?.metadata.annotations?.[ANNOTATION_NOT_AFTER] ?? "");
    const view: NamedView = {
      hasLease: found !== undefined,
      lastLeader: found?.metadata.annotations?.[ANNOTATION_LEADER],
      peerNotAfterMs: Number.isNaN(notAfter) ? undefined : notAfter,
      credentialsUid: credentials?.metadata.uid,
      credentialKeys: Object.keys(credentials?.data ?? {}),
      credentialsVersion: credentials?.metadata.resourceVersion ?? "",
      connections: new Map(
        connections.flatMap((one) =>
          one === undefined
            ? []
            : [[one.metadata.name, one.metadata.annotations?.[ANNOTATION_CONNECTION_HASH] ?? ""] as const],
        ),
      ),
    };
    this.#known.set(key, { view, readMs: nowMs });
    return view;
  }

  /** Forgets a cluster's facts: after writing one of the objects, or when the cluster is gone. */
  forget(key: string): void {
    this.#known.delete(key);
  }
}
