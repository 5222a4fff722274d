/** Copies the runtime into the volume of a pod that starts, without holding up the databases on the same node. */
import { chmod, mkdir, open, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

const PIECE_BYTES = 4 * 2 ** 20;

/**
 * How much is written at once. Linux keeps what comes in one write in memory in one piece, and from 6.18 on maps it whole for a process
 * that touches any page of it: with writes of 4 MiB an agent had 26 MiB of Node more in its memory than it uses.
 */
const WRITE_BYTES = 64 * 2 ** 10;

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
    for (let at = 0; at < bytesRead; )
      at += (await target.write(piece, at, Math.min(WRITE_BYTES, bytesRead - at))).bytesWritten;
    await target.datasync();
  }
  await chmod(to, (await source.stat()).mode & 0o777); // whatever the umask is
}
