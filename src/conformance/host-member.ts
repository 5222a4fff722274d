/** One member of an engine, run with the real agent's driver as processes of this host: no container, no Kubernetes. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  chownSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ActionContext } from "../agent/engine/context.ts";
import { positionContext } from "../agent/engine/control.ts";
import { type ActionName, type ActionResult, EngineDriver } from "../agent/engine/driver.ts";
import { InitClient, InitDisconnected } from "../agent/init-client.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { Pipes } from "../agent/engine/program.ts";
import type { EngineObservation } from "../api/engine-observation.ts";
import { asUser, type HostPlace, specAsUser } from "./host-place.ts";

/** How long a server may take until it says what it is. */
const START_MS = 60_000;
const LOG_CHARS = 2000;
/** What a program beside a server may take, and print. */
const BESIDE_MS = 30_000;
const MOST_OUTPUT = 16 * 1024 * 1024;

/** Stands in for the agent of quorate-init: whoever holds the other end of descriptor 4 speaks for it, also after it was replaced. */
const AGENT = 'const {Socket}=require("net"),a=new Socket({fd:3}),b=new Socket({fd:4});a.pipe(b);b.pipe(a)';

/** A server that did not come up. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** A driver whose actions can be killed while they run, as the end of their container would. */
class CuttableDriver extends EngineDriver {
  #cut: AbortSignal | undefined;

  override run(
    name: ActionName,
    context: Partial<ActionContext> = {},
    signal: AbortSignal | undefined = this.#cut,
    pipes: Pipes = {},
  ): Promise<ActionResult> {
    return super.run(name, context, signal, pipes);
  }

  /** Runs what runs actions, and kills the one that is under way after so long. @throws {ActionError} when an action was killed, or failed. */
  async cutShort(afterMs: number, work: () => Promise<unknown>): Promise<void> {
    const kill = new AbortController();
    const timer = setTimeout(() => {
      kill.abort();
      this.closeSessions();
    }, afterMs);
    this.#cut = kill.signal;
    try {
      await work();
    } finally {
      clearTimeout(timer);
      this.#cut = undefined;
    }
  }
}

/** A member that can be started, killed and asked. */
export class HostMember {
  readonly name: string;
  readonly port: number;
  /** Where its engine speaks TLS; undefined where that is nowhere. */
  readonly tlsPort: number | undefined;
  readonly folder: string;
  readonly driver: CuttableDriver;
  readonly #place: HostPlace;
  #server: ChildProcess | undefined;

  constructor(spec: EngineSpec, place: HostPlace, name: string) {
    this.name = name;
    this.port = place.ports[place.members.indexOf(name)] ?? spec.port;
    this.tlsPort = place.tlsPortOf?.(this.port);
    this.folder = join(place.root, name);
    this.#place = place;
    mkdirSync(join(this.folder, "run"), { recursive: true });
    writeFileSync(this.parametersFile, "");
    for (const path of [this.folder, join(this.folder, "run")]) this.#give(path);
    const context: ActionContext = {
      QUORATE_MEMBER: name,
      QUORATE_MEMBERS: place.members.join(","),
      QUORATE_NAMESPACE: "default",
      QUORATE_CLUSTER: "host",
      QUORATE_EPOCH: "0",
      QUORATE_DATA_DIR: this.dataDir,
      QUORATE_ENGINE_DIR: place.engineDir,
      QUORATE_CREDENTIALS_DIR: place.credentialsDir,
      QUORATE_PARAMETERS_FILE: this.parametersFile,
      QUORATE_MEMORY_BYTES: String(256 * 1024 * 1024),
      QUORATE_RUN_DIR: join(this.folder, "run"),
      QUORATE_OWN_HOST: "127.0.0.1",
      QUORATE_PORT: String(this.port),
      QUORATE_TLS_PORT: String(this.tlsPort ?? ""),
      QUORATE_LEADER: "",
      QUORATE_LEADER_HOST: "",
      QUORATE_LEADER_PORT: "",
      QUORATE_LEADER_HISTORY: "",
      QUORATE_LEADER_ANCESTORS: "",
      QUORATE_SYNC_NAMES: "",
      QUORATE_SYNC_ACK: "0",
      ...(place.context as ActionContext | undefined),
    };
    this.driver = new CuttableDriver(specAsUser(spec, place), context, () => undefined);
  }

