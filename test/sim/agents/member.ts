// One member: a node with power and a clock, quorate-init with its deadline, an engine, and the agent's own program between them.
// Of the agent everything runs that elects and fences: protocol, loop, effects, Lease, fence, beat, and the watch over the leader.
// Not simulated are processes, sockets, files and routes: in their place are the engine, the messages and the disk of this world.
import type { IntentMember } from "../../../src/api/agent-wire.ts";
import { followLease, LeaseRegister } from "../../../src/agent/cluster/lease.ts";
import { EffectRunner } from "../../../src/agent/effects.ts";
import { Fence, type FenceHolder } from "../../../src/agent/fence.ts";
import { FenceClock } from "../../../src/agent/fence-clock.ts";
import { InitRefusal, type InitState } from "../../../src/agent/init-client.ts";
import { watchLeader } from "../../../src/agent/leader-watch.ts";
import type { EventBody, Message, ReplyMessage } from "../../../src/agent/protocol/exchange.ts";
import { describeMember } from "../../../src/agent/protocol/member-view.ts";
import { PROFILES } from "../../../src/agent/protocol/profile.ts";
import { initialState, type State } from "../../../src/agent/protocol/state.ts";
import type { Intent, PersistedRecord } from "../../../src/agent/protocol/types.ts";
import { engineStateOf, isEngineUp, MemberRuntime } from "../../../src/agent/runtime.ts";
import { tickLoop } from "../../../src/agent/tick-loop.ts";
import { sleep } from "../../../src/clock.ts";
import type { ObjectRef } from "../../../src/kube/object.ts";
import type { Actor, ClockFault, Scheduler } from "../scheduler.ts";
import { type ClientParts, SimClient } from "../sim-client.ts";
import { Engine, type EngineParts } from "./engine.ts";
import { addressOf, simMessenger } from "./messenger.ts";

const PROFILE = PROFILES.Fast;
/** Init starts a dead agent anew, the kubelet a dead container. */
const AGENT_RESTART_MS = [100, 900] as const;
const CONTAINER_RESTART_MS = [1_000, 4_000] as const;
/** From the deadline to the end of the last process of the engine; the profile allows for a second. */
const FENCE_TAKES_MS = [1, 60] as const;
const PROBE_TAKES_MS = [2, 400] as const;

/** What members are made with. */
export interface MemberWorld extends Omit<EngineParts, "engineOf" | "exited"> {
  readonly lease: ObjectRef;
  readonly client: ClientParts;
  readonly memberOf: (name: string) => SimMember | undefined;
  /** The intent as the API server has it. */
  readonly intent: () => Intent;
  /** Called when the member has taken the Lease, and thinks that it has heard enough of what others have. */
  readonly elected: (member: SimMember) => void;
  readonly violate: (oracle: string, what: string) => void;
}

/** An agent's process. All of it ends with its actor. */
interface Agent {
  readonly actor: Actor;
  readonly stop: AbortController;
  readonly runtime: MemberRuntime;
  readonly answers: Map<string, (reply: ReplyMessage) => void>;
}

/** One member of the cluster. */
export class SimMember {
  readonly name: string;
  readonly engine: Engine;
  hasPower = true;
  isUp = false;
  /** The newest epoch for which it said that it receives no more, and where its copy ends. */
  sealedFor = 0;
  readonly #world: MemberWorld;
  readonly #scheduler: Scheduler;
  readonly #skew: ClockFault;
  /** Of the node: goes on while the agent is stopped. */
  readonly #nodeClock: Actor;
  #agent: Agent | undefined;
  /** The agent that ordered the engine's last stop; it may have ended before the engine did. */
  #stopper: Actor | undefined;
  #isFrozen = false;
  #boots = 0;
  #requests = 0;
  #deadlineNs: bigint | null = null;
  #fenced = 0;
  #cancelFence: () => void = () => undefined;
  #record: PersistedRecord | null = null;
  /** Connections that others hold to this agent. */
  readonly #held = new Set<() => void>();

  constructor(name: string, world: MemberWorld, skew: ClockFault = {}) {
    this.name = name;
    this.#world = world;
    this.#scheduler = world.scheduler;
    this.#skew = skew;
    this.#nodeClock = this.#scheduler.actor(`${name}'s node`, skew);
    this.engine = new Engine(name, {
      ...world,
      engineOf: (other) => world.memberOf(other)?.engine,
      exited: () => this.#engineExited(),
    });
  }

  /** The protocol's state; undefined while no agent runs. */
  get state(): State | undefined {
    return this.#agent?.runtime.state;
  }

