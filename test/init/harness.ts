/** Runs the real quorate-init, on the host (as a child subreaper) or as PID 1 of a new pid namespace. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { InitClient } from "../../src/agent/init-client.ts";

export type Mode = "host" | "pid-one";
export const root = join(import.meta.dirname, "../..");

/** Builds a program of init/build.mk unless it is up to date; returns its path. */
export function built(target: "dist/quorate-init" | "dist/quorate-init-sanitized"): string {
  execFileSync("make", ["-s", "-f", "init/build.mk", target], { cwd: root, stdio: "inherit" });
  return join(root, target);
}

/** One life of the agent: its client, and what only a test does to it. Pids are the host's. */
export interface AgentLife {
  readonly pid: number;
  readonly client: InitClient;
  /** The same connection without the client, for malformed lines; do not mix the two. */
  readonly lines: Socket;
  order(order: object): void;
  /** Makes the agent start a child; returns its host pid. */
  spawn(argv: readonly string[], detached?: boolean): Promise<number>;
}

export interface LogLine {
  readonly event: string;
  readonly pid: number;
  readonly ns: number;
  readonly [field: string]: unknown;
}

export interface InitOptions {
  readonly mode?: Mode;
  readonly options?: readonly string[];
  readonly agent?: readonly string[];
  readonly binary?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** PID 1 inside this root file system, which must hold /quorate (init, agent) and an empty /proc and /tmp. */
  readonly rootfs?: string;
}

/** Resolves when check returns something other than false, null or undefined; fails after `withinMs` with its name. */
export async function eventually<T>(name: string, check: () => T, withinMs = 15_000): Promise<NonNullable<T>> {
  const until = performance.now() + withinMs;
  for (;;) {
    const value = check();
    if (value !== false && value !== null && value !== undefined) return value;
    if (performance.now() > until) throw new Error(`${name}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface ProcessState {
  readonly state: string;
  readonly parent: number;
  readonly session: number;
}

/** The process as /proc shows it, or null when there is none. */
export function processState(pid: number): ProcessState | null {
  try {
    const [state = "", parent, , session] =
      readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
    return { state, parent: Number(parent), session: Number(session) };
  } catch {
    return null;
  }
}

/** Whether the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  const process = processState(pid);
  return process !== null && process.state !== "Z" && process.state !== "X";
}

/** Resident memory; 0 when the process is gone. */
export function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * 4096;
  } catch {
    return 0;
  }
}

/** All pids of the host that have init as an ancestor, zombies included. */
export function descendants(ancestor: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const process = /^\d+$/.test(name) ? processState(Number(name)) : null;
    if (process) parents.set(Number(name), process.parent);
  }
  const found: number[] = [];
  for (const pid of parents.keys()) {
    let up = parents.get(pid);
    while (up !== undefined && up !== ancestor) up = parents.get(up);
    if (up === ancestor) found.push(pid);
  }
  return found;
}

/** The host's pid of a process named by its pid in init's namespace; undefined when it has ended. */
function findHostPid(initPid: number, pid: number): number | undefined {
  const namespace = readlinkSync(`/proc/${initPid}/ns/pid`);
  for (const candidate of [initPid, ...descendants(initPid)]) {
    try {
      if (readlinkSync(`/proc/${candidate}/ns/pid`) !== namespace) continue;
      const ids = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${candidate}/status`, "latin1"))?.[1]?.split(/\s+/);
      if (Number(ids?.at(-1)) === pid) return candidate;
    } catch {
      continue; // ended meanwhile
    }
  }
  return undefined;
}

/** SIGKILL, also to a process that may have ended meanwhile. */
export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A running quorate-init. Close it with `close()`, also after a failed test. */
export class InitUnderTest {
  readonly log: LogLine[] = [];
  /** Exit code, or the signal's name; null while it runs. */
  ended: number | string | null = null;
  readonly #process: ChildProcess;
  readonly #server: Server;
  readonly #folder: string;
  readonly #pendingLines = new Map<number, Socket>();
  readonly #pendingControls = new Map<number, Socket>();
  readonly #lives: AgentLife[] = [];
  #taken = 0;
  #pid = 0;
  #isForked = false;

  private constructor(process: ChildProcess, server: Server, folder: string) {
    this.#process = process;
    this.#server = server;
    this.#folder = folder;
  }

  static async start(options: InitOptions = {}): Promise<InitUnderTest> {
    const { rootfs = "" } = options;
    const folder = mkdtempSync(join(rootfs === "" ? tmpdir() : join(rootfs, "tmp"), "init-"));
    const path = join(folder, "relay");
    const server = createServer();
    server.listen(path);
    await once(server, "listening");
    const agent = options.agent ?? [process.execPath, join(root, "test/init/relay-agent.ts")];
    const command = [options.binary ?? built("dist/quorate-init"), ...(options.options ?? []), "--", ...agent];
    const unshare = ["unshare", ...(process.getuid?.() === 0 ? [] : ["-Ur"]), "--pid", "--fork", "--kill-child"];
    const enter = ["--mount", "sh", "-c", 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', rootfs];
    const wrapper = options.mode !== "pid-one" ? [] : [...unshare, ...(rootfs === "" ? ["--mount-proc"] : enter)];
    const [file = "", ...args] = [...wrapper, ...command];
    const child = spawn(file, args, {
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, NODE_OPTIONS: "", RELAY_SOCKET: path.slice(rootfs.length), ...options.env },
    });
    const init = new InitUnderTest(child, server, folder);
    init.#isForked = options.mode === "pid-one";
    init.#listen();
    await init.logged("start");
    return init;
  }

