/**
 * Accounts for applications, kept in the engine by the member that serves, or by each where each has its own: made when the intent
 * asks for another one, and made anew when a password on the volume of credentials changed. Passwords are read, hashed and forgotten;
 * only the engine's own program sees them.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Intent } from "../api/agent-wire.ts";
import type { EngineSpec } from "../api/engine.ts";
import { ActionError } from "./engine/driver.ts";

type Account = NonNullable<Intent["accounts"]>[number];

/** A failure is not tried again sooner: each try costs the engine logins. */
const RETRY_MS = 10_000;

/**
 * How old what was read of the passwords may be. It takes a kubelet up to a minute to bring a changed one, and an agent at rest did
 * nothing more costly than to read and hash them at every look at its engine.
 */
const LOOK_EVERY_MS = 5_000;

/** What the keeper needs. */
export interface AccountKeeperOptions {
  /** File that the engine's action reads, one `name<TAB>database<TAB>key of the password` a line, then the account's rules. */
  readonly file?: string;
  readonly credentialsDir: string;
  /** Makes the accounts of the file, in this epoch. */
  readonly make: (epoch: number) => Promise<unknown>;
  /** See {@link keepingEpoch}. */
  readonly epoch: () => number | undefined;
  readonly nowMs: () => number;
  /** What is missing changed. */
  readonly changed: () => void;
}

/**
 * The epoch in which a member keeps accounts; undefined while it keeps none.
 * @param servingEpoch - The one in which it serves as the leader, if it does.
 */
export function keepingEpoch(
  { keepsAccounts }: Pick<EngineSpec, "keepsAccounts">,
  servingEpoch: number | undefined,
  isEngineUp: boolean,
): number | undefined {
  if (keepsAccounts === "Data") return servingEpoch;
  return isEngineUp ? (servingEpoch ?? 0) : undefined;
}

/** The accounts that an engine brings for itself, as a keeper wants them; none for an engine that takes up no other passwords. */
export function ownAccounts({ accounts, actions }: EngineSpec): Pick<Intent, "accounts"> {
  if (actions.takePasswords === undefined) return {};
  const own = accounts.filter(({ connection }) => connection === undefined);
  return { accounts: own.map(({ name, secretKey = name }) => ({ name, secretKey, database: "" })) };
}

/** Keeps the accounts of one cluster, while its member is the one that does. */
export class AccountKeeper {
  readonly #options: AccountKeeperOptions;
  #wanted: readonly Account[] | undefined;
  /** What the engine is known to have, since when; unknown to an agent that has just started. */
  #made: string | undefined;
  /** For which epoch and list that was last seen to be so, and when. */
  #seen: { readonly epoch: number; readonly wanted: readonly Account[]; readonly atMs: number } | undefined;
  #missing: string | undefined;
  #retryAtMs = 0;
  #busy = false;

  constructor(options: AccountKeeperOptions) {
    this.#options = options;
  }

  /** Why accounts could not be made; undefined when they are there, and while they are not this member's to keep. */
  get missing(): string | undefined {
    return this.#options.epoch() === undefined ? undefined : this.#missing;
  }

  /** Takes in what the intent wants; undefined for an engine that makes its accounts in another way. */
  want({ accounts }: Pick<Intent, "accounts">): void {
    this.#wanted = accounts;
    this.#retryAtMs = 0;
  }

  /** Makes what is wanted, if it is not there yet. Called again and again; fails only over a bug. */
  async apply(): Promise<void> {
    const wanted = this.#wanted;
    const epoch = this.#options.epoch();
    // An engine that was started anew, or that somebody else led meanwhile, may have others.
    if (epoch === undefined) this.#made = undefined;
    const nowMs = this.#options.nowMs();
    if (wanted === undefined || epoch === undefined || this.#busy || nowMs < this.#retryAtMs) return;
    if (this.#wasJustSeen(wanted, epoch, nowMs)) return;
    this.#busy = true;
    try {
      const contents = await this.#contentsOf(wanted);
      const key = `${epoch} ${contents}`;
      if (contents === undefined) this.#fail("a password has not reached this member yet");
      else if (key !== this.#made) await this.#make(wanted, { epoch, key });
      if (contents !== undefined && key === this.#made) this.#seen = { epoch, wanted, atMs: nowMs };
    } finally {
      this.#busy = false;
    }
  }

  #wasJustSeen(wanted: readonly Account[], epoch: number, nowMs: number): boolean {
    const seen = this.#seen;
    if (this.#made === undefined || seen === undefined) return false;
    return seen.epoch === epoch && seen.wanted === wanted && nowMs - seen.atMs < LOOK_EVERY_MS;
  }

  async #make(
    wanted: readonly Account[],
    { epoch, key }: { readonly epoch: number; readonly key: string },
  ): Promise<void> {
    const { file } = this.#options;
    const lines = wanted.map(({ name, database, secretKey, rules = [] }) =>
      [name, database, secretKey, ...rules].join("\t"),
    );
    if (file !== undefined) await writeFile(file, lines.map((line) => `${line}\n`).join(""));
    try {
      await this.#options.make(epoch);
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      return this.#fail(error.message);
    }
    this.#made = key;
    this.#tell(undefined);
  }

  /** Differs when the list or a password does; undefined while a password is not there. */
  async #contentsOf(wanted: readonly Account[]): Promise<string | undefined> {
    const hash = createHash("sha256");
    for (const { name, database, secretKey, rules = [] } of wanted) {
      const password = await readFile(join(this.#options.credentialsDir, secretKey)).catch(absent);
      if (password === undefined) return undefined;
      hash.update(JSON.stringify([name, database, ...rules])).update(createHash("sha256").update(password).digest());
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
