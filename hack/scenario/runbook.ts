/** Runbooks as something that can be followed: their commands, run as a person would who has pasted them. */
import { execFile } from "node:child_process";
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const FOLDER = join(ROOT, "docs/runbooks");

/** Names of all runbooks, which are those of the alerts. */
export async function runbooks(): Promise<string[]> {
  const files = await readdir(FOLDER);
  return files.filter((name) => name !== "README.md").map((name) => name.replace(/\.md$/, ""));
}

/** The commands of a runbook, with a namespace and a cluster in place of the ones that it has for an example. */
export async function commandsOf(runbook: string, namespace: string, cluster: string): Promise<string[]> {
  const text = await readFile(join(FOLDER, `${runbook}.md`), "utf8");
  const lines = [...text.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block = ""]) => block.trim().split("\n"));
  return lines.map((line) => line.replaceAll("-n shop", `-n ${namespace}`).replaceAll("orders", cluster));
}

/** Somebody's terminal: kubectl with the plugin, before one cluster. */
export class Terminal {
  readonly #env: NodeJS.ProcessEnv;

  private constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** @param folder - Where the programs are put; it must be there. @param kubectl - The program's file. */
  static async open(folder: string, kubectl: string, kubeconfig: string): Promise<Terminal> {
    const programs = join(folder, "programs");
    await mkdir(programs);
    await symlink(kubectl, join(programs, "kubectl"));
    const plugin = join(programs, "kubectl-quorate");
    await writeFile(plugin, `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, "src/cli.ts")} "$@"\n`);
    await chmod(plugin, 0o755);
    const path = `${programs}:${process.env["PATH"] ?? ""}`;
    return new Terminal({ ...process.env, PATH: path, KUBECONFIG: kubeconfig, NO_COLOR: "1" });
  }

  /** Runs a line. @returns its standard output. @throws with all that it said when it ends with anything but 0. */
  async paste(line: string): Promise<string> {
    return (await execute("bash", ["-c", line], { env: this.#env, maxBuffer: 64 << 20 })).stdout;
  }
}
