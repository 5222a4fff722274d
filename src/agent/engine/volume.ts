/** What the member's volume holds, told by a marker file that stands while a copy is being made. */
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { VolumeState } from "../protocol/types.ts";

/** Creates an empty file that survives a crash of the machine. */
async function writeMarker(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const marker = await open(path, "w");
  try {
    await marker.sync();
  } finally {
    await marker.close();
  }
}

/** Knows whether the data folder is empty, complete, or the remains of a copy that did not finish. */
export class Volume {
  readonly #dataDir: string;
  readonly #aside: string;
  readonly #kept: string;
  readonly #marker: string;
  readonly #unsettled: string;

  constructor(dataDir: string, stateDir: string) {
    this.#dataDir = dataDir;
    this.#aside = `${dataDir}.aside`;
    this.#kept = `${dataDir}.former`;
    this.#marker = join(stateDir, "copy-unfinished");
    this.#unsettled = join(stateDir, "needs-leader");
  }

  async state(): Promise<VolumeState> {
    if (existsSync(this.#marker)) return "incomplete";
    return (await this.#count()) === 0 ? "empty" : "data";
  }

  async #count(): Promise<number> {
    try {
      return (await readdir(this.#dataDir)).length;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
      throw error;
    }
  }

  /** Marks what is there as not worth keeping: the next boot copies anew. */
  markIncomplete(): Promise<void> {
    return writeMarker(this.#marker);
  }

  /**
   * Whether the data becomes readable only with log that a leader still has to send: so it is after a rewind, until the
   * engine has come up once.
   */
  get isUnsettled(): boolean {
    return existsSync(this.#unsettled);
  }

  markUnsettled(): Promise<void> {
    return writeMarker(this.#unsettled);
  }

  /**
   * Sets the data aside, engine stopped, so that the volume is empty; what was set aside before goes.
   *
   * @param keep - Until a person deletes it: the cluster may not have what is in it. Otherwise until `dropAside`.
   */
  async setAside(keep: boolean): Promise<void> {
    if ((await this.#count()) > 0) {
      const aside = keep ? this.#kept : this.#aside;
      await rm(aside, { recursive: true, force: true });
      await rename(this.#dataDir, aside);
    }
    await rm(this.#marker, { force: true });
  }

  /** The cluster has everything that was set aside without being kept. */
  async dropAside(): Promise<void> {
    await rm(this.#aside, { recursive: true, force: true });
  }

  /** The engine has come up with this data. */
  async settle(): Promise<void> {
    await rm(this.#unsettled, { force: true });
  }

  /** Runs `make`, which fills or rewrites the data folder; if it fails or is killed the volume stays marked incomplete. */
  async whileIncomplete(make: () => Promise<void>): Promise<void> {
    await this.markIncomplete();
    await make();
    await this.settle(); // a copy is complete in itself
    await rm(this.#marker);
  }
}
