/** The agent as the files it consists of: what a pod's image brings, and what an operator of another version offers to members that run. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";

/** The program, and what it loads only where traces are sent. */
const FILES = ["agent.mjs", "otlp.mjs"] as const;

/** Of the Node that runs this program; agent and operator of a version are made for the same. */
export const NODE_MAJOR = Number(process.versions.node.split(".")[0]);

/** Far above what the files have; what an offer unpacks to must not take the memory of a database. */
const MOST_BYTES = 16 * 2 ** 20;

/** Files by their names, all of which are known. */
export interface AgentBundle {
  /** Of names and contents, SHA-256 in hex: equal for the same agent wherever it lies. */
  readonly hash: string;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Reads the bundle that lies in a folder. @returns undefined when there is none: programs that run from their sources. */
export async function readBundle(folder: string): Promise<AgentBundle | undefined> {
  try {
    return bundleOf(await Promise.all(FILES.map(async (name) => [name, await readFile(join(folder, name))] as const)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Packs it as the `binaryData` of a ConfigMap: compressed, in base64. */
export async function packBundle({ files }: AgentBundle): Promise<Readonly<Record<string, string>>> {
  const pack = promisify(gzip);
  const packed = [...files].map(async ([name, content]) => [keyOf(name), (await pack(content)).toString("base64")]);
  return Object.fromEntries(await Promise.all(packed)) as Record<string, string>;
}

/** Unpacks what `packBundle` made. Whoever takes it compares the hash. @throws {Error} that says what is wrong with it. */
export async function unpackBundle(packed: Readonly<Record<string, string>>): Promise<AgentBundle> {
  const unpack = promisify(gunzip);
  const files = FILES.map(async (name) => {
    const text = packed[keyOf(name)];
    if (text === undefined) throw new Error(`${keyOf(name)} is missing`);
    return [name, await unpack(Buffer.from(text, "base64"), { maxOutputLength: MOST_BYTES })] as const;
  });
  return bundleOf(await Promise.all(files));
}

function keyOf(name: string): string {
  return `${name}.gz`;
}

function bundleOf(files: readonly (readonly [name: string, content: Buffer])[]): AgentBundle {
  const whole = createHash("sha256");
  for (const [name, content] of files) whole.update(`${name} ${createHash("sha256").update(content).digest("hex")}\n`);
  return { hash: whole.digest("hex"), files: new Map(files) };
}
