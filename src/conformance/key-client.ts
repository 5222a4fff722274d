/** A client of the data, as a program that whoever tries an Engine brings along: what a key is, and how it is written, no Engine says. */
import type { ActionContext } from "../agent/engine/context.ts";
import type { HostMember } from "./host-member.ts";

const KEYS_AT_ONCE = 20;

/**
 * Runs the program with one word, `write` or `read`, and keys on its standard input, a line each. `write` stores each key with itself as
 * its value and prints those that were acknowledged; `read` prints the value of each that it finds. It sees what actions see, of a member
 * that takes writes.
 */
export class KeyClient {
  readonly #program: string;
  readonly #through: () => HostMember;
  readonly #context: Partial<ActionContext>;
  readonly #acknowledged: string[] = [];
  #next = 0;
  #said = "";

  /**
   * @param through - The member that it is to connect to; asked each time.
   * @param context - What it sees in place of what that member's actions see.
   */
  constructor(program: string, through: () => HostMember, context: Partial<ActionContext> = {}) {
    this.#program = program;
    this.#through = through;
    this.#context = context;
  }

  /** The keys that were acknowledged since this client was made. */
  get keys(): readonly string[] {
    return this.#acknowledged;
  }

  /** What the program last complained of. */
  get said(): string {
    return this.#said;
  }

  /** Writes some more keys. @returns how many were acknowledged. */
  async write(): Promise<number> {
    const keys = Array.from({ length: KEYS_AT_ONCE }, () => `key-${this.#next++}`);
    const answers = new Set(await this.#run("write", keys));
    const taken = keys.filter((key) => answers.has(key));
    this.#acknowledged.push(...taken);
    return taken.length;
  }

  /** Whether it writes and reads all that it is asked to. */
  async works(): Promise<boolean> {
    return (await this.write()) === KEYS_AT_ONCE && (await this.missing()).length === 0;
  }

  /** Those of these keys, of the acknowledged ones unless given, that are not found. */
  async missing(keys: readonly string[] = this.#acknowledged): Promise<readonly string[]> {
    const found = new Set(await this.#run("read", keys));
    return keys.filter((key) => !found.has(key));
  }

  async #run(word: "write" | "read", keys: readonly string[]): Promise<readonly string[]> {
    const { stdout, stderr } = await this.#through().runBeside(
      [this.#program, word],
      keys.map((key) => `${key}\n`).join(""),
      this.#context,
    );
    this.#said = stderr.trim().slice(-500);
    return stdout.split("\n");
  }
}
