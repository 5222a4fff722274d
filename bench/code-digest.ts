/** Which code a figure is of, where a commit would say too much: it changes with every page and every other test. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const IMPORT = /\bfrom "(\.{1,2}\/[^"]+\.ts)"/g;

/** Digest of a source file and of all that it imports from this repository: equal while none of them has changed. */
export async function codeDigest(entry: string): Promise<string> {
  const texts = new Map<string, string>();
  const read = async (file: string): Promise<void> => {
    if (texts.has(file)) return;
    texts.set(file, "");
    const text = await readFile(file, "utf8");
    texts.set(file, text);
    for (const [, path = ""] of text.matchAll(IMPORT)) await read(join(dirname(file), path));
  };
  await read(join(ROOT, entry));
  const hash = createHash("sha256");
  for (const [file, text] of [...texts].toSorted(([a], [b]) => a.localeCompare(b))) {
    hash.update(`${relative(ROOT, file)}\n${text.length}\n${text}`);
  }
  return hash.digest("hex").slice(0, 12);
}
