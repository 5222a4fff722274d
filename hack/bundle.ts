/** Bundles programs into dist/, so that an image holds no node_modules and starts fast: those whose files are named, or all. */
import { build } from "esbuild";
import { PROGRAMS } from "./programs.ts";

const wanted = process.argv.slice(2);
for (const [out, options] of PROGRAMS) {
  if (wanted.length === 0 || wanted.some((name) => out.includes(name))) await build(options);
}
