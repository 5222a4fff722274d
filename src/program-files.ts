/** Where the files of a program lie, whether it runs as the module that it was bundled into or from a snapshot. */
import { dirname } from "node:path";

/** Folder of the program that this is a part of; a snapshot, which is no module, is started with the words of the one beside it. */
export function programFolder(): string {
  return folderOfModule() ?? dirname(process.argv[1] ?? "");
}

function folderOfModule(): string | undefined {
  return import.meta.dirname;
}
