// Completion the way kubectl asks its plugins: a program kubectl_complete-quorate prints what may come next, and a directive.
import type { Command } from "commander";
import { API_VERSION } from "../../api/names.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject } from "../../kube/object.ts";
import { inSession } from "./session.ts";

/** Cobra's directive not to offer files when nothing matches. */
const NO_FILES = ":4";

const SCRIPT = `#!/bin/sh
# Put this as kubectl_complete-quorate, executable, beside kubectl-quorate in PATH.
exec kubectl-quorate __complete "$@"
`;

/** Adds `completion`, and the hidden command that answers. */
export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description(
      "Print the program by which kubectl completes `kubectl quorate`: save it as kubectl_complete-quorate in PATH.",
    )
    .action(() => void process.stdout.write(SCRIPT));
  program
    .command("__complete", { hidden: true })
    .argument("[words...]")
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: string[], _options: object, command: Command) => {
      const offered = offers(program, words);
      const lines = offered === "Clusters" ? await clusterNames(command) : offered;
      const last = words.at(-1) ?? "";
      process.stdout.write([...lines.filter((line) => line.startsWith(last)), NO_FILES, ""].join("\n"));
    });
}

/** What may stand in place of the last word: commands, options, or names of clusters. */
export function offers(program: Command, words: readonly string[]): readonly string[] | "Clusters" {
  const last = words.at(-1) ?? "";
  let current = program;
  let positionals = 0;
  for (const word of words.slice(0, -1)) {
    if (word.startsWith("-")) continue;
    const next = current.commands.find((command) => command.name() === word);
    if (next === undefined) positionals += 1;
    else current = next;
  }
  if (last.startsWith("-")) return [...current.options, ...program.options].flatMap(({ long }) => long ?? []);
  const commands = current.createHelp().visibleCommands(current).map(described);
  if (commands.length > 0) return commands;
  const argument = current.registeredArguments[positionals];
  if (argument === undefined) return [];
  return argument.argChoices ?? "Clusters";
}

function described(command: Command): string {
  return `${command.name()}\t${command.description()}`;
}

async function clusterNames(command: Command): Promise<readonly string[]> {
  const names: string[] = [];
  await inSession(command, async ({ api, namespace }) => {
    const { items } = await listAll<KubeObject>(api, { apiVersion: API_VERSION, kind: "ClusterSpec", namespace });
    names.push(...items.map(({ metadata }) => metadata.name));
  });
  return names;
}