  /** The host's pid of init. Its agent may greet before its first log line is read, so it is looked for by whoever asks first. */
  get pid(): number {
    if (this.#pid === 0) {
      const { pid: child = 0 } = this.#process;
      const fork = this.#isForked ? descendants(child).find((pid) => processState(pid)?.parent === child) : child;
      // 0 would stand for every process of the machine.
      if (fork === undefined || fork === 0) throw new Error("init does not run");
      this.#pid = fork;
    }
    return this.#pid;
  }

  #listen(): void {
    this.#server.on("connection", (socket) => this.#greet(socket));
    this.#process.on("exit", (code, signal) => (this.ended = code ?? signal));
    const { stderr } = this.#process;
    if (!stderr) throw new Error("stderr is no pipe");
    createInterface(stderr).on("line", (line) => {
      if (line.startsWith("{")) this.log.push(JSON.parse(line) as LogLine);
      else if (!line.startsWith("unshare: sigprocmask")) process.stderr.write(`${line}\n`); // its own, when init is killed
    });
  }

  #greet(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    socket.once("data", (chunk) => {
      const [role, pidText = "", rest] = /^(\w+) (\d+)\n(.*)$/s.exec(chunk.toString("latin1"))?.slice(1) ?? [];
      if (rest !== "") throw new Error(`unexpected greeting ${JSON.stringify(chunk.toString("latin1"))}`);
      const pid = Number(pidText);
      (role === "lines" ? this.#pendingLines : this.#pendingControls).set(pid, socket);
      const [lines, control] = [this.#pendingLines.get(pid), this.#pendingControls.get(pid)];
      if (!lines || !control) return;
      this.#pendingLines.delete(pid);
      this.#pendingControls.delete(pid);
      this.#lives.push(this.#life(pid, lines, control));
    });
  }

  #life(pid: number, lines: Socket, control: Socket): AgentLife {
    let client: InitClient | undefined;
    const found = findHostPid(this.pid, pid); // it may have been killed since it greeted
    const order = (text: object): void => void control.write(`${JSON.stringify(text)}\n`);
    return {
      get pid() {
        if (found === undefined) throw new Error(`agent ${pid} had ended when its greeting was read`);
        return found;
      },
      get client() {
        return (client ??= new InitClient(lines));
      },
      lines,
      order,
      spawn: async (argv, detached = false) => {
        order({ do: "spawn", argv, detached });
        const [answer] = (await once(control, "data")) as [Buffer];
        return this.hostPid(Number(answer.toString("latin1")));
      },
    };
  }

  /** The next life of the agent that was not handed out yet. */
  async nextAgent(): Promise<AgentLife> {
    const index = this.#taken++;
    return eventually(`agent ${index}`, () => this.#lives[index]);
  }

  /** Number of agents that connected so far. */
  get agents(): number {
    return this.#lives.length;
  }

  hostPid(pid: number): number {
    const found = findHostPid(this.pid, pid);
    if (found === undefined) throw new Error(`no process ${pid} in the namespace of ${this.pid}`);
    return found;
  }

  /** The nth log line of an event (1 is the first). */
  async logged(event: string, nth = 1): Promise<LogLine> {
    return eventually(`log line ${event}`, () => this.log.filter((line) => line.event === event)[nth - 1]);
  }

  async exit(): Promise<number | string> {
    return eventually("the end of quorate-init", () => this.ended ?? undefined);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** What a peer sees at the liveness port. Only a refusal proves a death: a reset came from a listener that was there. */
  async port(): Promise<"accepted" | "reset" | "refused"> {
    const { port } = await this.logged("start");
    return new Promise((resolve, reject) => {
      const socket = createConnection({ port: Number(port), host: "127.0.0.1" });
      socket.once("connect", () => resolve("accepted")).once("close", () => socket.destroy());
      socket.once("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ECONNREFUSED") resolve("refused");
        else if (error.code === "ECONNRESET") resolve("reset");
        else reject(error);
      });
      socket.resume();
    });
  }

  /** Kills init and everything under it, and fails if any process of the test outlives it. */
  async close(): Promise<void> {
    const isUnseen = this.#pid === 0 && this.ended !== null;
    const all = isUnseen ? [] : [this.pid, ...descendants(this.pid)];
    for (const pid of all) {
      if (this.ended === null && isAlive(pid)) killIfAlive(pid);
    }
    await this.exit();
    await eventually("the end of every process", () => !all.some(isAlive));
    this.#server.close();
    for (const life of this.#lives) life.lines.destroy();
    if (existsSync(this.#folder)) rmSync(this.#folder, { recursive: true });
  }
}
