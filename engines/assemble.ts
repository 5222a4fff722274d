/**
 * Makes engines/NAME.yaml of the folder engines/NAME: engine.yaml, with every other file of the folder in spec.files.
 * `node engines/assemble.ts postgres` writes it; the engine tests fail when it is stale.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dump, load } from "js-yaml";
import { Engine } from "../src/api/engine.ts";

/** Every parameter of the software that needs no restart, as the software lists them, a line each; a folder may have none. */
const RELOADABLE = "reloadable.txt";

/** Text of the assembled manifest of the engine in `folder`. @throws {Error} when it is no Engine. */
export function assembleEngine(folder: string): string {
  const engine = Engine.parse(load(readFileSync(join(folder, "engine.yaml"), "utf8")));
  const { fixed } = engine.spec.parameters;
  const names = readdirSync(folder).filter((name) => name !== "engine.yaml" && name !== RELOADABLE);
  const files = names.toSorted().map((name) => {
    const text = readFileSync(join(folder, name), "utf8").replace("@FIXED@", fixed.join(" "));
    return [name, text] as const;
  });
  const list = join(folder, RELOADABLE);
  const listed = existsSync(list) ? readFileSync(list, "utf8").split("\n") : [];
  const reloadable = listed.filter((name) => name !== "" && !fixed.includes(name)); // what is fixed is not the user's
  const spec = {
    ...engine.spec,
    files: Object.fromEntries(files),
    parameters: { ...engine.spec.parameters, reloadable },
  };
  const header = "# Assembled by engines/assemble.ts: change the files in the folder of the same name.\n";
  return header + dump({ ...engine, spec }, { lineWidth: -1, noRefs: true });
}

if (import.meta.main) {
  const root = fileURLToPath(new URL(".", import.meta.url));
  for (const name of process.argv.slice(2)) writeFileSync(join(root, `${name}.yaml`), assembleEngine(join(root, name)));
}
