/**
 * One turn of the machine: the state as it changes while one event is taken in, and the effects in the order in which they
 * are wanted. It lives only inside `transition`; states themselves are never changed in place.
 */
import type { EngineAction, EngineView, Peer, State } from "./state.ts";
import type { Effect, Message, ReplyMessage } from "./exchange.ts";
import type { PersistedRecord } from "./types.ts";

const UNKNOWN_PEER: Peer = {
  heardAtMs: null,
  dead: false,
  stoppedEpoch: 0,
  probing: false,
  position: null,
  healthy: false,
  sync: { epoch: 0, version: 0 },
  silentAtMs: null,
};

/** A state under change, with its effects. */
export class Turn {
  state: State;
  readonly effects: Effect[] = [];

  constructor(state: State) {
    this.state = state;
  }

  get now(): number {
    return this.state.nowAtMs;
  }

  get self(): string {
    return this.state.identity.member;
  }

  set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
  }

  setEngine(change: Partial<EngineView>): void {
    this.set({ engine: { ...this.state.engine, ...change } });
  }

  emit(effect: Effect): void {
    this.effects.push(effect);
  }

  /** A number never given before in this boot: for actions, sends, reads and lease attempts alike. */
  takeId(): number {
    const id = this.state.nextId;
    this.set({ nextId: id + 1 });
    return id;
  }

  /** Asks for the record to be made durable before anything that follows; nothing is asked when nothing changed. */
  persist(change: Partial<PersistedRecord>): void {
    const record = { ...this.state.record, ...change };
    if (JSON.stringify(record) === JSON.stringify(this.state.record)) return;
    this.set({ record, seenEpoch: Math.max(this.state.seenEpoch, record.epoch) });
    this.emit({ type: "Persist", record });
  }

  /** Sends to each of `members`; the answers are tied to `round`. */
  send(members: readonly string[], message: Message, round: number): void {
    const { profile } = this.state;
    const timeoutMs = message.type === "Seal" ? profile.sealTimeoutMs : profile.messageTimeoutMs;
    for (const to of members) {
      const sendId = this.takeId();
      this.set({ sent: [...this.state.sent, { sendId, to, type: message.type, round, sentAtMs: this.now }] });
      this.emit({ type: "SendMessage", sendId, to, message, timeoutMs });
    }
  }

  reply(requestId: string, reply: ReplyMessage): void {
    this.emit({ type: "Reply", requestId, reply });
  }

  /** Begins an engine action under a new id; the caller emits the effect that carries it. */
  beginAction(kind: EngineAction["kind"], epoch: number): number {
    const actionId = this.takeId();
    this.setEngine({ action: { actionId, kind, epoch } });
    return actionId;
  }

  /** Asks for the engine to be stopped; whatever action runs is ended by it. */
  stopEngine(mode: "fast" | "kill"): void {
    this.setEngine({ status: "stopping", action: null, upstream: null, stoppingAtMs: this.now });
    this.emit({ type: "StopEngine", mode });
  }

  peer(member: string): Peer {
    return this.state.peers[member] ?? UNKNOWN_PEER;
  }

  setPeer(member: string, change: Partial<Peer>): void {
    this.set({ peers: { ...this.state.peers, [member]: { ...this.peer(member), ...change } } });
  }

  report(level: "info" | "warning", reason: string, message: string): void {
    this.emit({ type: "Report", level, reason, message });
  }

  /** The other members of the intent; empty before the intent is known. */
  get others(): readonly string[] {
    return (this.state.intent?.members ?? []).filter((member) => member !== this.self);
  }
}
