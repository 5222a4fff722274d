/**
 * Bundles programs into dist/, so that an image holds no node_modules and starts fast: those whose files are named, or all. Beside them,
 * in dist/parts, is written what each was made of. What is no module, which is the agent's other form, becomes a snapshot.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";
import { PROGRAMS } from "./programs.ts";
import { makeSnapshot } from "./snapshot.ts";

const wanted = process.argv.slice(2);
for (const [out, options] of PROGRAMS) {
  if (wanted.length > 0 && !wanted.some((name) => out.includes(name))) continue;
  const { metafile } = await build({ ...options, metafile: true });
  const parts = join(dirname(out), "parts");
  await mkdir(parts, { recursive: true });
  await writeFile(join(parts, `${basename(out)}.json`), JSON.stringify(metafile));
  if (options.format === "cjs") makeSnapshot(out);
}
