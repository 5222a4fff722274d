// The read side of one watched kind: what the API server has, as far as the reflector has heard.
import { RetryableError } from "../errors.ts";
import { deepFreeze } from "./deep-freeze.ts";
import { compareResourceVersions, type KubeObject, keyOf, type Stored } from "./object.ts";
import type { ReflectorEvent } from "./reflector-event.ts";

/** Label that names the cluster an object belongs to; the store is indexed by it. */
export const CLUSTER_LABEL = "quorate.io/cluster";

/** What one event did to the store. A name that was deleted and re-created gives two, by uid. */
export type Change<T extends KubeObject> =
  | { readonly type: "Added"; readonly object: Stored<T> }
  | { readonly type: "Updated"; readonly object: Stored<T>; readonly previous: Stored<T> }
  | {
      readonly type: "Deleted";
      /** The last state known; when `missed`, the deletion was not seen and this state may be an old one. */
      readonly object: Stored<T>;
      readonly missed: boolean;
    };

export interface StoreOptions {
  /** Called with what a subscriber threw. The others are called all the same, and the store goes on. */
  readonly onSubscriberError?: (error: unknown) => void;
}

/**
 * Objects of one selection, by uid. Everything it returns is shared and deeply frozen.
 *
 * Staleness: reads answer from the last event. The API server may be ahead, so absence is no proof of deletion.
 * Reads throw RetryableError `CacheNotSynced` before the first complete list, when "none" would be a lie.
 */
export class Store<T extends KubeObject> {
  readonly kind: string;
  readonly #onSubscriberError: (error: unknown) => void;
  readonly #byUid = new Map<string, Stored<T>>();
  readonly #uidByKey = new Map<string, string>();
  readonly #byCluster = new Map<string, readonly Stored<T>[]>(); // mostly of one object each, and a Set of one is five times as large
  readonly #subscribers = new Set<(change: Change<T>) => void>();
  readonly #synced = Promise.withResolvers<void>();
  #resourceVersion: string | undefined;
  #timeline = 0;

  /** @param kind - For messages. */
  constructor(kind: string, options: StoreOptions = {}) {
    this.kind = kind;
    this.#onSubscriberError = options.onSubscriberError ?? (() => undefined);
  }

  get isSynced(): boolean {
    return this.#resourceVersion !== undefined;
  }

  /** The version up to which every event has arrived; undefined before the first list. */
  get resourceVersion(): string | undefined {
    return this.#resourceVersion;
  }

  /** How often the server's state went back. Versions of different timelines must not be compared. */
  get timeline(): number {
    return this.#timeline;
  }

  /** Number of objects, also before the first list is complete. */
  get size(): number {
    return this.#byUid.size;
  }

  /** Resolves once the first complete list has arrived. */
  whenSynced(): Promise<void> {
    return this.#synced.promise;
  }

  /** The object of that name. @param namespace - undefined for cluster-scoped kinds. */
  get(namespace: string | undefined, name: string): Stored<T> | undefined {
    this.#assertSynced();
    const uid = this.#uidByKey.get(namespace === undefined ? name : `${namespace}/${name}`);
    return uid === undefined ? undefined : this.#byUid.get(uid);
  }

  getByUid(uid: string): Stored<T> | undefined {
    this.#assertSynced();
    return this.#byUid.get(uid);
  }

