/**
 * What images take from the distribution, held against what was looked at when it was pinned: base.sha256, in the form of `sha256sum`. The
 * distribution keeps only its newest files, so a pin cannot fetch an old one; it can keep a new one from being shipped unseen.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256Of } from "./archive.ts";

const PINS = join(import.meta.dirname, "base.sha256");
const LIBRARIES = "opt/quorate/lib";

/**
 * Compares the libraries of an image's files with the pinned ones.
 *
 * @param root - Folder of the image's files.
 * @throws when one differs, is missing or was not pinned, with its name and what to do.
 */
export async function checkBase(root: string): Promise<void> {
  const pinned = await readFile(PINS, "utf8");
  const names = (await readdir(join(root, LIBRARIES))).toSorted();
  const lines = await Promise.all(
    names.map(async (name) => `${await sha256Of(join(root, LIBRARIES, name))}  ${LIBRARIES}/${name}`),
  );
  const expected = pinned.trimEnd().split("\n");
  const different = [
    ...lines.filter((line) => !expected.includes(line)),
    ...expected.filter((line) => !lines.includes(line)),
  ];
  if (different.length === 0) return;
  const files = [...new Set(different.map((line) => line.split("  ")[1]))].join(", ");
  throw new Error(
    `the distribution's ${files} of the images are not those in hack/release/base.sha256: read what it changed, then pin them with make pin-base`,
  );
}
