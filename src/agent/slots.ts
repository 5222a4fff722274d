/** Slots of a shard: what actions are told of the other shards, and what the leader is asked to do about slots, until its data says that it is done. */
import type { Intent, IntentShard } from "../api/agent-wire.ts";
import type { EngineObservation } from "../api/engine-observation.ts";
import type { ActionContext } from "./engine/context.ts";
import { ActionError } from "./engine/driver.ts";

type SlotRequest = NonNullable<IntentShard["request"]>;

/** A failure is not tried again sooner: what is missing is a leader elsewhere, or a server that has not met the others yet. */
const RETRY_MS = 2000;

/** What every action of a shard sees; empty for a cluster that is none. */
export function shardContext({ shard }: Pick<Intent, "shard">): Partial<ActionContext> {
  const peers = (shard?.peers ?? []).map(({ name, host, port, memberPort }) => `${name}=${host}:${port}:${memberPort}`);
  return { QUORATE_SHARD_PEERS: peers.join(",") };
}

/** What the keeper needs. */
export interface SlotKeeperOptions {
  readonly member: string;
  /** Runs an action of the Engine, until the signal ends it. */
  readonly run: (
    action: SlotRequest["action"],
    context: Partial<ActionContext>,
    signal: AbortSignal,
  ) => Promise<unknown>;
  /** The epoch under which this member serves writes; undefined while it does not. */
  readonly servingEpoch: () => number | undefined;
  readonly nowMs: () => number;
  /** What holds slots up changed. */
  readonly changed: () => void;
}

/** Carries out what is asked about slots, as long as its member serves in the epoch that it was asked in. */
export class SlotKeeper {
  readonly #options: SlotKeeperOptions;
  #request: SlotRequest | undefined;
  #doing: { readonly key: string; readonly end: AbortController } | undefined;
  #done: string | undefined;
  #heldUp: string | undefined;
  #retryAtMs = 0;

  constructor(options: SlotKeeperOptions) {
    this.#options = options;
  }

  /** Why slots could not be assigned or moved; undefined when they were, and while somebody else leads. */
  get heldUp(): string | undefined {
    return this.#isMine(this.#request) ? this.#heldUp : undefined;
  }

  /** Takes in what the intent asks for. */
  want({ shard }: Pick<Intent, "shard">): void {
    if (keyOf(shard?.request) === keyOf(this.#request)) return;
    this.#request = shard?.request;
    this.#retryAtMs = 0;
    this.#tell(undefined);
  }

  /** Begins what is wanted, and ends what is not any more. Called after every look at the engine; fails only over a bug. */
  async apply({ shard }: Pick<EngineObservation, "shard">): Promise<void> {
    const { nowMs } = this.#options;
    const request = this.#isMine(this.#request) ? this.#request : undefined;
    const key = keyOf(request);
    if (this.#doing !== undefined) {
      if (this.#doing.key !== key) this.#doing.end.abort();
      return;
    }
    if (request === undefined || shard === undefined || key === this.#done || nowMs() < this.#retryAtMs) return;
    const end = new AbortController();
    this.#doing = { key, end };
    try {
      await this.#options.run(request.action, contextOf(request), end.signal);
      this.#done = key;
      this.#tell(undefined);
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      this.#retryAtMs = nowMs() + RETRY_MS;
      if (!end.signal.aborted) this.#tell(error.message.slice(0, 512));
    } finally {
      this.#doing = undefined;
    }
  }

  #isMine(request: SlotRequest | undefined): boolean {
    const { member, servingEpoch } = this.#options;
    return request?.member === member && request.epoch === servingEpoch();
  }

  #tell(heldUp: string | undefined): void {
    if (heldUp === this.#heldUp) return;
    this.#heldUp = heldUp;
    this.#options.changed();
  }
}

function contextOf({ slots, target, targetHost, targetPort, epoch }: SlotRequest): Partial<ActionContext> {
  return {
    QUORATE_EPOCH: String(epoch),
    QUORATE_SLOTS: slots,
    QUORATE_TARGET: target,
    QUORATE_TARGET_HOST: targetHost,
    QUORATE_TARGET_PORT: String(targetPort),
  };
}

function keyOf(request: SlotRequest | undefined): string {
  return request === undefined ? "" : JSON.stringify(request);
}
