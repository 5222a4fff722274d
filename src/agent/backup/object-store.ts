/** Where backups are kept, as those see it who write and read them: objects under keys. */
import type { Readable } from "node:stream";
import { TerminalError } from "../../errors.ts";

/** What a store has taken: its length, and its hash in hex, for whom reads it back. */
export interface StoredBody {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Objects under keys. Keys are any Unicode text but the empty one; a `/` in them means nothing to most stores.
 *
 * Everything here asks again by itself, for about a minute, where the store is away or busy. It throws TerminalError for what the
 * store refuses, IndeterminateError where an object may be there although nobody said so, and RetryableError for the rest,
 * with reason `Aborted` when the signal ended it.
 */
export interface ObjectStore {
  /**
   * Keeps all that `body` holds under `key`, in place of what was there, in bounded memory whatever its length.
   *
   * Nothing is to be seen under `key` before the whole body has ended well: one that is destroyed or breaks, or a signal that
   * aborts, takes back what was sent. A put that fails destroys the body with its error, so that who fills it does not wait; it
   * may have kept the whole body nevertheless when the answer to its last request was lost, or the signal aborted just then.
   */
  put(key: string, body: Readable, signal: AbortSignal): Promise<StoredBody>;
  /**
   * Opens an object. A connection that breaks is made again where it ended; the stream ends only after the last byte, and
   * breaks when that cannot be had, when the object is replaced meanwhile, or when the signal aborts.
   *
   * @throws {ObjectNotFound} when there is none
   */
  get(key: string, signal: AbortSignal): Promise<Readable>;
  /** All keys that begin with `prefix`, in the store's order. */
  list(prefix: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Removes an object; one that is gone already is fine. */
  remove(key: string, signal: AbortSignal): Promise<void>;
}

/** There is no object under that key, in a bucket that exists. */
export class ObjectNotFound extends TerminalError {
  constructor(object: string, cause?: unknown) {
    super("There is no such object", { reason: "ObjectNotFound", object, cause });
  }
}
