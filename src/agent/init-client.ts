/**
 * The agent's end of the line protocol with quorate-init, its parent and the container's PID 1 (docs/adr/0002).
 *
 * Every line sent gets exactly one direct answer, in order; `EXITED`, `GONE` and `TERM` come in between at any time.
 *
 * Instants are nanoseconds of init's CLOCK_BOOTTIME, which Node cannot read: ask for them with {@link InitClient.nowNs}.
 * Take an instant *before* sending a renewal and fence at that instant plus R: whatever delays the agent, its event loop or
 * the whole machine afterwards, suspend included, can then only make the deadline nearer, and no clock needs converting.
 */
import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** What init knows, as answered to `HELLO`. */
export interface InitState {
  /** `gone-partial`: the main process ended, but other processes of the engine live. */
  readonly engine: "running" | "stopped" | "gone-partial";
  /** The engine's main process; null unless `running`. */
  readonly pid: number | null;
  /** The id given to {@link InitClient.start}; null once the engine is gone. */
  readonly id: string | null;
  /** The armed fence deadline; null when disarmed. */
  readonly deadlineNs: bigint | null;
  readonly nowNs: bigint;
  /** How often an agent was restarted since the container started. */
  readonly agentRestarts: number;
  /** How often the deadline fired since the container started. */
  readonly fenced: number;
}

/** How the engine's main process ended. Other processes of the engine may still live: wait for `gone`. */
export interface EngineExit {
  readonly id: string;
  readonly code: number | null;
  readonly signal: number | null;
}

/** An engine to start: argv is executed as it is, without a shell; env is added to the container's. */
export interface EngineStart {
  /** 1 to 64 printable characters without blanks; not "-". */
  readonly id: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Init refused a line; nothing was changed by it. */
export class InitRefusal extends Error {
  override readonly name = "InitRefusal";
  readonly verb: string;
  readonly reason: string;

  constructor(verb: string, reason: string) {
    super(`quorate-init refused ${verb}: ${reason}`);
    this.verb = verb;
    this.reason = reason;
  }
}

/** The connection to init ended: this agent can extend nothing any more, and is about to be replaced. */
export class InitDisconnected extends Error {
  override readonly name = "InitDisconnected";
}

interface Waiter {
  readonly resolve: (words: readonly string[]) => void;
  readonly reject: (error: Error) => void;
}

interface InitEvents {
  exited: [EngineExit];
  gone: [id: string | null];
  term: [];
  disconnected: [InitDisconnected];
}

/** A typed client of quorate-init. Events: `exited`, `gone`, `term` (hand over and stop), `disconnected`. */
export class InitClient extends EventEmitter<InitEvents> {
  readonly #stream: Duplex;
  readonly #answers: Waiter[] = [];
  #goneWaiters: Waiter[] = [];
  #partial = "";
  #ended: InitDisconnected | null = null;

