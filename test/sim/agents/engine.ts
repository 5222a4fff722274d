// An engine of one member: a replicated log on a volume, told what to do as EngineControl tells real ones. Its work goes on by events
// of its node, so that a paused agent stops none of it; what an agent waited for when it ended is heard by nobody.
import { ActionEnded, type LeaderAddress } from "../../../src/agent/engine/control.ts";
import { ActionError, IMPOSSIBLE } from "../../../src/agent/engine/driver.ts";
import { comparePositions, type Position } from "../../../src/agent/protocol/position.ts";
import type { EngineObservation } from "../../../src/api/engine-observation.ts";
import type { Network } from "../network.ts";
import type { Scheduler } from "../scheduler.ts";

/** One entry of a log: a client's row, or the mark that a promotion leaves. `id` is unique over the whole run. */
export interface Entry {
  readonly id: number;
  readonly epoch: number;
  readonly isMark: boolean;
}

/** What engines have in common. */
export interface EngineParts {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly members: readonly string[];
  readonly engineOf: (member: string) => Engine | undefined;
  /** Called when the engine has become writable, and when a client is told that its row is safe. */
  readonly promoted: (engine: Engine) => void;
  readonly acknowledged: (engine: Engine, entry: Entry, index: number) => void;
  /** Called when the engine has taken entries in from `source`. */
  readonly received: (engine: Engine, source: Engine) => void;
  readonly nextId: () => number;
  /** Called when a stop has ended it, whichever agent ordered that. */
  readonly exited: () => void;
}

interface Receiver {
  readonly from: string;
  isReceiving: boolean;
}

/** How long each action takes, in ms: least and most. */
const TAKES_MS = {
  start: [50, 800],
  follow: [5, 60],
  seal: [5, 80],
  promote: [20, 400],
  setSyncSet: [2, 30],
  copy: [300, 3_000],
  stop: [20, 1_200],
  kill: [5, 80],
} as const;

/** One member's engine with its volume. */
export class Engine {
  readonly member: string;
  volume: "empty" | "data" | "incomplete" = "empty";
  mode: "stopped" | "follower" | "writable" = "stopped";
  log: Entry[] = [];
  epoch = 0;
  names: readonly string[] = [];
  ack = 0;
  /** What each standby has confirmed on its present connection. */
  readonly flushed = new Map<string, number>();
  #acknowledged = 0;
  #receiver: Receiver | undefined;
  #run = 0;
  #action: AbortController | undefined;
  /** What ended while nothing goes on here; undefined while everything does. */
  #pending: (() => void)[] | undefined;
  #waiting: { readonly index: number; readonly resolve: () => void } | undefined;
  readonly #parts: EngineParts;

  constructor(member: string, parts: EngineParts) {
    this.member = member;
    this.#parts = parts;
  }

  get upstream(): string | undefined {
    return this.#receiver?.from;
  }

  // ------------------------------------------------------------------------------------------- what its agent tells it

  async start(permitted: () => Promise<void>): Promise<EngineObservation> {
    const signal = this.#begin();
    await permitted();
    await this.#takes("start", signal);
    if (this.volume !== "data" || this.mode !== "stopped")
      throw new ActionError("configure", 1, "it cannot be started");
    this.mode = "follower";
    this.#run += 1;
    return this.observe();
  }

