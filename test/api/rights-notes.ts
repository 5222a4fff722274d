// One folder for each run of the suite, in which its files note what the operator asked of their API servers.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject, TestSpecification } from "vitest/node";
import { BaseSequencer } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** Folder for `noteOperator`. */
    rightsNotes: string;
  }
}

/** Makes the folder; vitest calls it once before the files of the project run. @returns what takes the folder away again. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-rights-"));
  project.provide("rightsNotes", folder);
  return () => rm(folder, { recursive: true });
}

/** Vitest's own order, but what sums up the notes of the others runs after them. */
export class SumLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isSum = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith("/test/api/rights.test.ts");
    return [...sorted.filter((file) => !isSum(file)), ...sorted.filter(isSum)];
  }
}
