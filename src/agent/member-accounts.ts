/** All accounts that one member keeps in its engine: those that users ask for, and those that the engine brings for itself. */
import type { Intent } from "../api/agent-wire.ts";
import type { EngineSpec } from "../api/engine.ts";
import { AccountKeeper, type AccountKeeperOptions, keepingEpoch, ownAccounts } from "./accounts.ts";
import { accountsFile, type AgentSettings } from "./settings.ts";

/** What they need of the member. */
export interface MemberAccountsOptions extends Pick<AccountKeeperOptions, "nowMs" | "changed"> {
  readonly engine: EngineSpec;
  readonly settings: AgentSettings;
  /** Runs one of the engine's actions in this epoch, which is 0 where somebody else leads. */
  readonly run: (action: "makeAccounts" | "takePasswords", epoch: number) => Promise<unknown>;
  /** The epoch in which the member serves as the leader, if it does. */
  readonly servingEpoch: () => number | undefined;
  /** Whether the engine takes accounts at all. */
  readonly isEngineUp: () => boolean;
}

/** Keeps both kinds, each by itself: one that cannot be made holds up nothing of the other. */
export class MemberAccounts {
  readonly #ofUsers: AccountKeeper;
  readonly #own: AccountKeeper;

  constructor({ engine, settings, run, servingEpoch, isEngineUp, nowMs, changed }: MemberAccountsOptions) {
    const common = { credentialsDir: settings.QUORATE_CREDENTIALS_DIR, nowMs, changed };
    this.#ofUsers = new AccountKeeper({
      ...common,
      file: accountsFile(settings),
      make: (epoch) => run("makeAccounts", epoch),
      epoch: () => keepingEpoch(engine, servingEpoch(), isEngineUp()),
    });
    this.#own = new AccountKeeper({
      ...common,
      make: (epoch) => run("takePasswords", epoch),
      epoch: () => keepingEpoch({ keepsAccounts: "Member" }, servingEpoch(), isEngineUp()),
    });
    this.#own.want(ownAccounts(engine));
  }

  /** Why some could not be made; undefined when they are there, and while they are not this member's to keep. */
  get missing(): string | undefined {
    return this.#ofUsers.missing ?? this.#own.missing;
  }

  /** Takes in what the intent wants. */
  want(intent: Pick<Intent, "accounts">): void {
    this.#ofUsers.want(intent);
  }

  /** Makes what is not there yet. Called again and again; fails only over a bug. */
  async apply(): Promise<void> {
    await Promise.all([this.#ofUsers.apply(), this.#own.apply()]);
  }
}
