/** Starts the agent that was chosen in place of the image's, and sees to it that the image's comes back when that one does not serve. */
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { type Choice, chooseStart, choiceFolder, programOf, readChoice, writeChoice } from "./choice.ts";

/** How long an agent must run before an end of it counts as the first again. */
const LONG_MS = 60_000;
const PROOF_RECHECK_MS = 50;

/** How the process ends: quorate-init starts the next agent and leaves the engine alone. */
type Exit = (code: number) => void;

/**
 * Loads the chosen agent into this process, which begins to work by being loaded.
 *
 * An agent that never served in this pod is watched from here, by code of the image: unless it says in time that it serves, the
 * process ends, and the next start is the image's, before the fence deadline that its predecessor left.
 * @returns false when the image's own is to be run.
 */
export async function launchChosen(runDir: string, exit: Exit): Promise<boolean> {
  const folder = choiceFolder(runDir);
  const before = await readChoice(folder);
  const choice = chooseStart(before);
  if (choice !== before) await writeChoice(folder, choice);
  if (choice.hash === null) return false;
  if (!choice.isProven) endUnlessProven(folder, choice, exit);
  process.argv.push(choice.hash); // it is run as it is, and chooses nothing itself
  try {
    await import(pathToFileURL(programOf(folder, choice.hash)).href);
  } catch (error) {
    await writeChoice(folder, { ...choice, failure: `it could not be started: ${String(error).slice(0, 200)}` });
    throw error;
  }
  return true;
}

function endUnlessProven(folder: string, { serveWithinMs }: Choice, exit: Exit): void {
  const judge = async (): Promise<void> => {
    const choice = await readChoice(folder);
    if (choice.isProven) return;
    const failure = choice.failure ?? `it did not serve within ${serveWithinMs} ms`;
    await writeChoice(folder, { ...choice, failure }).finally(() => exit(1));
  };
  // Counted from the start of the process, which on a busy machine is long ago by now.
  setTimeout(() => void judge(), Math.max(0, serveWithinMs - performance.now())).unref();
}

/**
 * Notes that a chosen agent serves, once it does, and later that it has done so for long. Ends by itself; the image's notes nothing.
 * @param serves - Whether the member does what it did under the agent before, its fence deadline extended by this one.
 */
export async function noteProof(runDir: string, serves: () => Promise<boolean>): Promise<void> {
  const folder = choiceFolder(runDir);
  const { hash } = await readChoice(folder);
  if (hash === null) return;
  const note = async (change: Partial<Choice>): Promise<void> => {
    const { failure: _, ...choice } = await readChoice(folder);
    // Another may have been chosen meanwhile, whose turn comes when this one ends.
    if (choice.hash === hash) await writeChoice(folder, { ...choice, ...change });
  };
  while (!(await serves())) await pause(PROOF_RECHECK_MS);
  await note({ isProven: true });
  await pause(LONG_MS, undefined, { ref: false });
  await note({ starts: 0 });
}
