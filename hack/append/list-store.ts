/** Lists kept by an engine, as an append workload uses them: one session, one transaction at a time. */
import type { Append } from "./history.ts";

/** What one transaction does: it reads, then appends. */
export interface Request {
  readonly reads: readonly string[];
  readonly appends: readonly Append[];
}

/** Nothing of a transaction happened. */
export class NotTakenError extends Error {
  override readonly name = "NotTakenError";
}

/** Nothing of a transaction happened, because of another one: the session goes on. */
export class ConflictError extends NotTakenError {}

/** A session with whoever takes writes. */
export interface ListSession {
  /**
   * @returns what each list held that was read, before the appends.
   * @throws {NotTakenError} when nothing of it happened; anything else: it may have. Only after a {@link ConflictError} the session is used
   *   again.
   */
  transact(request: Request): Promise<ReadonlyMap<string, readonly number[]>>;
  close(): void;
}

/** Opens a session. @throws while nobody takes writes. */
export type OpenSession = () => Promise<ListSession>;

/** A list as text: values with commas between them. */
export function valuesOf(text: string): number[] {
  return text === "" ? [] : text.split(",").map(Number);
}