  /** Whether `actor` is its agent. */
  is(actor: Actor): boolean {
    return this.#agent?.actor === actor;
  }

  // -------------------------------------------------------------------------------------------------------------- fate

  /** The container starts. */
  start(): void {
    if (this.isUp || !this.hasPower) return;
    this.isUp = true;
    this.#startAgent();
  }

  /** The agent's process ends this moment; init starts another one, and leaves the engine alone. */
  crashAgent(): void {
    if (this.#agent === undefined) return;
    this.#scheduler.note(this.name, "agent crashed");
    this.#endAgent();
    this.#later(AGENT_RESTART_MS, () => this.#startAgent());
  }

  /** The container ends this moment, with all that is in it. */
  crashContainer(): void {
    if (!this.isUp) return;
    this.#scheduler.note(this.name, "container crashed");
    this.#endContainer();
    this.#later(CONTAINER_RESTART_MS, () => this.start());
  }

  losePower(forMs: number): void {
    if (!this.hasPower) return;
    this.#scheduler.note(this.name, "lost its power");
    this.hasPower = false;
    if (this.isUp) this.#endContainer();
    this.#scheduler.after(forMs, () => {
      this.hasPower = true;
      this.#later(CONTAINER_RESTART_MS, () => this.start());
    });
  }

  /** SIGSTOP of the agent alone. */
  pauseAgent(forMs: number): void {
    const { actor } = this.#agent ?? {};
    actor?.pause();
    this.#scheduler.after(forMs, () => {
      if (!this.#isFrozen) actor?.resume();
    });
  }

  /** Nothing goes on: neither agent nor engine nor quorate-init, whose deadline passes unseen meanwhile. */
  freezeNode(forMs: number): void {
    if (this.#isFrozen) return;
    this.#scheduler.note(this.name, "is frozen");
    this.#isFrozen = true;
    this.#agent?.actor.pause();
    this.#nodeClock.pause();
    this.engine.freeze();
    this.#scheduler.after(forMs, () => {
      this.#scheduler.note(this.name, "goes on");
      this.#isFrozen = false;
      this.engine.thaw();
      this.#nodeClock.resume();
      this.#agent?.actor.resume();
    });
  }

  /** The engine's main process dies. */
  crashEngine(): void {
    if (this.engine.mode === "stopped") return;
    this.#scheduler.note(this.name, "engine crashed");
    this.engine.die();
    this.#stopper = undefined;
    this.#engineExited();
  }

  /** The agent hears of something, when it takes it in. */
  tell(body: EventBody): void {
    const agent = this.#agent;
    agent?.actor.clock.schedule(0, () => agent.runtime.dispatch(body));
  }

  /** Ends everything: nothing may go on beside the next run. */
  end(): void {
    this.#endAgent();
    this.#nodeClock.kill();
  }

  // ------------------------------------------------------------------------------------------------------------- others

  /** A request of another member. `answer` may be called at any time later, or never. */
  ask(from: string, message: Message, answer: (reply: ReplyMessage) => void): void {
    const agent = this.#agent;
    if (agent === undefined) return;
    this.#requests += 1;
    const requestId = `${from}-${this.#requests}`;
    agent.actor.clock.schedule(0, () => {
      agent.answers.set(requestId, answer);
      agent.runtime.dispatch({ type: "MessageReceived", from, requestId, message });
    });
  }

  /** Whether the node says anything at all, be it that nobody listens. */
  get answers(): boolean {
    return this.hasPower && !this.#isFrozen;
  }

  /** Whether a message finds somebody to take it in. */
  get hasAgent(): boolean {
    return this.#agent !== undefined;
  }

  /** Calls `broken` when the agent's process ends, unless the node went with it. */
  hold(broken: () => void): () => void {
    this.#held.add(broken);
    return () => this.#held.delete(broken);
  }

  // -------------------------------------------------------------------------------------------------------------- inside

  #later([leastMs, mostMs]: readonly [number, number], act: () => void): void {
    const boots = this.#boots;
    this.#scheduler.after(this.#scheduler.between(leastMs, mostMs), () => {
      if (this.#boots === boots && this.hasPower) act();
    });
  }

  /** Who did not stop it itself sees to it that nothing is left of it. */
  #engineExited(): void {
    this.tell({ type: "EngineExited" });
    if (this.#agent?.actor !== this.#stopper) this.tell({ type: "EngineGone" });
  }

  #endContainer(): void {
    this.isUp = false;
    this.#deadlineNs = null;
    this.#cancelFence();
    this.engine.die();
    this.#endAgent();
  }

  #endAgent(): void {
    this.#agent?.actor.kill();
    this.#agent?.stop.abort();
    this.#agent = undefined;
    const held = [...this.#held];
    this.#held.clear();
    if (this.hasPower) for (const broken of held) broken();
  }

  #nowNs(): bigint {
    return BigInt(Math.floor(this.#nodeClock.clock.monotonicMs() * 1e6));
  }

  #initState(): InitState {
    return {
      engine: this.engine.mode === "stopped" ? "stopped" : "running",
      pid: null,
      id: null,
      deadlineNs: this.#deadlineNs,
      nowNs: this.#nowNs(),
      agentRestarts: this.#boots,
      fenced: this.#fenced,
    };
  }

  /** quorate-init as far as the fence goes: one deadline that only moves later, and never once it has passed. */
  #initFor(actor: Actor): FenceHolder {
    const exchange = <A>(answer: () => A): Promise<A> =>
      new Promise((resolve, reject) => {
        this.#scheduler.after(this.#scheduler.between(0.05, 1), () => {
          try {
            const value = answer();
            actor.clock.schedule(0, () => resolve(value));
          } catch (error) {
            actor.clock.schedule(0, () => reject(error));
          }
        });
      });
    return {
      nowNs: () => exchange(() => this.#nowNs()),
      hello: () => exchange(() => this.#initState()),
      disarm: () =>
        exchange(() => {
          if (this.engine.mode !== "stopped") throw new InitRefusal("DISARM", "the engine runs");
          this.#deadlineNs = null;
          this.#cancelFence();
        }),
      fence: (deadlineNs) =>
        exchange(() => {
          const nowNs = this.#nowNs();
          const hasPassed = this.#deadlineNs !== null && this.#deadlineNs <= nowNs;
          if (!this.isUp || hasPassed || deadlineNs <= nowNs) throw new InitRefusal("FENCE", "it has passed");
          if (this.#deadlineNs !== null && deadlineNs < this.#deadlineNs)
            throw new InitRefusal("FENCE", "it would be earlier");
          this.#arm(deadlineNs);
        }),
    };
  }

  #arm(deadlineNs: bigint): void {
    this.#cancelFence();
    this.#deadlineNs = deadlineNs;
    const inMs = Number(deadlineNs - this.#nowNs()) / 1e6;
    this.#cancelFence = this.#nodeClock.clock.schedule(inMs, () => {
      if (this.#deadlineNs !== deadlineNs) return;
      // Past saving from here on; all processes are gone a moment later.
      this.#cancelFence = this.#nodeClock.clock.schedule(this.#scheduler.between(...FENCE_TAKES_MS), () =>
        this.#fence(),
      );
    });
  }

  #fence(): void {
    this.#scheduler.note(this.name, "was fenced");
    this.#fenced += 1;
    this.#deadlineNs = null;
    this.engine.die();
    this.#endAgent();
    this.#later(AGENT_RESTART_MS, () => this.#startAgent());
  }

  #startAgent(): void {
    if (!this.isUp || this.#agent !== undefined) return;
    this.#boots += 1;
    const actor = this.#scheduler.actor(this.name, this.#skew);
    if (this.#isFrozen) actor.pause();
    this.#boot(actor).catch((error: unknown) => this.#fatal(actor, error));
  }

  #fatal(actor: Actor, error: unknown): void {
    if (!actor.isAlive) return;
    this.#world.violate(
      "Bug",
      `${this.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }

  /** What Member.start does. */
  async #boot(actor: Actor): Promise<void> {
    const { clock } = actor;
    const { client, lease, intent } = this.#world;
    const stop = new AbortController();
    const api = new SimClient(actor, client);
    const fenceClock = new FenceClock({
      monotonicMs: () => clock.monotonicMs(),
      realtimeMs: () => clock.now().getTime(),
    });
    const nowMs = (): number => fenceClock.nowMs();
    const fence = new Fence(this.#initFor(actor), fenceClock, PROFILE.renewDeadlineMs, () => undefined);
    const holder = `${this.name}-0/uid-${this.name}/${this.#boots}`;
    const findings = { volume: this.engine.volume, engine: this.engine.mode, persisted: this.#record, nowMs: nowMs() };
    const register = new LeaseRegister(api, lease, () => PROFILE.leaseMs / 1000);
    const answers = new Map<string, (reply: ReplyMessage) => void>();
    const dispatch = (body: EventBody): void => runtime.dispatch(body);
    const messenger = simMessenger({
      actor,
      name: this.name,
      world: this.#world,
      answers,
      sealed: (epoch) => {
        this.sealedFor = Math.max(this.sealedFor, epoch);
        const kept = this.#record?.epoch ?? 0;
        if (kept < epoch)
          this.#world.violate("S11", `${this.name} promises epoch ${epoch}, and its disk knows of ${kept}`);
      },
    });
    const runner = new EffectRunner({
      lease: register,
      engine: heardBy(actor, this.engine, () => {
        this.#stopper = actor;
      }),
      messenger,
      clock,
      persist: (record) => this.#persist(actor, record),
      extendFence: (deadlineMs) => fence.extend(deadlineMs),
      disarmFence: () => fence.disarm(),
      route: (ready, epoch) => this.#scheduler.note(this.name, `${ready ? "serves" : "leaves"} epoch ${epoch}`),
      wakeAt: (atMs) => runtime.wakeAt(atMs),
      report: (_level, reason) => this.#scheduler.note(this.name, reason),
      switchoverResult: (id, result) => this.#scheduler.note(this.name, `${id}: ${result}`),
      exit: () => this.crashContainer(),
      engineStarts: () => Promise.resolve(),
      member: (name) => (intent().members.includes(name) ? addressOf(name) : undefined),
      dispatch,
      leaseTimer: () => undefined,
      traced: (_name, work) => work(),
      fatal: (error) => this.#fatal(actor, error),
    });
    const state = initialState({ member: this.name, holder }, PROFILE, findings);
    const time = { nowMs, schedule: (delayMs: number, wake: () => void) => clock.schedule(delayMs, wake) };
    const fatal = (error: unknown): void => this.#fatal(actor, error);
    let stage = "";
    const changed = ({ role }: State): void => {
      const before = stage;
      stage = role.kind === "candidate" ? role.stage : "";
      if (stage === "activating" && before !== stage) this.#world.elected(this);
    };
    const runtime = new MemberRuntime(state, time, runner, { changed, fatal });
    this.#agent = { actor, stop, runtime, answers };
    await fence.sampleClock();
    dispatch({ type: "IntentChanged", intent: intent() });
    const { random } = this.#scheduler;
    const loops = [
      followLease(api, register, dispatch, { signal: stop.signal, clock, random }),
      tickLoop({
        periodMs: PROFILE.periodMs,
        clock,
        nowMs,
        sampleClock: () => fence.sampleClock(),
        dispatch,
        ticked: () => Promise.resolve(),
        signal: stop.signal,
      }),
      watchLeader({ messenger, leader: () => this.#leaderOf(runtime), clock, signal: stop.signal, dispatch }),
      this.#watchEngine(actor, runtime, stop.signal),
    ];
    await Promise.all(loops);
  }

  async #watchEngine({ clock }: Actor, runtime: MemberRuntime, signal: AbortSignal): Promise<void> {
    while (await sleep(clock, PROFILE.periodMs / 2, signal)) {
      const isReadable = isEngineUp(runtime.state) && this.engine.mode !== "stopped";
      const observed = engineStateOf(isReadable ? this.engine.observe() : undefined);
      // An answer takes a while on its way, and more has happened by then.
      if (!(await sleep(clock, this.#scheduler.between(...PROBE_TAKES_MS), signal))) return;
      runtime.dispatch(observed);
    }
  }

  #leaderOf({ state }: MemberRuntime): IntentMember | undefined {
    const { leader } = describeMember(state);
    return leader === null || leader === this.name ? undefined : addressOf(leader);
  }

  /** Durable once it resolves; a crash before that may have lost it or not. */
  #persist(actor: Actor, record: PersistedRecord): Promise<void> {
    return new Promise((resolve) => {
      this.#scheduler.after(this.#scheduler.between(0.5, 6), () => {
        if (!actor.isAlive) return;
        this.#record = record;
        actor.clock.schedule(0, resolve);
      });
    });
  }
}

/**
 * The engine as one agent has it: what it did is heard by that agent, when it takes it in, and by nobody once it has ended.
 * `stops` is called whenever it orders a stop.
 */
function heardBy(actor: Actor, engine: Engine, stops: () => void): Engine {
  const heard = (work: Promise<unknown>): Promise<unknown> =>
    new Promise((resolve, reject) => {
      work.then(
        (value) => actor.clock.schedule(0, () => resolve(value)),
        (error: unknown) => actor.clock.schedule(0, () => reject(error)),
      );
    });
  return new Proxy(engine, {
    get: (target, name) => {
      const part: unknown = Reflect.get(target, name, target);
      if (typeof part !== "function") return part;
      return (...given: readonly unknown[]): unknown => {
        if (name === "stop") stops();
        const result: unknown = Reflect.apply(part, target, given);
        return result instanceof Promise ? heard(result) : result;
      };
    },
  });
}
