/** Archives whose bytes depend on nothing but what is in them. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Owner, time and order say nothing of where and when it was packed. */
const REPRODUCIBLE = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--format=gnu"];

/**
 * Packs what is in a folder into a .tar.gz; links are followed, and everybody may read and run what the owner may.
 * @param part - Of the folder; names in the archive begin with it, and with `./` when it is the whole.
 */
export async function packFolder(folder: string, file: string, part = "."): Promise<void> {
  const mode = ["--mode=u=rwX,go=rX", "--dereference", "--hard-dereference"];
  await run("tar", ["-C", folder, ...REPRODUCIBLE, ...mode, "--use-compress-program=gzip -n", "-cf", file, part]);
}

/** Packs what `fill` puts into the folder that it is given; the folder is gone afterwards. */
export async function packNew(file: string, fill: (folder: string) => Promise<void>, part?: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-release-"));
  try {
    await fill(folder);
    await packFolder(folder, file, part);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The SHA-256 of a file, in hexadecimal. */
export async function sha256Of(file: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
}
