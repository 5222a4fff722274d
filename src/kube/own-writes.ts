// Read your own writes: a pass over a key waits until the caches show what the last pass wrote.
// Without it a pass decides twice from the same old state, and creates or promotes twice.
import { RetryableError } from "../errors.ts";
import type { KubeObject, Stored } from "./object.ts";
import { hasSeen, type Store } from "./store.ts";

/** One of them. Of those there are a dozen for each cluster that is made or changed, and thousands wait for a pass: what it says is made when asked for. */
interface OwnWrite {
  describe(): string;
  isSeen(): boolean;
}

const RECHECK_MS = 50; // the watch event of a write usually arrives within some milliseconds

/** Writes of this process that its caches may not show yet, by key of the queue. */
export class OwnWrites {
  readonly #byKey = new Map<string, Map<string, OwnWrite>>();

  /** Notes that a pass over `key` wrote `written`, an answer of the API server, of a kind that `store` watches. */
  wroteAt<T extends KubeObject>(key: string, store: Store<T>, written: Stored<KubeObject>): void {
    const { timeline } = store;
    const { kind, metadata } = written;
    const { uid, name, resourceVersion } = metadata;
    this.#note(key, uid, {
      describe: () => `${kind} ${name} at resourceVersion ${resourceVersion}`,
      isSeen: () => hasSeen(store, { uid, resourceVersion }, timeline), // not all of the answer: it is large, and waits for a pass
    });
  }

  /** Notes that a pass over `key` deleted `deleted`: seen once it is gone from `store` or marked as being deleted there. */
  deletedAt<T extends KubeObject>(key: string, store: Store<T>, deleted: Stored<T>): void {
    const { uid, name } = deleted.metadata;
    const { timeline } = store;
    this.#note(key, uid, {
      describe: () => `deletion of ${deleted.kind} ${name}`,
      isSeen: () => {
        const cached = store.isSynced ? store.getByUid(uid) : deleted;
        return store.timeline !== timeline || cached === undefined || cached.metadata.deletionTimestamp !== undefined;
      },
    });
  }

  /** @throws {RetryableError} `CacheBehindOwnWrites` while a cache does not show an own write for `key`. */
  ensureSeen(key: string): void {
    const writes = this.#byKey.get(key);
    if (writes === undefined) return;
    for (const [uid, write] of writes) {
      if (write.isSeen()) writes.delete(uid);
    }
    const [behind] = writes.values();
    if (behind === undefined) {
      this.#byKey.delete(key);
      return;
    }
    throw new RetryableError(`The cache does not show an own write yet: ${behind.describe()}`, {
      reason: "CacheBehindOwnWrites",
      object: key,
      retryAfterMs: RECHECK_MS,
    });
  }

  /** Drops what is noted for `key`; for keys that are gone. */
  forget(key: string): void {
    this.#byKey.delete(key);
  }

  /** Of one object the last write is enough: who sees it has seen those before. */
  #note(key: string, uid: string, write: OwnWrite): void {
    const writes = this.#byKey.get(key) ?? new Map<string, OwnWrite>();
    writes.set(uid, write);
    this.#byKey.set(key, writes);
  }
}
