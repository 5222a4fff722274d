/** Keeps the passwords of a cluster's accounts out of what its engine says: that goes into logs, events, reports and status. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** A shorter password would be found within words that are none. */
const SHORTEST_CHARS = 6;

/**
 * `text` with the names of accounts in place of their passwords, where these stand as they are or as in a URL.
 *
 * @param folder - Where the passwords are, a file each, named as the account; undefined when there are none. While it cannot be
 *   read, `text` is withheld as a whole.
 */
export async function withoutPasswords(text: string, folder: string | undefined): Promise<string> {
  if (text === "" || folder === undefined) return text;
  try {
    const passwords = await readPasswords(folder);
    return passwords.reduce((rest, [name, password]) => rest.replaceAll(password, `[password of ${name}]`), text);
  } catch (error) {
    return `its words are withheld, because the passwords that may be in them cannot be read: ${(error as Error).message}`;
  }
}

/** Account and password in every form in which it may stand, the longest first: one may be a part of another. */
async function readPasswords(folder: string): Promise<readonly (readonly [string, string])[]> {
  const names = (await filesIn(folder)).filter((name) => !name.startsWith(".")); // a mounted Secret keeps its versions there
  const found = await Promise.all(
    names.map(async (name) => [name, (await readFile(join(folder, name), "utf8")).replace(/\n$/, "")] as const),
  );
  return found
    .filter(([, password]) => password.length >= SHORTEST_CHARS)
    .flatMap(([name, password]) => [[name, password] as const, [name, encodeURIComponent(password)] as const])
    .toSorted(([, a], [, b]) => b.length - a.length);
}

async function filesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []; // an Engine without accounts
    throw error;
  }
}
