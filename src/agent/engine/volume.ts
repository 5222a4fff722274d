/** What the member's volume holds, told by a marker file that stands while a copy is being made. */
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { VolumeState } from "../protocol/types.ts";

/** Knows whether the data folder is empty, complete, or the remains of a copy that did not finish. */
export class Volume {
  readonly #dataDir: string;
  readonly #marker: string;

  constructor(dataDir: string, stateDir: string) {
    this.#dataDir = dataDir;
    this.#marker = join(stateDir, "copy-unfinished");
  }

  async state(): Promise<VolumeState> {
    if (existsSync(this.#marker)) return "incomplete";
    try {
      return (await readdir(this.#dataDir)).length === 0 ? "empty" : "data";
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return "empty";
      throw error;
    }
  }

  /** Marks what is there as not worth keeping: the next boot copies anew. */
  async markIncomplete(): Promise<void> {
    await mkdir(dirname(this.#marker), { recursive: true });
    const marker = await open(this.#marker, "w");
    try {
      await marker.sync();
    } finally {
      await marker.close();
    }
  }

  /** Runs `make`, which fills or rewrites the data folder; if it fails or is killed the volume stays marked incomplete. */
  async whileIncomplete(make: () => Promise<void>): Promise<void> {
    await this.markIncomplete();
    await make();
    await rm(this.#marker);
  }
}