  get dataDir(): string {
    return join(this.folder, "data", "engine");
  }

  get parametersFile(): string {
    return join(this.folder, "parameters");
  }

  /** Forgets everything, as a member that comes anew, with an empty volume. */
  empty(): void {
    for (const folder of ["data", "run"]) rmSync(join(this.folder, folder), { recursive: true, force: true });
    mkdirSync(join(this.folder, "run"));
    this.#give(join(this.folder, "run"));
  }

  /** Runs a program beside the server, as its user and with what actions see. @returns what it printed, whatever became of it. */
  runBeside(
    argv: readonly string[],
    input: string,
    context: Partial<ActionContext> = {},
  ): Promise<{ readonly stdout: string; readonly stderr: string }> {
    const [program = "", ...args] = asUser(this.#place, argv);
    const env = { ...process.env, ...this.driver.startCommand(context).env };
    return new Promise((resolve) => {
      const child = execFile(program, args, { env, maxBuffer: MOST_OUTPUT, timeout: BESIDE_MS }, (_, stdout, stderr) =>
        resolve({ stdout, stderr }),
      );
      child.stdin?.on("error", () => undefined); // it has ended without reading all
      child.stdin?.end(input);
    });
  }

  /** Takes the parameters that the Engine has as defaults; without this there are none. */
  useDefaults(): void {
    const lines = Object.entries(this.driver.spec.parameters.defaults).map(([name, value]) => `${name}\t${value}\n`);
    writeFileSync(this.parametersFile, lines.join(""));
  }

  /** What the server has printed since this member was made. */
  get log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8") : "";
  }

  /** The end of {@link log}: enough to tell what the server was about. */
  get logEnd(): string {
    return this.log.slice(-LOG_CHARS);
  }

