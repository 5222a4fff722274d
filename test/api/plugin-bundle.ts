// kubectl quorate as it is shipped, built once for each run of the suite.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { TestProject } from "vitest/node";
import { PROGRAMS } from "../../hack/programs.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** File of the plugin, to be run with node. */
    pluginProgram: string;
  }
}

/** Builds it; vitest calls this once before the files of the project run. @returns what takes it away again. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-plugin-"));
  const outfile = join(folder, "kubectl-quorate.mjs");
  await build({ ...PROGRAMS.get("dist/kubectl-quorate.mjs"), outfile });
  project.provide("pluginProgram", outfile);
  return () => rm(folder, { recursive: true });
}
