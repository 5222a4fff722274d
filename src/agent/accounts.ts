/**
 * Accounts for applications, kept in the engine by the member that serves: made when the intent asks for another one, and made
 * anew when a password on the volume of credentials changed. Passwords are read, hashed and forgotten; only the engine's own
 * program sees them.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Intent } from "../api/agent-wire.ts";
import { ActionError } from "./engine/driver.ts";

type Account = NonNullable<Intent["accounts"]>[number];

/** A failure is not tried again sooner: each try costs the engine logins. */
const RETRY_MS = 10_000;

/** What the keeper needs. */
export interface AccountKeeperOptions {
  /** File that the engine's action reads, one `name<TAB>database<TAB>key of the password` a line. */
  readonly file: string;
  readonly credentialsDir: string;
  /** Makes the accounts of the file. */
  readonly make: () => Promise<unknown>;
  /** Whether this member serves writes. */
  readonly serves: () => boolean;
  readonly nowMs: () => number;
  /** What is missing changed. */
  readonly changed: () => void;
}

/** Keeps the accounts of one cluster, while its member serves. */
export class AccountKeeper {
  readonly #options: AccountKeeperOptions;
  #wanted: readonly Account[] | undefined;
  /** What the engine is known to have; unknown to an agent that has just started. */
  #made: string | undefined;
  #missing: string | undefined;
  #retryAtMs = 0;
  #busy = false;

  constructor(options: AccountKeeperOptions) {
    this.#options = options;
  }

  /** Why accounts could not be made; undefined when they are there, and while somebody else serves. */
  get missing(): string | undefined {
    return this.#options.serves() ? this.#missing : undefined;
  }

  /** Takes in what the intent wants; undefined for an engine that makes its accounts in another way. */
  want({ accounts }: Pick<Intent, "accounts">): void {
    this.#wanted = accounts;
    this.#retryAtMs = 0;
  }

  /** Makes what is wanted, if it is not there yet. Called again and again; fails only over a bug. */
  async apply(): Promise<void> {
    const { serves, nowMs } = this.#options;
    const wanted = this.#wanted;
    if (wanted === undefined || this.#busy || !serves() || nowMs() < this.#retryAtMs) return;
    this.#busy = true;
    try {
      const key = await this.#keyOf(wanted);
      if (key === undefined) this.#fail("a password has not reached this member yet");
      else if (key !== this.#made) await this.#make(wanted, key);
    } finally {
      this.#busy = false;
    }
  }

  async #make(wanted: readonly Account[], key: string): Promise<void> {
    const lines = wanted.map(({ name, database, secretKey }) => `${name}\t${database}\t${secretKey}\n`);
    await writeFile(this.#options.file, lines.join(""));
    try {
      await this.#options.make();
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      return this.#fail(error.message);
    }
    this.#made = key;
    this.#tell(undefined);
  }

  /** Differs when the list or a password does; undefined while a password is not there. */
  async #keyOf(wanted: readonly Account[]): Promise<string | undefined> {
    const hash = createHash("sha256");
    for (const { name, database, secretKey } of wanted) {
      const password = await readFile(join(this.#options.credentialsDir, secretKey)).catch(absent);
      if (password === undefined) return undefined;
      hash.update(JSON.stringify([name, database])).update(createHash("sha256").update(password).digest());
    }
    return hash.digest("hex");
  }

  #fail(message: string): void {
    this.#retryAtMs = this.#options.nowMs() + RETRY_MS;
    this.#tell(message.slice(0, 512));
  }

  #tell(missing: string | undefined): void {
    if (missing === this.#missing) return;
    this.#missing = missing;
    this.#options.changed();
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
