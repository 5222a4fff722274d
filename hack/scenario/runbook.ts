/** Runbooks as something that can be followed: their commands, run as a person would who has pasted them. */
import { execFile } from "node:child_process";
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const FOLDER = join(ROOT, "docs/runbooks");

/** Names of the runbooks of alerts, which are those of the alerts. */
export async function runbooks(): Promise<string[]> {
  return (await pagesIn(FOLDER)).filter((name) => name !== "README");
}

/** Names of the runbooks of scenarios, as `commandsOf` takes them. */
export async function scenarios(): Promise<string[]> {
  return (await pagesIn(join(FOLDER, "scenarios"))).map((name) => `scenarios/${name}`);
}

async function pagesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith(".md")).map((name) => name.replace(/\.md$/, ""));
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
  readonly #folder: string;

  private constructor(env: NodeJS.ProcessEnv, folder: string) {
    this.#env = env;
    this.#folder = folder;
  }

  /** @param folder - Where the programs are put and commands run; it must be there. @param kubectl - The program's file. */
  static async open(folder: string, kubectl: string, kubeconfig: string): Promise<Terminal> {
    const programs = join(folder, "programs");
    await mkdir(programs);
    await symlink(kubectl, join(programs, "kubectl"));
    const plugin = join(programs, "kubectl-quorate");
    await writeFile(plugin, `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, "src/cli.ts")} "$@"\n`);
    await chmod(plugin, 0o755);
    const path = `${programs}:${process.env["PATH"] ?? ""}`;
    return new Terminal({ ...process.env, PATH: path, KUBECONFIG: kubeconfig, NO_COLOR: "1" }, folder);
  }

  /** Runs a line. @returns its standard output. @throws with all that it said when it ends with anything but 0. */
  async paste(line: string): Promise<string> {
    return (await execute("bash", ["-c", line], { env: this.#env, cwd: this.#folder, maxBuffer: 64 << 20 })).stdout;
  }
}
