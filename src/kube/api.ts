// What the rest of the program may ask of an API server. `client.ts` implements it; tests of other folders may do so too.
import type { KindRef, KubeObject, ObjectRef, Stored } from "./object.ts";

/** Options of every call. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Deadline of the whole call with all its retries, default 30,000. */
  readonly timeoutMs?: number;
  /** How often an idempotent call is sent again after 429, 503 or a broken connection, default 3. Lease traffic uses 0. */
  readonly maxRetries?: number;
}

/** Part of an object with its own endpoint. */
export type Subresource = "status" | "scale" | "eviction" | "token";

/** Options of writes. `dryRun` validates and returns what would be stored, without storing it. */
export interface WriteOptions extends CallOptions {
  readonly subresource?: Subresource;
  readonly dryRun?: boolean;
}

/** Options of server-side apply. */
export interface ApplyOptions extends WriteOptions {
  /** Who owns the fields that are sent. Spec and status of one object need two different managers. */
  readonly fieldManager: string;
  /** Takes over fields owned by others instead of failing with a conflict, default false. */
  readonly force?: boolean;
}

/** Options of delete. */
export interface DeleteOptions extends CallOptions {
  /** Delete only this incarnation; another uid under the same name is a conflict. */
  readonly uid?: string;
  /** Delete only this version; a newer one is a conflict. */
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly dryRun?: boolean;
}

/** `Deleted`: gone. `Deleting`: accepted, finalizers or a grace period are still running. `Absent`: there was none. */
export type DeleteResult = "Deleted" | "Deleting" | "Absent";

/** Objects of one kind: in one namespace or (without one) in all, narrowed by selectors. `name` selects a single object. */
export interface Selection extends KindRef {
  readonly namespace?: string | undefined;
  readonly name?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** Options of list: one page at a time, at the latest state unless a page is continued. */
export interface ListOptions extends CallOptions {
  readonly limit?: number;
  readonly continue?: string;
}

/** One page. `items` carry apiVersion and kind, also where the server leaves them out. */
export interface ObjectList<T extends KubeObject> {
  readonly items: Stored<T>[];
  readonly resourceVersion: string;
  /** Token of the next page, absent on the last. */
  readonly continue?: string;
}

/** Options of watch. */
export interface WatchOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long the server may take to accept the watch, default 30,000. The stream itself has no deadline. */
  readonly timeoutMs?: number;
  /** Start after this version; without it the server first sends what exists. */
  readonly resourceVersion?: string;
  /** Ask for all existing objects as a stream that ends with a bookmark marked as the end of initial events. */
  readonly sendInitialEvents?: boolean;
  /** When the server should end the watch by itself. */
  readonly timeoutSeconds?: number;
}

/** One line of a watch. ERROR lines never appear here: they are thrown. */
export type WatchEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: Stored<T> }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string; readonly initialEventsEnd: boolean };

/**
 * Calls to one API server. Objects are raw JSON in both directions: a field this program does not know is neither dropped nor changed.
 *
 * Errors of every call: RetryableError (unreachable, 401, 403, 404, 409, 410, 429, 5xx of a read), TerminalError (400, 405, 413, 415, 422),
 * IndeterminateError (a write that was sent and not answered, or answered with 5xx). `isConflict`, `isNotFound`, `isGone` tell them apart.
 */
export interface KubeApi {
  /** Reads one object, not from a cache. @returns undefined when there is none. */
  get<T extends KubeObject>(ref: ObjectRef, options?: CallOptions): Promise<Stored<T> | undefined>;
  /** Reads one page; `listAll` in list.ts follows the pages. */
  list<T extends KubeObject>(selection: Selection, options?: ListOptions): Promise<ObjectList<T>>;
  /** POST. An object of that name is a conflict with reason AlreadyExists. Never retried. */
  create<T extends KubeObject>(object: T, options?: WriteOptions): Promise<Stored<T>>;
  /** PUT of the whole object. @throws {TypeError} without metadata.resourceVersion: an unconditional PUT overwrites what was not seen. */
  update<T extends KubeObject>(object: T, options?: WriteOptions): Promise<Stored<T>>;
  /** Server-side apply of exactly this JSON: creates the object or takes over the fields it names; a field left out is given up. */
  apply<T extends KubeObject>(desired: T, options: ApplyOptions): Promise<Stored<T>>;
  /** JSON merge patch (RFC 7396). Put metadata.resourceVersion or metadata.uid into `patch` to make it conditional. */
  mergePatch<T extends KubeObject>(ref: ObjectRef, patch: object, options?: WriteOptions): Promise<Stored<T>>;
  /** DELETE with preconditions. That there was nothing to delete is a result, not an error. */
  delete(ref: ObjectRef, options?: DeleteOptions): Promise<DeleteResult>;
  /**
   * One watch connection, as a stream that ends when the server closes it cleanly.
   * @throws what the call throws, and RetryableError `WatchBroken` on a broken connection or a line that is no event.
   */
  watch<T extends KubeObject>(selection: Selection, options?: WatchOptions): AsyncGenerator<WatchEvent<T>, void, void>;
}