  get #logFile(): string {
    return join(this.folder, "server.log");
  }

  /** Whether the server's main process lives. */
  get running(): boolean {
    return this.#server !== undefined && this.#server.exitCode === null && this.#server.signalCode === null;
  }

  run(action: ActionName, context: Partial<ActionContext> = {}): Promise<ActionResult> {
    return this.driver.run(action, context);
  }

  /** Runs backup, and keeps what it writes in a file. @throws {ActionError} */
  async backUp(file: string): Promise<void> {
    await this.driver.run("backup", {}, undefined, { output: createWriteStream(file) });
  }

  /** Runs restore with what is in a file. @param signal - Kills it. @throws {ActionError} */
  async restore(file: string, signal?: AbortSignal): Promise<void> {
    const input = createReadStream(file);
    try {
      await this.driver.run("restore", {}, signal, { input });
    } finally {
      input.destroy();
    }
  }

  observe(): Promise<EngineObservation> {
    return this.driver.observe();
  }

  /** Receives from `leader`, by the position that it has now. */
  async follow(leader: HostMember): Promise<ActionResult> {
    const { position } = await leader.observe();
    return this.run("follow", { ...HostMember.following(leader), ...positionContext(position) });
  }

  /** Context that names `leader`. */
  static following(leader: HostMember): Partial<ActionContext> {
    return { QUORATE_LEADER: leader.name, QUORATE_LEADER_HOST: "127.0.0.1", QUORATE_LEADER_PORT: String(leader.port) };
  }

  /**
   * Configures and starts the server, as a follower of nobody unless `context` names a leader; resolves with its first observation.
   *
   * @throws {StartError} when it ends instead, or says nothing for a minute.
   */
  async start(context: Partial<ActionContext> = {}, pollMs = 20): Promise<EngineObservation> {
    await this.run("configure", context);
    this.spawnServer(context);
    return this.#untilItSpeaks(pollMs);
  }

  /**
   * The same by quorate-init, as in a pod; as a follower of nobody.
   *
   * @param init - The program.
   * @returns the way to move the deadline at which it kills everything; there is none before.
   * @throws {StartError}
   */
  async startUnderInit(init: string): Promise<InitClient> {
    await this.run("configure");
    const { argv, env } = this.driver.startCommand({});
    const log = openSync(this.#logFile, "a");
    const server = spawn(init, ["--", process.execPath, "-e", AGENT], {
      env: { ...process.env, NODE_OPTIONS: "", ...env },
      stdio: ["ignore", log, log, "ignore", "pipe"],
    });
    let why = "ended";
    server.on("error", ({ message }) => (why = message)); // its pipe ends, too
    this.#server = server;
    const client = new InitClient(server.stdio[4] as Socket);
    try {
      await client.start({ id: "conformance", argv: asUser(this.#place, argv) });
    } catch (error) {
      if (!(error instanceof InitDisconnected)) throw error;
      throw new StartError(`quorate-init, which was to start ${this.name}: ${why}:\n${this.logEnd}`, { cause: error });
    }
    await this.#untilItSpeaks();
    return client;
  }

  async #untilItSpeaks(pollMs = 20): Promise<EngineObservation> {
    const endMs = performance.now() + START_MS;
    for (;;) {
      try {
        return await this.observe();
      } catch (error) {
        const why = this.running ? "does not answer observe" : "ended at its start";
        if (!this.running || performance.now() > endMs) {
          throw new StartError(`start: ${this.name} ${why}:\n${this.logEnd}`, { cause: error });
        }
        await pause(pollMs);
      }
    }
  }

  /** Starts the server's main process and returns at once. */
  spawnServer(context: Partial<ActionContext> = {}): void {
    const { argv, env } = this.driver.startCommand(context);
    this.launch(argv, env);
  }

  /** The same with a command line and an environment that somebody else made. */
  launch(argv: readonly string[], env: Readonly<Record<string, string>>): void {
    const log = openSync(this.#logFile, "a");
    const [program = "", ...args] = asUser(this.#place, argv);
    this.#server = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", log, log] });
  }

  /** Stops the server with the signal that its Engine names. */
  async stop(): Promise<void> {
    await this.#end(() => this.#server?.kill(this.driver.spec.stop.signal));
  }

  /** The same, and kills it after so long. @returns whether it ended before. */
  async stopWithin(graceMs: number): Promise<boolean> {
    let isInTime = true;
    const timer = setTimeout(() => {
      isInTime = false;
      for (const pid of this.#processes()) killQuietly(pid);
    }, graceMs);
    await this.stop();
    clearTimeout(timer);
    return isInTime;
  }

  /** SIGKILL to the main process and all that it began at once, as the end of a container does. */
  async kill(): Promise<void> {
    await this.#end(() => {
      for (const pid of this.#processes()) killQuietly(pid);
    });
  }

  /** SIGKILL to the main process alone. */
  async killMain(): Promise<void> {
    await this.#end(() => this.#server?.kill("SIGKILL"));
  }

  /** Sends `signal` to every process of the server. */
  signalAll(signal: "SIGSTOP" | "SIGCONT"): void {
    for (const pid of this.#processes()) process.kill(pid, signal);
  }

  async #end(signal: () => void): Promise<void> {
    const server = this.#server;
    if (server === undefined || !this.running) return;
    const all = this.#processes();
    const ended = new Promise((resolve) => server.once("exit", resolve));
    this.driver.closeSessions();
    signal();
    await ended;
    while (all.some(lives)) await pause(2);
    this.#server = undefined;
  }

  /** The main process and all that it began; the server's children leave its process group. */
  #processes(): readonly number[] {
    const main = this.#server?.pid;
    if (main === undefined) return [];
    const all = readdirSync("/proc").flatMap((pid) =>
      /^\d+$/.test(pid) ? [{ pid: Number(pid), parent: parentOf(pid) }] : [],
    );
    const found = [main];
    // What is appended is looked at as well.
    for (const one of found) found.push(...all.filter(({ parent }) => parent === one).map(({ pid }) => pid));
    return found;
  }

  #give(path: string): void {
    if (process.getuid?.() === 0) chownSync(path, this.#place.user.uid, this.#place.user.gid);
  }
}

/** Whether a process has not ended; one that has ended and was not waited for does not count. */
function lives(pid: number): boolean {
  try {
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function parentOf(pid: string): number | undefined {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    // It ended while we looked.
    return undefined;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
