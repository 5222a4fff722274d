/** One connection to a server that speaks Redis's protocol: a command, then its answer. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Where a server listens. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  /** Whom to believe, and by what name, of a server that speaks TLS at that port; absent: it does not. */
  readonly tls?: { readonly ca: string; readonly servername?: string };
}

/** How long an answer may take; a client that waits longer does not notice that the server is gone. */
export const DEADLINE_MS = 1000;

/** What a server answers; the elements of an array one after the other. */
type Answer = string | Error;

interface Parsed {
  readonly answer: Answer;
  /** Where the next answer begins. */
  readonly end: number;
}

/** Reads one answer that begins at `from`. @returns undefined when it is not all there yet. */
function parse(text: string, from = 0): Parsed | undefined {
  const lineEnd = text.indexOf("\r\n", from);
  if (lineEnd < 0) return undefined;
  const [kind, line, next] = [text[from], text.slice(from + 1, lineEnd), lineEnd + 2];
  if (kind === "-") return { answer: new Error(line), end: next };
  if (kind !== "$" && kind !== "*") return { answer: line, end: next };
  const count = Number(line);
  if (count < 0) return { answer: "", end: next };
  if (kind === "$") {
    const end = next + count + 2;
    return text.length < end ? undefined : { answer: text.slice(next, end - 2), end };
  }
  const elements: string[] = [];
  let at = next;
  for (let element = 0; element < count; element++) {
    const parsed = parse(text, at);
    if (parsed === undefined) return undefined;
    elements.push(String(parsed.answer));
    at = parsed.end;
  }
  return { answer: elements.join("\n"), end: at };
}

/** One connection; commands without spaces in their words, one at a time, answers of ASCII. */
export class RedisConnection {
  readonly #socket: Socket;
  #text = "";
  #waiting: ((answer: Answer) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (chunk: string) => this.#take(chunk));
    for (const event of ["error", "close"]) socket.on(event, () => this.#settle(new Error("connection lost")));
  }

  /** Connects and logs in as account `app`. @throws {Error} when either fails. */
  static async open({ host, port, tls }: RedisAddress, password: string): Promise<RedisConnection> {
    const socket = tls === undefined ? connect({ host, port }) : connectTls({ host, port, ...tls });
    const connection = new RedisConnection(socket);
    try {
      await connection.ask(`AUTH app ${password}`);
      return connection;
    } catch (error) {
      connection.end();
      throw error;
    }
  }

  /** @throws {Error} for an answer that is an error, a lost connection, or none in time. */
  ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(new Error("client deadline")), DEADLINE_MS);
      this.#waiting = (answer) => {
        clearTimeout(timer);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      this.#socket.write(`${command}\r\n`);
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    this.#text += chunk;
    const parsed = parse(this.#text);
    if (parsed === undefined) return;
    this.#text = "";
    this.#settle(parsed.answer);
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(answer);
  }
}