  async follow({ member }: LeaderAddress, position: Position): Promise<void> {
    await this.#takes("follow", this.#begin());
    if (this.mode !== "follower") throw new ActionError("follow", 1, "it is no follower");
    const order = comparePositions(this.position(), position);
    if (order !== "equal" && order !== "behind" && order !== "ahead")
      throw new ActionError("follow", IMPOSSIBLE, "its copy has a tail of its own");
    if (this.#receiver?.from === member) return;
    this.#disconnect();
    this.#receiver = { from: member, isReceiving: false };
    this.receive();
  }

  async seal(): Promise<Position> {
    await this.#takes("seal", this.#begin());
    if (this.mode !== "follower") throw new ActionError("seal", 1, "it is no follower");
    this.#disconnect();
    return this.position();
  }

  async promote(epoch: number): Promise<Position> {
    await this.#takes("promote", this.#begin());
    if (this.mode === "stopped") throw new ActionError("promote", 1, "it does not run");
    this.epoch = epoch;
    if (this.mode === "follower") {
      this.#disconnect();
      this.#acknowledged = this.log.length;
      this.mode = "writable";
      this.log.push({ id: this.#parts.nextId(), epoch, isMark: true });
    }
    this.#parts.promoted(this);
    this.#spread();
    return this.position();
  }

  async setSyncSet(names: readonly string[], ack: number, verify: boolean): Promise<void> {
    const signal = this.#begin();
    await this.#takes("setSyncSet", signal);
    this.names = names;
    this.ack = ack;
    this.#acknowledge();
    if (!verify) return;
    if (this.mode !== "writable") throw new ActionError("setSyncSet", 1, "it is not writable");
    const index = this.log.length;
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { index, resolve };
      signal.addEventListener("abort", () => reject(new ActionEnded("ended by a stop or a newer action")));
      this.#acknowledge();
    });
  }

  async clone({ member }: LeaderAddress): Promise<void> {
    const signal = this.#begin();
    if (this.mode !== "stopped") throw new ActionError("clone", 1, "it runs");
    this.volume = "incomplete";
    await this.#takes("copy", signal);
    const source = this.#parts.engineOf(member);
    if (source?.mode !== "writable" || !this.#reaches(member)) throw new ActionError("clone", 1, "there is no source");
    this.log = [...source.log];
    this.volume = "data";
  }

  async rejoin(from: LeaderAddress): Promise<"cloned"> {
    await this.clone(from);
    return "cloned";
  }

  async initialize(): Promise<void> {
    const signal = this.#begin();
    this.volume = "incomplete";
    await this.#takes("copy", signal);
    this.log = [];
    this.volume = "data";
  }

  async prepareHandover(): Promise<void> {
    await this.#takes("follow", this.#begin());
  }

  async stop(mode: "fast" | "kill"): Promise<void> {
    this.#action?.abort();
    const run = this.#run;
    await this.#takes(mode === "fast" ? "stop" : "kill");
    // What another one killed and started anew meanwhile is not what was to be stopped.
    if (this.#run !== run || this.mode === "stopped") return;
    this.die();
    this.#parts.exited();
  }

  observe(): EngineObservation {
    const streaming = (name: string) => this.#parts.engineOf(name)?.isStreamingFrom(this.member) === true;
    const followers = [...this.flushed].map(([name, value]) => ({
      name,
      value: String(value),
      streaming: streaming(name),
    }));
    return {
      writable: this.mode === "writable",
      position: { ...this.position(), ancestors: [...this.position().ancestors] },
      receiving: this.#receiver !== undefined && this.isStreamingFrom(this.#receiver.from),
      followers,
      syncSet: { names: [...this.names], ack: this.ack },
      version: "1",
    };
  }

  // --------------------------------------------------------------------------------------------------- what becomes of it

  /** Nothing goes on in it from now on; its connections stay. */
  freeze(): void {
    this.#pending ??= [];
  }

  /** It goes on where it was. */
  thaw(): void {
    const pending = this.#pending ?? [];
    this.#pending = undefined;
    for (const act of pending) act();
    this.receive();
    this.#spread();
  }

  get #isFrozen(): boolean {
    return this.#pending !== undefined;
  }

  /** Every process of it ends this moment. */
  die(): void {
    this.#action?.abort();
    this.#disconnect();
    this.mode = "stopped";
    this.#run += 1;
    this.flushed.clear();
    this.#waiting = undefined;
  }

  /** Where its log ends; histories are named by the promotion that opened them. */
  position(): Position {
    const ancestors: { history: string; value: string }[] = [];
    let history = "0";
    for (const [index, { id, epoch, isMark }] of this.log.entries()) {
      if (!isMark) continue;
      ancestors.push({ history, value: String(index) });
      history = `${epoch}.${id}`;
    }
    const isSealed = this.mode === "follower" && this.#receiver === undefined;
    return { history, value: String(this.log.length), ancestors, ...(isSealed ? { sendable: true } : {}) };
  }

  /** A client's row; it is told that the row is safe when enough standbys have it. */
  write(): void {
    if (this.mode !== "writable" || this.#isFrozen) return;
    this.log.push({ id: this.#parts.nextId(), epoch: this.epoch, isMark: false });
    this.#acknowledge();
    this.#spread();
  }

  isStreamingFrom(member: string): boolean {
    const source = this.#parts.engineOf(member);
    return (
      this.mode === "follower" &&
      this.#receiver?.from === member &&
      this.#reaches(member) &&
      source !== undefined &&
      source.mode !== "stopped" &&
      (source.mode === "follower" || isBeginning(this.log, source.log))
    );
  }

  /** Asks whoever it follows for what comes next, as long as there is any; called again whenever there may be more. */
  receive(): void {
    const receiver = this.#receiver;
    if (receiver === undefined || receiver.isReceiving || !this.isStreamingFrom(receiver.from)) return;
    const source = this.#parts.engineOf(receiver.from);
    if (source === undefined || this.#isFrozen || source.#isFrozen) return;
    const run = source.#run;
    const from = this.log.length;
    const isNew = source.log.length > from || source.flushed.get(this.member) !== from;
    if (!isNew) return;
    receiver.isReceiving = true;
    const entries = isBeginning(this.log, source.log) ? source.log.slice(from) : [];
    this.#parts.network.send(receiver.from, this.member, () => {
      receiver.isReceiving = false;
      // What comes over a connection that was given up is not taken.
      if (this.#receiver !== receiver || this.log.length !== from || this.#isFrozen) return;
      this.log.push(...entries);
      if (entries.length > 0) this.#parts.received(this, source);
      const length = this.log.length;
      this.#parts.network.send(this.member, receiver.from, () => {
        if (source.#run === run) source.#confirm(this.member, length);
      });
      this.receive();
      this.#spread();
    });
    // A message on a cut link is lost: the connection is opened anew.
    this.#parts.scheduler.after(1_000, () => {
      if (!receiver.isReceiving) return;
      receiver.isReceiving = false;
      this.receive();
    });
  }

  #confirm(member: string, length: number): void {
    if (this.#parts.engineOf(member)?.upstream !== this.member || this.#isFrozen) return;
    this.flushed.set(member, length);
    this.#acknowledge();
  }

  /** Tells clients whose rows enough have, in the order of the log, and ends a wait that has come true. */
  #acknowledge(): void {
    if (this.mode !== "writable") return;
    const confirmed = this.#confirmedLength();
    for (let index = this.#acknowledged; index < confirmed; index += 1) {
      const entry = this.log[index];
      if (entry?.isMark === false) this.#parts.acknowledged(this, entry, index);
    }
    this.#acknowledged = Math.max(this.#acknowledged, confirmed);
    if (this.#waiting === undefined || confirmed < this.#waiting.index) return;
    this.#waiting.resolve();
    this.#waiting = undefined;
  }

  #confirmedLength(): number {
    if (this.ack === 0) return this.log.length;
    const lengths = this.names.map((name) => this.flushed.get(name) ?? 0).toSorted((a, b) => b - a);
    return lengths[this.ack - 1] ?? 0;
  }

  #spread(): void {
    for (const name of this.#parts.members) this.#parts.engineOf(name)?.receive();
  }

  #disconnect(): void {
    if (this.#receiver !== undefined) this.#parts.engineOf(this.#receiver.from)?.flushed.delete(this.member);
    this.#receiver = undefined;
  }

  #reaches(member: string): boolean {
    const { network } = this.#parts;
    return network.isUp(member, this.member) && network.isUp(this.member, member);
  }

  #begin(): AbortSignal {
    this.#action?.abort();
    this.#action = new AbortController();
    return this.#action.signal;
  }

  /** Waits as long as such an action takes. @throws {ActionEnded} when it is ended meanwhile. */
  #takes(what: keyof typeof TAKES_MS, signal?: AbortSignal): Promise<void> {
    const { scheduler } = this.#parts;
    const [least, most] = TAKES_MS[what];
    return new Promise((resolve, reject) => {
      const end = (): void => {
        if (this.#pending !== undefined) this.#pending.push(end);
        else if (signal?.aborted === true) reject(new ActionEnded("ended by a stop or a newer action"));
        else resolve();
      };
      scheduler.after(scheduler.between(least, most), end);
    });
  }
}

/** Whether `log` is a beginning of `other`. */
function isBeginning(log: readonly Entry[], other: readonly Entry[]): boolean {
  const last = log.at(-1);
  return last === undefined || (log.length <= other.length && other[log.length - 1]?.id === last.id);
}
