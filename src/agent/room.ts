/** Notices a volume on which nothing can be written any more: what engines say of that differs, and is mostly in a log that ended. */
import { statfs } from "node:fs/promises";

/** Less than this is no room: the next piece of a log may not fit. Of a small volume, a twentieth. */
const LEAST_FREE_BYTES = 64 << 20;
const LEAST_FREE_SHARE = 1 / 20;

/** What there is to write on. */
export interface Space {
  readonly sizeBytes: number;
  readonly freeBytes: number;
}

/** The space of the file system that a folder lies on; undefined where there is none yet. */
export async function spaceOf(folder: string): Promise<Space | undefined> {
  try {
    const { blocks, bavail, bsize } = await statfs(folder);
    return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
  } catch {
    return undefined; // not mounted yet
  }
}

/**
 * Whether there is no room left. What was full has to have twice as much free as would make it so: what an engine gives back for a
 * moment is no news.
 */
export function hasNoRoom({ sizeBytes, freeBytes }: Space, wasFull: boolean): boolean {
  const least = Math.min(LEAST_FREE_BYTES, sizeBytes * LEAST_FREE_SHARE);
  return freeBytes < (wasFull ? 2 * least : least);
}

/** What people are told of it. */
export const VOLUME_FULL = {
  reason: "VolumeFull",
  message: "There is no room left on the volume: make spec.storage.data.size larger",
} as const;