  constructor(stream: Duplex) {
    super();
    this.#stream = stream;
    stream.setEncoding("latin1");
    stream.on("data", (chunk: string) => this.#receive(chunk));
    stream.on("error", (error) => this.#end(error));
    stream.on("close", () => this.#end());
  }

  /** Opens the descriptor that init handed to its agent. Throws outside of quorate-init. */
  static open(env: NodeJS.ProcessEnv = process.env): InitClient {
    const fd = Number(env["QUORATE_INIT_FD"] ?? Number.NaN);
    if (!Number.isInteger(fd)) throw new InitDisconnected("QUORATE_INIT_FD is not set: not started by quorate-init");
    return new InitClient(new Socket({ fd, readable: true, writable: true }));
  }

  /** Announces this agent as alive and returns what init knows. After SIGTERM to init, `term` follows each hello. */
  async hello(): Promise<InitState> {
    const [, ...pairs] = await this.#ask("HELLO");
    const fields = new Map(pairs.map((pair) => splitOnce(pair, "=")));
    const field = (name: string): string => {
      const value = fields.get(name);
      if (value === undefined) throw new InitRefusal("HELLO", `no field ${name} in the answer`);
      return value;
    };
    const engine = field("engine");
    if (engine !== "running" && engine !== "stopped" && engine !== "gone-partial") {
      throw new InitRefusal("HELLO", `unknown engine state ${engine}`);
    }
    return {
      engine,
      pid: engine === "running" ? Number(field("pid")) : null,
      id: orNull(field("id")),
      deadlineNs: field("armed") === "1" ? BigInt(field("deadline")) : null,
      nowNs: BigInt(field("now")),
      agentRestarts: Number(field("agentRestarts")),
      fenced: Number(field("fenced")),
    };
  }

  /** Init's CLOCK_BOOTTIME, read after this call was made: a lower bound of any instant after it resolves. */
  async nowNs(): Promise<bigint> {
    const [, now] = await this.#ask("NOW");
    return BigInt(now ?? "");
  }

  /** Starts the engine in a session of its own; returns its main pid. Refused while any process of an engine lives. */
  async start({ id, argv, env = {} }: EngineStart): Promise<number> {
    const settings = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const words = [...settings, ...argv].map(base64).join(" ");
    const [, , pid] = await this.#ask(`START ${id} ${settings.length} ${words}`);
    return Number(pid);
  }

  /** Arms the fence, or moves it later. Refused when not in the future, earlier than armed, or over five minutes ahead. */
  async fence(deadlineNs: bigint): Promise<void> {
    await this.#ask(`FENCE ${deadlineNs}`);
  }

  /** Takes the fence away. Refused while any process of the engine lives. */
  async disarm(): Promise<void> {
    await this.#ask("DISARM");
  }

  /** Sends a signal, by number, to the engine's main process. */
  async signal(signum: number): Promise<void> {
    await this.#ask(`SIGNAL ${signum}`);
  }

  /** Signals the main process, kills what is left after graceMs, and resolves when no process of the engine lives. */
  async stop(signum: number, graceMs: number): Promise<void> {
    await this.#untilGone(`STOP ${signum} ${graceMs}`);
  }

  /** Kills every process of the engine and resolves when none lives; in uninterruptible sleep that may take for ever. */
  async kill(): Promise<void> {
    await this.#untilGone("KILL");
  }

  /** Closes the connection; init takes the agent's death for granted a second later. */
  close(): void {
    this.#stream.destroy();
  }

  // The wait begins inside the answer's own turn: a `GONE` in the same chunk as `OK` belongs to this stop.
  #untilGone(line: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      this.#send(line, { resolve: () => this.#goneWaiters.push({ resolve, reject }), reject });
    });
  }

  #ask(line: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) => this.#send(line, { resolve, reject }));
  }

  #send(line: string, waiter: Waiter): void {
    if (this.#ended) return waiter.reject(this.#ended);
    if (/[^\x20-\x7e]/.test(line))
      return waiter.reject(new InitRefusal(line.split(" ")[0] ?? "", "not one ASCII line"));
    this.#answers.push(waiter);
    this.#stream.write(`${line}\n`);
  }

  #receive(chunk: string): void {
    const lines = (this.#partial + chunk).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.#obey(line.split(" "));
  }

  #obey(words: readonly string[]): void {
    switch (words[0]) {
      case "EXITED": {
        const [how, value] = splitOnce(words[2] ?? "", "=");
        const number = Number(value);
        this.emit("exited", {
          id: words[1] ?? "",
          code: how === "code" ? number : null,
          signal: how === "signal" ? number : null,
        });
        return;
      }
      case "GONE": {
        const waiters = this.#goneWaiters;
        this.#goneWaiters = [];
        this.emit("gone", orNull(words[1] ?? "-"));
        for (const waiter of waiters) waiter.resolve(words);
        return;
      }
      case "TERM":
        this.emit("term");
        return;
      case "ERR":
        this.#answers.shift()?.reject(new InitRefusal(words[1] ?? "?", words.slice(2).join(" ")));
        return;
      default:
        this.#answers.shift()?.resolve(words);
    }
  }

  #end(cause?: Error): void {
    if (this.#ended) return;
    this.#ended = new InitDisconnected("the connection to quorate-init ended", { cause });
    for (const waiter of [...this.#answers.splice(0), ...this.#goneWaiters.splice(0)]) waiter.reject(this.#ended);
    this.emit("disconnected", this.#ended);
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}

function orNull(id: string): string | null {
  return id === "-" ? null : id;
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
