/**
 * A long-lived client process of the engine: one statement at a time in, lines out.
 * It spares an exec per probe: a statement costs about a millisecond, an exec fifty.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

/** What a statement printed, without the marker lines. */
export interface StatementResult {
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

/** How to start the client and how to make it say that it is done. */
export interface SessionOptions {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Statement that makes the client print `marker` alone on a line of standard output and of standard error. */
  readonly markerStatement: (marker: string) => string;
}

/** Output a statement may produce before the session is closed: a lying engine must not fill our memory. */
const MAX_OUTPUT_BYTES = 1 << 20;

/** Error of a session: the client ended, said too much or took too long. The next statement starts a new client. */
export class SessionError extends Error {
  override readonly name = "SessionError";
}

interface Pending {
  readonly marker: string;
  readonly stdout: string[];
  readonly stderr: string[];
  outDone: boolean;
  errDone: boolean;
  bytes: number;
  readonly settle: (result: StatementResult | SessionError) => void;
}

/** Sends statements in order; starts the client on first use and again after it ended. */
export class EngineSession {
  readonly #options: SessionOptions;
  #child: ChildProcessWithoutNullStreams | undefined;
  #pending: Pending | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #count = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /**
   * Runs one statement after all earlier ones have ended.
   *
   * @throws {SessionError} when the client ends, floods or exceeds `timeoutMs`; the client is killed then, so that a
   *   late answer can never be taken for the next statement's.
   */
  run(statement: string, timeoutMs: number): Promise<StatementResult> {
    const next = this.#tail.then(() => this.#runNow(statement, timeoutMs));
    this.#tail = next.catch(() => undefined);
    return next;
  }

  /** Kills the client, if any; a statement under way fails. */
  close(): void {
    this.#fail(new SessionError("session closed"));
  }

  /** Kills the client once all statements that were given have ended. */
  retire(): void {
    this.#tail = this.#tail.then(() => this.close());
  }

  #runNow(statement: string, timeoutMs: number): Promise<StatementResult> {
    return new Promise((resolve, reject) => {
      const marker = `quorate-${process.pid}-${++this.#count}`;
      const timer = setTimeout(() => this.#fail(new SessionError(`no answer within ${timeoutMs} ms`)), timeoutMs);
      this.#pending = {
        marker,
        stdout: [],
        stderr: [],
        outDone: false,
        errDone: false,
        bytes: 0,
        settle: (result) => {
          clearTimeout(timer);
          if (result instanceof SessionError) reject(result);
          else resolve(result);
        },
      };
      const child = this.#child ?? this.#start();
      child.stdin.write(`${statement}\n${this.#options.markerStatement(marker)}\n`);
    });
  }

  #start(): ChildProcessWithoutNullStreams {
    const [program = "", ...args] = this.#options.argv;
    const child = spawn(program, args, { env: this.#options.env, stdio: "pipe" });
    this.#child = child;
    const ended = (why: string): void => {
      if (this.#child === child) this.#fail(new SessionError(why));
    };
    child.on("error", (error) => ended(`client could not be started: ${error.message}`));
    child.on("exit", (code, signal) => ended(`client ended with ${signal ?? `code ${code}`}`));
    child.stdin.on("error", (error) => ended(`client closed its input: ${error.message}`));
    this.#read(child, "stdout");
    this.#read(child, "stderr");
    return child;
  }

  #read(child: ChildProcessWithoutNullStreams, stream: "stdout" | "stderr"): void {
    let rest = "";
    child[stream].setEncoding("utf8").on("data", (chunk: string) => {
      if (this.#child !== child) return;
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#line(stream, line);
      if (rest.length > MAX_OUTPUT_BYTES) this.#fail(new SessionError("client printed an endless line"));
    });
  }

  #line(stream: "stdout" | "stderr", line: string): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    if (line === pending.marker) {
      if (stream === "stdout") pending.outDone = true;
      else pending.errDone = true;
      if (!pending.outDone || !pending.errDone) return;
      this.#pending = undefined;
      pending.settle({ stdout: pending.stdout, stderr: pending.stderr });
      return;
    }
    pending.bytes += line.length;
    if (pending.bytes > MAX_OUTPUT_BYTES) this.#fail(new SessionError("client printed too much"));
    else pending[stream].push(line);
  }

  #fail(error: SessionError): void {
    const child = this.#child;
    this.#child = undefined;
    child?.kill("SIGKILL");
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.settle(error);
  }
}
