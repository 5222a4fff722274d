// One folder for each run of the suite, in which its files note what the operator asked of their API servers.
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

declare module "vitest" {
  export interface ProvidedContext {
    /** Folder for `noteOperator`. */
    rightsNotes: string;
  }
}

/** Folder of this run. */
export const rightsNotes = join(tmpdir(), `quorate-rights-${process.pid}`);

/** Makes the folder; vitest calls it once before the files of the project run. @returns what takes the folder away again. */
export default async function setup(): Promise<() => Promise<void>> {
  await mkdir(rightsNotes, { recursive: true }); // two projects of one run have it together
  return () => rm(rightsNotes, { recursive: true, force: true });
}
