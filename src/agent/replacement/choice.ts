/**
 * Which agent a container runs: the one of its pod's image, or one that an operator offered since. Kept in the pod's own memory, so that
 * every pod begins with its image's, and a container that starts again goes on with what it had.
 */
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentBundle } from "../../agent-bundle.ts";
import { readStateFile, writeStateFile } from "../state-file.ts";

/** The agent of the image, beside which there is none or an offered one. */
export interface Choice {
  /** The bundle to run; null: the image's. */
  readonly hash: string | null;
  /** How often it was started since it last ran for long. */
  readonly starts: number;
  /** It served once in this pod. */
  readonly isProven: boolean;
  /** How soon after its first start it has to serve: until then the container does without an agent. */
  readonly serveWithinMs: number;
  /** Why its last start came to nothing, where that is known. */
  readonly failure?: string;
  /** The last bundle that was given up; it is not taken again in this pod. */
  readonly refused?: { readonly hash: string; readonly reason: string };
}

/** What a pod begins with. */
export const OF_IMAGE: Choice = { hash: null, starts: 0, isProven: false, serveWithinMs: 0 };

/** One that had served and ends again and again is given up at its fourth start in a row; one that never served, at its second. */
const MOST_STARTS = 3;

/** The choice that the start of an agent begins with, and leads to: an offered agent that fails gives way to the image's. */
export function chooseStart(before: Choice): Choice {
  const { hash, starts, isProven, failure } = before;
  if (hash === null) return before;
  if (starts < (isProven ? MOST_STARTS : 1)) return { ...before, starts: starts + 1 };
  const ended = isProven ? `it ended ${starts} times soon after its start` : "it ended before it served";
  return { ...OF_IMAGE, refused: { hash, reason: failure ?? ended } };
}

/** Where the choice and the bundles of a container lie, below the folder that lives as long as its pod. */
export function choiceFolder(runDir: string): string {
  return join(runDir, "quorate-agent");
}

/** The program of a bundle that was taken. */
export function programOf(folder: string, hash: string): string {
  return join(folder, hash, "agent.mjs");
}

/** Reads the choice. What cannot be read is none: the image's agent runs, whatever happened to the file. */
export async function readChoice(folder: string): Promise<Choice> {
  try {
    return ((await readStateFile(choiceFile(folder))) as Choice | undefined) ?? OF_IMAGE;
  } catch {
    return OF_IMAGE;
  }
}

/** Writes the choice, whole or not at all. */
export function writeChoice(folder: string, choice: Choice): Promise<void> {
  return writeStateFile(choiceFile(folder), choice);
}

/** Lays a bundle beside the others, whole or not at all. Those that neither it nor `running` is are removed. */
export async function keepBundle(folder: string, { hash, files }: AgentBundle, running: string | null): Promise<void> {
  const part = join(folder, `${hash}.part`);
  await mkdir(folder, { recursive: true });
  for (const { name } of (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
    if (name !== running) await rm(join(folder, name), { recursive: true });
  }
  await mkdir(part);
  for (const [name, content] of files) await writeFile(join(part, name), content, { mode: 0o400 });
  await rename(part, join(folder, hash));
}

function choiceFile(folder: string): string {
  return join(folder, "choice.json");
}
