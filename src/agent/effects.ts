/**
 * Carries out the protocol's effects and turns their outcomes into events. Decides nothing.
 * Order: effects start in the order they were asked for; nothing starts before an earlier Persist is durable.
 */
import type { IntentMember } from "../api/agent-wire.ts";
import type { Clock } from "../clock.ts";
import type { LeaseRegister, LeaseWriteOutcome } from "./cluster/lease.ts";
import { ActionError, IMPOSSIBLE } from "./engine/driver.ts";
import { ActionEnded, type EngineControl, type LeaderAddress } from "./engine/control.ts";
import type { PeerMessenger } from "./messenger.ts";
import type { Position } from "./protocol/position.ts";
import type { Effect, EventBody, ReplyMessage } from "./protocol/exchange.ts";
import type { PersistedRecord } from "./protocol/types.ts";

/** Everything an effect can reach. Each port is one concern; tests replace ports, never the runner. */
export interface EffectPorts {
  readonly lease: Pick<LeaseRegister, "read" | "write">;
  readonly engine: Pick<EngineControl, Exclude<keyof EngineControl, "ended" | "isStopping" | "observe">>;
  readonly messenger: Pick<PeerMessenger, "send" | "reply" | "probe">;
  readonly clock: Clock;
  readonly persist: (record: PersistedRecord) => Promise<void>;
  /** Resolves with whether the fence is armed. */
  readonly extendFence: (deadlineMs: number) => Promise<boolean>;
  readonly disarmFence: () => void;
  readonly route: (ready: boolean, epoch: number) => void;
  readonly wakeAt: (atMs: number) => void;
  readonly report: (level: "info" | "warning", reason: string, message: string) => void;
  readonly switchoverResult: (id: string, result: "Done" | "Refused" | "Failed", message: string) => void;
  readonly exit: () => void;
  /** The engine is about to be started, as a follower; it is started once this resolves. */
  readonly engineStarts: () => Promise<void>;
  /** Where a member is reached, by the last known intent. */
  readonly member: (name: string) => IntentMember | undefined;
  readonly dispatch: (body: EventBody) => void;
  /** Sees how long each write of the Lease took, for metrics. */
  readonly leaseTimer: (result: LeaseWriteOutcome["result"], seconds: number) => void;
  /** Does an action as a part of the present change, for traces. */
  readonly traced: <T>(name: string, work: () => Promise<T>) => Promise<T>;
  /** A bug or a disk that refuses: the agent must end, and init starts it anew. */
  readonly fatal: (error: unknown) => void;
}

type ActionEffect = Extract<Effect, { readonly actionId: number }>;

/** Starts effects in order. */
export class EffectRunner {
  readonly #ports: EffectPorts;
  readonly #queue: Effect[] = [];
  #busy = false;
  #armed: Promise<boolean> = Promise.resolve(false);

  constructor(ports: EffectPorts) {
    this.#ports = ports;
  }

  /** Takes in one transition's batch; returns at once. */
  enqueue(effects: readonly Effect[]): void {
    this.#queue.push(...effects);
    if (!this.#busy) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    try {
      for (let effect = this.#queue.shift(); effect !== undefined; effect = this.#queue.shift()) {
        if (effect.type === "Persist") await this.#ports.persist(effect.record);
        else this.#start(effect);
      }
    } catch (error) {
      this.#ports.fatal(error);
    } finally {
      this.#busy = false;
    }
  }

