/** What is known of each backup, and where its parts are: a record that is written last, beside the data. */
import { json } from "node:stream/consumers";
import { Readable } from "node:stream";
import * as z from "zod";
import type { ObjectStore } from "./object-store.ts";

/** What is written beside the data of a finished backup; without it there is none. */
export const BackupRecord = z.object({
  format: z.literal(1),
  /** Name of the Engine, and the version that ran. */
  engine: z.string(),
  engineVersion: z.string(),
  namespace: z.string(),
  cluster: z.string(),
  member: z.string(),
  startedAt: z.string(),
  finishedAt: z.string(),
  /** Of the data. */
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type BackupRecord = z.infer<typeof BackupRecord>;

const DATA = "data";
const RECORD = "backup.json";

/** The backups of one store, below its prefix. Paths are `namespace/cluster/backup`. */
export class Catalogue {
  readonly #store: ObjectStore;
  readonly #prefix: string;

  constructor(store: ObjectStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
  }

  /** Keeps what `body` brings; it counts as a backup once {@link finish} was called. */
  write(
    path: string,
    body: Readable,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: number; readonly sha256: string }> {
    return this.#store.put(this.#key(path, DATA), body, signal);
  }

  /** Says that the data at `path` is a whole backup. */
  async finish(path: string, record: BackupRecord, signal: AbortSignal): Promise<void> {
    const body = Readable.from([Buffer.from(`${JSON.stringify(record, null, 2)}\n`)]);
    await this.#store.put(this.#key(path, RECORD), body, signal);
  }

  /** What is known of a finished backup. @throws {Error} when there is none at `path`, or its record cannot be read. */
  async read(path: string, signal: AbortSignal): Promise<BackupRecord> {
    const parsed = BackupRecord.safeParse(await json(await this.#store.get(this.#key(path, RECORD), signal)));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new Error(
      `the record of backup ${path}, field ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`,
    );
  }

  /** The data of a backup. */
  open(path: string, signal: AbortSignal): Promise<Readable> {
    return this.#store.get(this.#key(path, DATA), signal);
  }

  /**
   * Deletes backups of `path`'s cluster that are older than the newest `keep`, and what is left of those before `path` that were
   * never finished. @returns the paths of the former.
   */
  async prune(path: string, keep: number, signal: AbortSignal): Promise<readonly string[]> {
    const cluster = path.slice(0, path.lastIndexOf("/") + 1);
    const keys = await this.#store.list(`${this.#prefix}${cluster}`, signal);
    const found = new Map<string, Set<string>>();
    for (const key of keys) {
      const [backup, part] = splitLast(key.slice(this.#prefix.length));
      found.set(backup, (found.get(backup) ?? new Set()).add(part));
    }
    const isFinished = (backup: string): boolean => found.get(backup)?.has(RECORD) === true;
    // Their names begin with the time at which they were asked for.
    const newestFirst = [...found.keys()].toSorted().toReversed();
    const dropped = newestFirst.filter(isFinished).slice(keep);
    const remains = newestFirst.filter((backup) => !isFinished(backup) && backup < path);
    for (const backup of [...dropped, ...remains])
      for (const part of [RECORD, DATA]) await this.#store.remove(this.#key(backup, part), signal);
    return dropped;
  }

  #key(path: string, part: string): string {
    return `${this.#prefix}${path}/${part}`;
  }
}

function splitLast(key: string): readonly [string, string] {
  const at = key.lastIndexOf("/");
  return [key.slice(0, at), key.slice(at + 1)];
}
