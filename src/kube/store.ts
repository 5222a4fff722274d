// The read side of one watched kind: what the API server has, as far as the reflector has heard.
import { RetryableError } from "../errors.ts";
import { deepFreeze } from "./deep-freeze.ts";
import { compareResourceVersions, type KubeObject, type Stored } from "./object.ts";
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
  // By namespace and then by name: keys that join both would be texts of their own for each of ten thousand objects.
  readonly #byName = new Map<string, Map<string, Stored<T>>>();
  readonly #byCluster = new Map<string, Map<string, OneOrMore<T>>>();
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
    return this.#byName.get(namespace ?? "")?.get(name);
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
    return toList(this.#byCluster.get(namespace)?.get(cluster));
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
    const namesake = this.#byName.get(namespaceOf(object))?.get(object.metadata.name);
    // Its DELETED fell into a gap.
    if (namesake !== undefined && namesake.metadata.uid !== uid) this.#remove(namesake, namesake, true);
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
    const { uid, name } = object.metadata;
    const namespace = namespaceOf(object);
    this.#byUid.set(uid, object);
    inner(this.#byName, namespace).set(name, object);
    const cluster = clusterOf(object);
    if (cluster === undefined) return;
    const others = inner(this.#byCluster, namespace);
    others.set(cluster, toKept([...toList(others.get(cluster)), object]));
  }

  #unindex(object: Stored<T>): void {
    const { uid, name } = object.metadata;
    const namespace = namespaceOf(object);
    this.#byUid.delete(uid);
    drop(this.#byName, namespace, name);
    const cluster = clusterOf(object);
    if (cluster === undefined) return;
    const others = toList(this.#byCluster.get(namespace)?.get(cluster)).filter((other) => other.metadata.uid !== uid);
    if (others.length === 0) drop(this.#byCluster, namespace, cluster);
    else inner(this.#byCluster, namespace).set(cluster, toKept(others));
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
 * Whether `store` has seen the write that returned this version of an object, or something later.
 * @param timeline - `store.timeline` when the write was sent; after the state went back the question has no answer, so: true.
 */
export function hasSeen<T extends KubeObject>(
  store: Store<T>,
  { uid, resourceVersion }: Pick<Stored<KubeObject>["metadata"], "uid" | "resourceVersion">,
  timeline: number,
): boolean {
  if (store.timeline !== timeline) return true;
  const cached = store.isSynced ? store.getByUid(uid) : undefined;
  const seen = [store.resourceVersion, cached?.metadata.resourceVersion];
  return seen.some((version) => version !== undefined && compareResourceVersions(version, resourceVersion) >= 0);
}

/** Objects of one cluster: mostly one, which then needs no list around it. */
type OneOrMore<T extends KubeObject> = Stored<T> | readonly Stored<T>[];

function toList<T extends KubeObject>(kept: OneOrMore<T> | undefined): readonly Stored<T>[] {
  if (kept === undefined) return [];
  return isList(kept) ? kept : [kept];
}

function toKept<T extends KubeObject>(objects: readonly Stored<T>[]): OneOrMore<T> {
  const [only] = objects;
  return only !== undefined && objects.length === 1 ? only : [...objects];
}

function isList<T extends KubeObject>(kept: OneOrMore<T>): kept is readonly Stored<T>[] {
  return Array.isArray(kept);
}

function inner<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const known = map.get(key) ?? new Map<string, V>();
  if (known.size === 0) map.set(key, known);
  return known;
}

function drop<V>(map: Map<string, Map<string, V>>, key: string, name: string): void {
  const known = map.get(key);
  known?.delete(name);
  if (known?.size === 0) map.delete(key);
}

function namespaceOf(object: KubeObject): string {
  return object.metadata.namespace ?? "";
}

function clusterOf(object: KubeObject): string | undefined {
  return object.metadata.labels?.[CLUSTER_LABEL];
}
