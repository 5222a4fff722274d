/** Copies an engine's data into a store, and makes a data set of such a copy. */
import { createHash } from "node:crypto";
import { PassThrough, Transform } from "node:stream";
import type { ActionContext } from "../engine/context.ts";
import { ActionError, type EngineDriver } from "../engine/driver.ts";
import type { BackupRecord, Catalogue } from "./catalogue.ts";

/** A backup that is to be made. */
export interface BackupOrder {
  readonly path: string;
  /** Name of the Engine. */
  readonly engine: string;
  /** How many finished ones of the cluster stay; all when absent. */
  readonly keep?: number | undefined;
  readonly context: Partial<ActionContext>;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** What was kept. */
export interface BackupResult {
  readonly record: BackupRecord;
  /** Older backups that are gone, because the newest so many were to stay. */
  readonly dropped: readonly string[];
  /** Why older backups could not be deleted; the new one is whole all the same. */
  readonly pruneError?: string;
}

/**
 * Runs the Engine's backup into the store. It counts once its record was written; what is left of one that failed, the next takes away.
 *
 * @throws {ActionError} when the Engine failed or was ended.
 * @throws {Error} when the store did.
 */
export async function makeBackup(
  driver: EngineDriver,
  catalogue: Catalogue,
  order: BackupOrder,
): Promise<BackupResult> {
  const { path, engine, keep, context, nowMs, signal } = order;
  const startedAt = iso(nowMs());
  const end = new AbortController();
  const either = AbortSignal.any([signal, end.signal]);
  const output = new PassThrough();
  const keeping = catalogue.write(path, output, either);
  keeping.catch(() => end.abort());
  const [ran, kept] = await Promise.allSettled([driver.run("backup", context, either, { output }), keeping]);
  // When the engine fails its output is broken off, and when the store does the engine is ended: only one of them is the cause.
  if (ran.status === "rejected" && !isConsequence(ran.reason)) throw ran.reason;
  if (kept.status === "rejected") throw kept.reason;
  if (ran.status === "rejected") throw ran.reason;
  const base = driver.startCommand(context).env;
  const record: BackupRecord = {
    format: 1,
    engine,
    engineVersion: driver.spec.versions[0]?.version ?? "",
    namespace: base["QUORATE_NAMESPACE"] ?? "",
    cluster: base["QUORATE_CLUSTER"] ?? "",
    member: base["QUORATE_MEMBER"] ?? "",
    startedAt,
    finishedAt: iso(nowMs()),
    ...kept.value,
  };
  await catalogue.finish(path, record, signal);
  if (keep === undefined) return { record, dropped: [] };
  try {
    return { record, dropped: await catalogue.prune(path, keep, signal) };
  } catch (error) {
    return { record, dropped: [], pruneError: error instanceof Error ? error.message : String(error) };
  }
}

/** A backup that a data set is made of. */
export interface RestoreOrder {
  readonly path: string;
  /** Name of the Engine that shall take it. */
  readonly engine: string;
  readonly context: Partial<ActionContext>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a data set of a backup, in place of an empty one.
 *
 * @throws {ActionError} whatever went wrong: the store, a backup of another Engine, data that is not what was written, or the engine.
 */
export async function restoreBackup(
  driver: EngineDriver,
  open: () => Promise<Catalogue>,
  order: RestoreOrder,
): Promise<BackupRecord> {
  const { path, engine, context } = order;
  const signal = order.signal ?? new AbortController().signal;
  try {
    const catalogue = await open();
    const record = await catalogue.read(path, signal);
    if (record.engine !== engine)
      throw new Error(`the backup is of Engine ${record.engine}, and the cluster's is ${engine}: choose another`);
    const data = await catalogue.open(path, signal);
    const checked = verified(record);
    data.on("error", (error) => checked.destroy(error));
    const input = data.pipe(checked);
    const version = { QUORATE_FROM_VERSION: record.engineVersion };
    await driver.run("restore", { ...context, ...version }, signal, { input }).finally(() => data.destroy());
    return record;
  } catch (error) {
    if (error instanceof ActionError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new ActionError("restore", 1, `backup ${path}: ${why}`);
  }
}

/** Passes on what the record says was written; anything else ends in an error before its end is seen. */
function verified({ bytes, sha256 }: BackupRecord): Transform {
  const hash = createHash("sha256");
  let seen = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      seen += chunk.length;
      done(null, chunk);
    },
    flush(done) {
      const isSame = seen === bytes && hash.digest("hex") === sha256;
      done(
        isSame ? null : new Error(`the data is not what was written: ${seen} bytes of ${bytes}, or another content`),
      );
    },
  });
}

/** Ended on request, or because what it wrote could not be kept. */
function isConsequence(error: unknown): boolean {
  return error instanceof ActionError && (error.code === 125 || error.code === 126);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
