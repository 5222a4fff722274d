// kubectl quorate, run as a program of its own.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { inject } from "vitest";
import { NAMESPACE } from "./operator-world.ts";

const run = promisify(execFile);

/** How the program ended, and what it said. */
export interface PluginResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the program in a folder, without colours. */
export async function runPlugin(args: readonly string[], kubeconfig: string, folder: string): Promise<PluginResult> {
  const all = [inject("pluginProgram"), "--kubeconfig", kubeconfig, "--namespace", NAMESPACE, ...args];
  try {
    const { stdout, stderr } = await run(process.execPath, all, {
      env: { ...process.env, NO_COLOR: "1" },
      cwd: folder,
    });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as {
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    };
    return { code, out: stdout, err: stderr };
  }
}
