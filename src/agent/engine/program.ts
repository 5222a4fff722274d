/** Runs a program of an Engine to its end, with all that it starts. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

/** How a program ended; 124 after its timeout, 125 on request, 126 when `input` or `output` broke, 127 when it could not be started. */
export interface Ended {
  readonly code: number;
  /** Empty where what it printed went to an output. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Where data of an action comes from or goes to, when it is too much for memory. */
export interface Pipes {
  /** Its standard input; nothing when absent. What it does not read of it is dropped. */
  readonly input?: Readable;
  /** Takes its standard output: ended when the program succeeded, destroyed when it did not, so that a part never passes for the whole. */
  readonly output?: Writable;
}

/** What a program runs with. */
export interface ProgramOptions extends Pipes {
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const MAX_OUTPUT_CHARS = 256 * 1024;
/** What a program wrote is here soon after its end; a daemon that it left behind may hold its output open for ever. */
const DRAIN_MS = 500;

/**
 * Runs a program to its end; SIGKILL after `timeoutMs`, when the signal aborts, or when a pipe breaks. Output beyond the cap, and of
 * what outlives the program, is dropped; what goes to an output is waited for.
 */
export function runProgram(argv: readonly string[], options: ProgramOptions): Promise<Ended> {
  const { env, timeoutMs, signal: abort, input, output } = options;
  if (abort?.aborted === true) {
    output?.destroy();
    return Promise.resolve({ code: 125, stdout: "", stderr: "ended on request" });
  }
  return new Promise((resolve) => {
    const [program = "", ...args] = argv;
    let stdout = "";
    let stderr = "";
    let cut: { readonly code: number; readonly why: string } | undefined;
    // Its own process group: a timeout must end what the program started, too.
    const child: ChildProcessByStdio<Writable | null, Readable, Readable> =
      input === undefined
        ? spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true })
        : spawn(program, args, { env, stdio: ["pipe", "pipe", "pipe"], detached: true });
    const end = (code: number, why: string): void => {
      cut ??= { code, why };
      killGroup(child.pid);
    };
    const timer = setTimeout(() => end(124, `killed after ${timeoutMs} ms`), timeoutMs);
    const onAbort = (): void => end(125, "ended on request");
    abort?.addEventListener("abort", onAbort, { once: true });
    if (input !== undefined && child.stdin !== null) {
      child.stdin.on("error", () => undefined); // it ended without reading all
      input.on("error", (error) => end(126, `its input broke: ${error.message}`));
      input.pipe(child.stdin);
    }
    if (output === undefined) {
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        if (stdout.length < MAX_OUTPUT_CHARS) stdout += chunk;
      });
    } else {
      output.on("error", (error) => end(126, `its output could not be kept: ${error.message}`));
      child.stdout.pipe(output, { end: false });
    }
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr = (stderr + chunk).slice(-MAX_OUTPUT_CHARS);
    });
    const finish = (ended: Ended): void => {
      clearTimeout(timer);
      abort?.removeEventListener("abort", onAbort);
      input?.unpipe();
      if (ended.code === 0) output?.end();
      else output?.destroy();
      resolve(ended);
    };
    child.on("error", (error) => finish({ code: 127, stdout, stderr: error.message }));
    let drain: NodeJS.Timeout | undefined;
    child.on("exit", () => {
      const left = output === undefined ? [child.stdout, child.stderr] : [];
      drain = setTimeout(() => left.forEach((stream) => stream.destroy()), DRAIN_MS);
    });
    child.on("close", (code, signal) => {
      clearTimeout(drain);
      if (cut !== undefined) finish({ code: cut.code, stdout, stderr: `${stderr}\n${cut.why}` });
      else finish({ code: code ?? 1, stdout, stderr: signal === null ? stderr : `${stderr}\nended by ${signal}` });
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
