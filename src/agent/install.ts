/** Copies the runtime into the volume of a pod that starts, without holding up the databases on the same node. */
import { chmod, mkdir, open, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

const PIECE_BYTES = 4 * 2 ** 20;

/**
 * Copies a folder with all that is in it; files that are there already are written anew, because an earlier copy may have been cut
 * short.
 *
 * Each piece is on the disk before the next is written. Written at once, a hundred megabytes would all wait for the disk when some
 * database on this node commits, and its commit with them: up to a quarter of a second.
 */
export async function copyRuntime(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyRuntime(source, target);
    else if (entry.isSymbolicLink()) {
      await rm(target, { force: true });
      await symlink(await readlink(source), target);
    } else await copyFile(source, target);
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  await using source = await open(from, "r");
  await using target = await open(to, "w");
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  for (;;) {
    const { bytesRead } = await source.read(piece, 0, PIECE_BYTES);
    if (bytesRead === 0) break;
    await target.writeFile(piece.subarray(0, bytesRead));
    await target.datasync();
  }
  await chmod(to, (await source.stat()).mode & 0o777); // whatever the umask is
}