  /** All objects, in no set order; a copy of the list. */
  all(): readonly Stored<T>[] {
    this.#assertSynced();
    return [...this.#byUid.values()];
  }

  /** Objects in `namespace` labelled quorate.io/cluster=`cluster`, in no set order. Also finds those without an owner, such as volumes. */
  ofCluster(namespace: string, cluster: string): readonly Stored<T>[] {
    this.#assertSynced();
    return this.#byCluster.get(`${namespace}/${cluster}`) ?? [];
  }

  /**
   * Calls `subscriber` synchronously after every change, with the store already up to date. What exists now is not replayed.
   * @returns the function that ends it.
   */
  subscribe(subscriber: (change: Change<T>) => void): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Takes in one event of the reflector. Freezes the objects in it. */
  ingest(event: ReflectorEvent<T>): void {
    switch (event.type) {
      case "Replaced":
        if (event.stateMayHaveGoneBack) this.#timeline += 1;
        this.#replace(event.objects);
        break;
      case "Upserted":
        this.#upsert(event.object);
        break;
      case "Deleted":
        this.#removeNamesake(event.object, false);
        break;
      case "Progressed":
        break;
    }
    this.#resourceVersion = event.resourceVersion;
    if (event.type === "Replaced") this.#synced.resolve();
  }

  #replace(objects: readonly Stored<T>[]): void {
    const seen = new Set(objects.map((object) => object.metadata.uid));
    for (const object of [...this.#byUid.values()]) {
      if (!seen.has(object.metadata.uid)) this.#remove(object, object, true);
    }
    for (const object of objects) this.#upsert(object);
  }

  #upsert(object: Stored<T>): void {
    const { uid, resourceVersion } = object.metadata;
    const previous = this.#byUid.get(uid);
    if (previous?.metadata.resourceVersion === resourceVersion) return; // relisted, unchanged
    const namesake = this.#uidByKey.get(keyOf(object));
    if (namesake !== undefined && namesake !== uid) {
      const older = this.#byUid.get(namesake);
      if (older !== undefined) this.#remove(older, older, true); // its DELETED fell into a gap
    }
    if (previous !== undefined) this.#unindex(previous);
    const frozen = deepFreeze(object);
    this.#index(frozen);
    this.#emit(
      previous === undefined ? { type: "Added", object: frozen } : { type: "Updated", object: frozen, previous },
    );
  }

  #removeNamesake(last: Stored<T>, missed: boolean): void {
    const known = this.#byUid.get(last.metadata.uid);
    if (known !== undefined) this.#remove(known, deepFreeze(last), missed);
  }

  #remove(known: Stored<T>, last: Stored<T>, missed: boolean): void {
    this.#unindex(known);
    this.#emit({ type: "Deleted", object: last, missed });
  }

  #index(object: Stored<T>): void {
    const { uid } = object.metadata;
    this.#byUid.set(uid, object);
    this.#uidByKey.set(keyOf(object), uid);
    const cluster = clusterKeyOf(object);
    if (cluster !== undefined) this.#byCluster.set(cluster, [...(this.#byCluster.get(cluster) ?? []), object]);
  }

  #unindex(object: Stored<T>): void {
    const { uid } = object.metadata;
    this.#byUid.delete(uid);
    this.#uidByKey.delete(keyOf(object));
    const cluster = clusterKeyOf(object);
    if (cluster === undefined) return;
    const others = (this.#byCluster.get(cluster) ?? []).filter((other) => other.metadata.uid !== uid);
    if (others.length === 0) this.#byCluster.delete(cluster);
    else this.#byCluster.set(cluster, others);
  }

  #emit(change: Change<T>): void {
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(change);
      } catch (error) {
        this.#onSubscriberError(error);
      }
    }
  }

  #assertSynced(): void {
    if (this.isSynced) return;
    throw new RetryableError(`The cache of ${this.kind} is not synced yet`, { reason: "CacheNotSynced" });
  }
}

/**
 * Whether `store` has seen the write that returned `written`, or something later.
 * @param timeline - `store.timeline` when the write was sent; after the state went back the question has no answer, so: true.
 */
export function hasSeen<T extends KubeObject>(store: Store<T>, written: Stored<KubeObject>, timeline: number): boolean {
  if (store.timeline !== timeline) return true;
  const { uid, resourceVersion } = written.metadata;
  const cached = store.isSynced ? store.getByUid(uid) : undefined;
  const seen = [store.resourceVersion, cached?.metadata.resourceVersion];
  return seen.some((version) => version !== undefined && compareResourceVersions(version, resourceVersion) >= 0);
}

function clusterKeyOf(object: KubeObject): string | undefined {
  const cluster = object.metadata.labels?.[CLUSTER_LABEL];
  return cluster === undefined ? undefined : `${object.metadata.namespace ?? ""}/${cluster}`;
}
