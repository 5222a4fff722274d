/** Runs programs for scenarios: to their end, or line by line. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A program that ended with another code than 0. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Runs a program to its end. @returns what it printed. @throws {CommandError} with the end of what it complained about. */
export function run(
  argv: readonly string[],
  options: { readonly input?: string; readonly timeoutMs?: number; readonly cwd?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const [program = "", ...args] = argv;
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      timeout: options.timeoutMs ?? 120_000,
      cwd: options.cwd,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(stdout);
      else reject(new CommandError(`${argv.slice(0, 6).join(" ")}: code ${code}: ${stderr.slice(-800).trim()}`));
    });
    child.stdin.on("error", () => undefined); // it ended without reading; its code says how
    child.stdin.end(options.input ?? "");
  });
}

/** Starts a program and hands over each line it prints. */
export function follow(argv: readonly string[], onLine: (line: string) => void): ChildProcess {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  createInterface({ input: child.stdout }).on("line", onLine);
  return child;
}

/** Waits. */
export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** What was waited for did not come in time. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
}

/** Asks again and again until there is an answer. @throws {TimeoutError} after `timeoutMs`, saying what was waited for. */
export async function until<T>(what: string, timeoutMs: number, ask: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    await pause(200);
  }
  throw new TimeoutError(
    `waited ${timeoutMs / 1000} s in vain for ${what}${last instanceof Error ? `: ${last.message}` : ""}`,
  );
}