  #start(effect: Exclude<Effect, { type: "Persist" }>): void {
    if ("actionId" in effect) return this.#background(this.#action(effect));
    const ports = this.#ports;
    switch (effect.type) {
      case "ReadLease":
        return this.#background(this.#readLease(effect.readId));
      case "WriteLease":
        return this.#background(this.#writeLease(effect));
      case "SendMessage":
        return this.#background(this.#send(effect));
      case "Reply":
        return ports.messenger.reply(effect.requestId, effect.reply);
      case "ProbePeer":
        return this.#background(this.#probe(effect.member));
      case "StopEngine":
        return this.#background(this.#stop(effect.mode));
      case "ExtendFence":
        this.#armed = ports.extendFence(effect.deadlineMs);
        return this.#background(this.#armed.then(() => undefined));
      case "DisarmFence":
        return ports.disarmFence();
      case "Route":
        return ports.route(effect.ready, effect.epoch);
      case "WakeAt":
        return ports.wakeAt(effect.atMs);
      case "Report":
        return ports.report(effect.level, effect.reason, effect.message);
      case "SwitchoverResult":
        return ports.switchoverResult(effect.id, effect.result, effect.message);
      case "Exit":
        return ports.exit();
      default:
        return effect satisfies never;
    }
  }

  #background(work: Promise<void>): void {
    work.catch((error: unknown) => this.#ports.fatal(error));
  }

  async #readLease(readId: number): Promise<void> {
    try {
      const lease = await this.#ports.lease.read();
      this.#ports.dispatch(
        lease === undefined ? { type: "LeaseGone", readId } : { type: "LeaseObserved", readId, lease },
      );
    } catch {
      // Every way a read can fail means the same to the protocol; the client's metrics tell them apart.
      this.#ports.dispatch({ type: "LeaseReadFailed", readId });
    }
  }

  async #writeLease(effect: Extract<Effect, { type: "WriteLease" }>): Promise<void> {
    const { clock } = this.#ports;
    const startMs = clock.monotonicMs();
    const outcome = await this.#ports.lease.write(effect.casResourceVersion, effect.content, clock.now());
    this.#ports.leaseTimer(outcome.result, (clock.monotonicMs() - startMs) / 1000);
    this.#ports.dispatch({ type: "LeaseWriteResult", attemptId: effect.attemptId, ...outcome });
  }

  async #send(effect: Extract<Effect, { type: "SendMessage" }>): Promise<void> {
    const { sendId, to } = effect;
    const member = this.#ports.member(to);
    if (member === undefined) return this.#ports.dispatch({ type: "MessageFailed", sendId, to, cause: "error" });
    const answer = await this.#ports.messenger.send(member, effect.message, effect.timeoutMs);
    if (typeof answer === "string") this.#ports.dispatch({ type: "MessageFailed", sendId, to, cause: answer });
    else this.#ports.dispatch({ type: "MessageReply", sendId, from: to, reply: answer satisfies ReplyMessage });
  }

  async #probe(name: string): Promise<void> {
    const member = this.#ports.member(name);
    const result = member === undefined ? "timeout" : await this.#ports.messenger.probe(member);
    this.#ports.dispatch({ type: "PeerProbed", member: name, result });
  }

  async #stop(mode: "fast" | "kill"): Promise<void> {
    await this.#ports.engine.stop(mode);
    this.#ports.dispatch({ type: "EngineGone" });
  }

  async #action(effect: ActionEffect): Promise<void> {
    const { actionId } = effect;
    try {
      const position = await this.#ports.traced(effect.type, () => this.#runAction(effect));
      this.#ports.dispatch({ type: "ActionDone", actionId, position });
    } catch (error) {
      if (error instanceof ActionEnded) {
        this.#ports.dispatch({ type: "ActionFailed", actionId, cause: "ended", message: error.message });
      } else if (error instanceof ActionError) {
        const cause = effect.type === "Follow" && error.code === IMPOSSIBLE ? "diverged" : "error";
        this.#ports.dispatch({ type: "ActionFailed", actionId, cause, message: error.message });
      } else throw error;
    }
  }

  async #runAction(effect: ActionEffect): Promise<Position | null> {
    const { engine } = this.#ports;
    switch (effect.type) {
      case "StartEngine":
        await engine.start(() => this.#ports.engineStarts());
        return null;
      case "Follow":
        await engine.follow(this.#leader(effect.leader), effect.position, effect.epoch);
        return null;
      case "Seal":
        return engine.seal(effect.epoch);
      case "Promote":
        if (!(await this.#armed)) throw new ActionEnded("the fence is not armed");
        return engine.promote(effect.epoch);
      case "SetSyncSet":
        await engine.setSyncSet(effect.names, effect.ack, effect.verify);
        return null;
      case "Clone":
        await engine.clone(this.#leader(effect.from), effect.epoch);
        return null;
      case "Rejoin":
        await engine.rejoin(this.#leader(effect.from), effect.epoch, effect.sameHistoryUnsafe);
        return null;
      case "Initialize":
        await engine.initialize(effect.epoch);
        return null;
      case "PrepareHandover":
        await engine.prepareHandover();
        return null;
      default:
        return effect satisfies never;
    }
  }

  #leader(name: string): LeaderAddress {
    const member = this.#ports.member(name);
    if (member === undefined) throw new ActionEnded(`${name} is no member any more`);
    return { member: name, host: member.host, port: member.enginePort };
  }
}
