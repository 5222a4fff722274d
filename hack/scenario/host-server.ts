/** Servers of this host that scenarios start for a while, each with a folder of its own. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./shell.ts";

/** A server that is to be started. */
export interface HostServerOptions {
  readonly program: string;
  /** Its arguments, once its folder is there. */
  readonly args: (folder: string) => readonly string[];
  /** Texts by file name, written before it starts. */
  readonly files: Readonly<Record<string, string>>;
  /** Answers with 2xx once it serves. */
  readonly readyUrl: string;
}

/** A server that runs. */
export interface HostServer {
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;

/** Starts a server; resolves once it serves. What it complains about goes to our own standard error. */
export async function startHostServer({ program, args, files, readyUrl }: HostServerOptions): Promise<HostServer> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-scenario-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
  const child = spawn(program, args(folder), { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until(program, READY_WITHIN_MS, async () => ((await fetch(readyUrl)).ok ? true : undefined));
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}
