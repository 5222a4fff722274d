/** What documentation tells people to type into a shell: every page that has a command, and every command. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const FOLDERS = ["docs", "examples", "charts"];
const SINGLE = ["README.md", "CONTRIBUTING.md"];
/** A here-document, or a line that is neither blank nor a comment. */
const COMMAND = /^.*<<-?(['"]?)(\w+)\1\n[^]*?^\2$|^(?!#).+$/gm;

/** A command, as it is printed on a page. */
export interface PrintedCommand {
  /** File, from the root of the working copy. */
  readonly page: string;
  /** One line, where it goes on after a backslash those, too; a here-document whole. */
  readonly command: string;
}

/** Every command of every page, in the order in which it is printed. */
export async function printedCommands(): Promise<readonly PrintedCommand[]> {
  const below = await Promise.all(FOLDERS.map(pagesBelow));
  const pages = [...SINGLE, ...below.flat()];
  const found = await Promise.all(
    pages.map(async (page) => {
      const commands = commandsIn(await readFile(join(ROOT, page), "utf8"));
      return commands.map((command) => ({ page, command }));
    }),
  );
  return found.flat();
}

async function pagesBelow(folder: string): Promise<readonly string[]> {
  const names = await readdir(join(ROOT, folder), { recursive: true });
  return names
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name))
    .toSorted();
}

/** Those of `sh` blocks, and those after a prompt in `console` blocks. */
function commandsIn(text: string): readonly string[] {
  return [...text.matchAll(/^( *)```(sh|console)\n([^]*?)^ *```/gm)].flatMap(
    ([, indent = "", language, block = ""]) => {
      const typed = block.replaceAll(new RegExp(`^${indent}`, "gm"), "").replaceAll("\\\n", " ");
      return commandLines(language === "sh" ? typed : typed.replaceAll(/^(?!\$ ).*\n/gm, "").replaceAll(/^\$ /gm, ""));
    },
  );
}

/** The commands of what the chart says after an installation: everything that it indents. */
export function commandsOfNotes(notes: string): readonly string[] {
  const indented = notes.split("\n").flatMap((line) => (line.startsWith("     ") ? line.slice(5) : []));
  return commandLines(indented.join("\n"));
}

function commandLines(text: string): readonly string[] {
  return [...text.matchAll(COMMAND)].map(([command]) => command.trim());
}
