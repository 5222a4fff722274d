// A cluster of agents with their engines, the API server that holds their Lease, clients that write, and whoever breaks things.
import { PROFILES } from "../../../src/agent/protocol/profile.ts";
import type { Intent, SyncBase } from "../../../src/agent/protocol/types.ts";
import { nameOf } from "../../../src/api/names.ts";
import { FaultPlan, type WriteFault } from "../faults.ts";
import { ModelApi } from "../model-api.ts";
import { API, Network } from "../network.ts";
import { EPOCH_MS, randomOf, Scheduler } from "../scheduler.ts";
import type { Violation } from "../oracles.ts";
import type { Engine, Entry } from "./engine.ts";
import { SimMember } from "./member.ts";

const NAMESPACE = "shop";
const NAMES = ["a", "b", "c", "d", "e"];
const LEASE = {
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  namespace: NAMESPACE,
  name: nameOf.lease("orders"),
};
/** A client of a leader writes so often. */
const WRITE_EVERY_MS = [100, 400] as const;
const START_MS = 60_000;
/** So long after everything was mended somebody serves, and all others follow. */
const SETTLE_MS = 90_000;
/** And so long its leader stays then: several lease durations. */
const CALM_MS = 20_000;
const LEASE_MS = PROFILES.Fast.leaseMs;
/** What the profile allows for: clocks of members go so much too fast or too slow. */
const MOST_RATE_ERROR = 0.01;

/** One thing that goes wrong, in ms after the cluster serves. `to`: a member, or the API server. */
export type AgentFault =
  | {
      readonly kind: "Cut";
      readonly member: string;
      readonly to: string;
      readonly oneWay: boolean;
      readonly atMs: number;
      readonly forMs: number;
    }
  | { readonly kind: "Isolate"; readonly member: string; readonly atMs: number; readonly forMs: number }
  | { readonly kind: "ApiAway"; readonly atMs: number; readonly forMs: number }
  | { readonly kind: "PauseAgent"; readonly member: string; readonly atMs: number; readonly forMs: number }
  | { readonly kind: "LosePower"; readonly member: string; readonly atMs: number; readonly forMs: number }
  /** Nothing at all goes on there, and then all of it does, as in a virtual machine that is moved. */
  | { readonly kind: "FreezeNode"; readonly member: string; readonly atMs: number; readonly forMs: number }
  /** Every message takes up to `mostMs` longer. */
  | { readonly kind: "SlowNetwork"; readonly mostMs: number; readonly atMs: number; readonly forMs: number }
  | {
      readonly kind: "CrashAgent" | "CrashContainer" | "CrashEngine" | "Switchover";
      readonly member: string;
      readonly atMs: number;
    }
  | WriteFault;

/** One run, exactly. In `faults`, `leader` stands for whoever leads at that time. */
export interface AgentSchedule {
  readonly seed: number;
  readonly members: number;
  readonly mode: Intent["durability"]["mode"];
  readonly faults: readonly AgentFault[];
}

/** What a run came to. */
export interface AgentOutcome {
  readonly violation: Violation | undefined;
  readonly trace: readonly string[];
  readonly steps: number;
  readonly virtualMs: number;
  readonly acknowledged: number;
  /** Changes of leader after the first. */
  readonly failovers: number;
}

interface Acknowledged {
  readonly id: number;
  readonly index: number;
  readonly epoch: number;
  readonly by: string;
}

class AgentWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly members = new Map<string, SimMember>();
  readonly acknowledged: Acknowledged[] = [];
  violation: Violation | undefined;
  leaders = 0;
  readonly #schedule: AgentSchedule;
  readonly #faults: FaultPlan;
  readonly #epochs = new Map<number, string>();
  #intent: Intent;
  #serial = 0;

  constructor(schedule: AgentSchedule) {
    this.#schedule = schedule;
    this.scheduler = new Scheduler(schedule.seed);
    this.network = new Network(this.scheduler);
    const { scheduler, network } = this;
    const names = NAMES.slice(0, schedule.members);
    this.#intent = {
      members: names,
      learners: [],
      durability: { mode: schedule.mode, whenDegraded: "Block" },
      maxLag: "1000",
      paused: false,
      bootstrapMember: "a",
      switchover: null,
      forced: null,
    };
    const api = new ModelApi(() => EPOCH_MS + scheduler.nowMs);
    const { apiVersion, kind, ...metadata } = LEASE;
    api.create({ apiVersion, kind, metadata, spec: { holderIdentity: "", leaseTransitions: 0 } }, { by: "operator" });
    this.#faults = new FaultPlan(schedule.faults.filter((fault): fault is WriteFault => "write" in fault));
    const violate = (oracle: string, what: string): void => void (this.violation ??= { oracle, what });
    const client = {
      scheduler,
      network,
      api,
      faults: this.#faults,
      crash: (actor: { readonly name: string }) => this.members.get(actor.name)?.crashAgent(),
      onBug: (who: string, error: unknown) => violate("Bug", `${who}: ${String(error)}`),
      onRequest: () => undefined,
      evict: () => undefined,
    };
    const world = {
      scheduler,
      network,
      members: names,
      lease: LEASE,
      client,
      memberOf: (name: string) => this.members.get(name),
      intent: () => this.#intent,
      nextId: () => (this.#serial += 1),
      promoted: (engine: Engine) => this.#judgePromotion(engine),
      elected: (member: SimMember) => this.#judgeElection(member),
      received: (engine: Engine, source: Engine) => this.#judgeReceipt(engine, source),
      acknowledged: (engine: Engine, entry: Entry, index: number) => this.#judgeRow(engine, entry, index),
      violate,
    };
    const draw = randomOf(schedule.seed * 7 + 1);
    for (const name of names) {
      const rate = 1 + (2 * draw() - 1) * MOST_RATE_ERROR;
      this.members.set(name, new SimMember(name, world, { rate, aheadMs: Math.floor(draw() * 10_000) }));
    }
  }

  async run(): Promise<void> {
    for (const member of this.members.values()) member.start();
    this.#write();
    if (!(await this.#until(START_MS, () => this.#isWhole(0)))) return this.#violate("L1", "it never began");
    this.#tell({ ...this.#intent, bootstrapMember: null });
    this.#faults.begin();
    const ends = this.#schedule.faults.map((fault) => this.#begin(fault));
    await this.#until(Math.max(5_000, ...ends) + 2_000, () => false);
    this.network.heal();
    const before = this.acknowledged.length;
    if (!(await this.#until(SETTLE_MS, () => this.#isWhole(before))))
      return this.#violate("L1", `it does not come back: ${this.#describe()}`);
    const { leaders } = this;
    await this.#until(CALM_MS, () => false);
    if (this.leaders > leaders)
      this.#violate("S8", `its leader changes although nothing is wrong: ${this.#describe()}`);
    if (!this.#isWhole(before)) this.#violate("L1", `it does not stay: ${this.#describe()}`);
  }

  end(): void {
    for (const member of this.members.values()) member.end();
  }

  /** Somebody's rows are acknowledged again, and everybody else has what it has. */
  #isWhole(before: number): boolean {
    const engines = [...this.members.values()].map(({ engine }) => engine);
    const leader = engines.filter(({ mode }) => mode === "writable").toSorted((a, b) => b.epoch - a.epoch)[0];
    if (leader === undefined || this.acknowledged.length <= before + 3) return false;
    if (this.acknowledged.at(-1)?.by !== leader.member) return false;
    return engines.every((engine) => engine === leader || engine.isStreamingFrom(leader.member));
  }

  async #until(forMs: number, isOver: () => boolean): Promise<boolean> {
    const { scheduler } = this;
    const endMs = scheduler.nowMs + forMs;
    while (this.violation === undefined && scheduler.nowMs < endMs) {
      if (isOver()) return true;
      await scheduler.run(Math.min(endMs, scheduler.nowMs + 500), () => this.violation !== undefined);
    }
    return this.violation !== undefined || isOver();
  }

  #write(): void {
    this.scheduler.after(this.scheduler.between(...WRITE_EVERY_MS), () => {
      for (const { engine } of this.members.values()) engine.write();
      this.#write();
    });
  }

  #tell(intent: Intent): void {
    this.#intent = intent;
    for (const [name, member] of this.members) {
      this.network.send(API, name, () => member.tell({ type: "IntentChanged", intent }));
    }
  }

  /** @returns when it is over, in ms from now. */
  #begin(fault: AgentFault): number {
    if (!("atMs" in fault)) return 0;
    this.scheduler.after(fault.atMs, () => this.#strike(fault));
    return fault.atMs + ("forMs" in fault ? fault.forMs : 0);
  }

  #strike(fault: Extract<AgentFault, { readonly atMs: number }>): void {
    const { scheduler, network } = this;
    const name = "member" in fault ? this.#named(fault.member) : "";
    const member = this.members.get(name);
    scheduler.note("fate", `⚡ ${fault.kind} ${name}${fault.kind === "Cut" ? ` ${this.#named(fault.to)}` : ""}`);
    switch (fault.kind) {
      case "Cut":
        network.cut(name, this.#named(fault.to));
        if (!fault.oneWay) network.cut(this.#named(fault.to), name);
        scheduler.after(fault.forMs, () => network.heal(name));
        return;
      case "Isolate":
        for (const other of [API, ...this.members.keys()]) if (other !== name) network.cutBoth(name, other);
        scheduler.after(fault.forMs, () => network.heal(name));
        return;
      case "ApiAway":
        for (const other of this.members.keys()) network.cutBoth(API, other);
        scheduler.after(fault.forMs, () => network.heal(API));
        return;
      case "PauseAgent":
        return member?.pauseAgent(fault.forMs);
      case "LosePower":
        return member?.losePower(fault.forMs);
      case "FreezeNode":
        return member?.freezeNode(fault.forMs);
      case "SlowNetwork":
        network.slow(fault.mostMs);
        scheduler.after(fault.forMs, () => network.slow(0));
        return;
      case "CrashAgent":
        return member?.crashAgent();
      case "CrashContainer":
        return member?.crashContainer();
      case "CrashEngine":
        return member?.crashEngine();
      case "Switchover":
        return this.#tell({
          ...this.#intent,
          switchover: { id: `move-${scheduler.nowMs.toFixed(0)}`, from: null, to: null },
        });
    }
  }

  #named(name: string): string {
    if (name !== "leader") return name;
    const leading = [...this.members.values()].filter(({ engine }) => engine.mode === "writable");
    return leading.toSorted((a, b) => b.engine.epoch - a.engine.epoch)[0]?.name ?? "a";
  }

  #violate(oracle: string, what: string): void {
    this.violation ??= { oracle, what };
  }

  /** One writer, by the order in which rows were confirmed; and none that somebody leads without. */
  #judgeRow({ member }: Engine, { id, epoch }: Entry, index: number): void {
    const last = this.acknowledged.at(-1);
    if (last !== undefined && epoch < last.epoch)
      this.#violate("S1", `${member} confirms row ${id} of epoch ${epoch} after one of epoch ${last.epoch}`);
    if (last?.epoch === epoch && last.by !== member)
      this.#violate("S1", `${member} and ${last.by} confirm rows of the same epoch ${epoch}`);
    this.acknowledged.push({ id, index, epoch, by: member });
    for (const { engine, name } of this.members.values()) {
      const isAhead = engine.mode === "writable" && engine.epoch > epoch;
      if (isAhead && engine.log[index]?.id !== id)
        this.#violate("S3", `${member} confirms row ${id} of epoch ${epoch}, but ${name} leads without it`);
    }
  }

  /**
   * S10: nobody takes an office over before so many members have stopped receiving for it that none of the sets before can confirm
   * another row (R + W > N); what they said they had until then is all that there is.
   */
  #judgeElection({ name, state }: SimMember): void {
    if (state?.role.kind !== "candidate" || this.#schedule.mode === "Async") return;
    const { epoch, base, cause } = state.role;
    if (base === null || cause === "recover") return;
    const hasStopped = (one: string): boolean => one === name || (this.members.get(one)?.sealedFor ?? 0) >= epoch;
    const sets: readonly SyncBase[] = [base, ...base.unproven.toReversed()];
    for (const { leader, names, ack } of sets) {
      if (hasStopped(leader)) return;
      const free = names.filter((one) => !hasStopped(one));
      if (free.length < ack || ack === 0) continue;
      return this.#violate("S10", `${name} takes epoch ${epoch} while ${free.join()} may confirm rows of ${leader}`);
    }
  }

  /** S10: who has said where its copy ends, for an epoch, receives nothing from a leader of an older one afterwards. */
  #judgeReceipt({ member }: Engine, source: Engine): void {
    const sealedFor = this.members.get(member)?.sealedFor ?? 0;
    if (source.mode === "writable" && source.epoch < sealedFor)
      this.#violate(
        "S10",
        `${member} receives from epoch ${source.epoch} of ${source.member} although it is sealed for ${sealedFor}`,
      );
  }

  #judgePromotion({ member, epoch, log }: Engine): void {
    this.scheduler.note(member, `leads epoch ${epoch} with ${log.length} entries`);
    this.leaders += 1;
    const other = this.#epochs.get(epoch);
    if (other !== undefined && other !== member)
      this.#violate("S2", `${member} leads epoch ${epoch}, which was ${other}'s`);
    this.#epochs.set(epoch, member);
    if (this.#schedule.mode === "Async") return;
    const lost = this.acknowledged.find(({ id, index }) => log[index]?.id !== id);
    if (lost !== undefined)
      this.#violate("S3", `${member} leads epoch ${epoch} without row ${lost.id} of epoch ${lost.epoch}`);
  }

  #describe(): string {
    const each = [...this.members.values()].map(
      ({ name, engine, state }) =>
        `${name} ${state === undefined ? "down" : state.role.kind} ${engine.mode} from ${engine.upstream ?? "nobody"} ${state?.blocked ?? ""}`,
    );
    return each.join("; ");
  }
}

/** Runs one schedule. Never throws for what goes wrong in it. */
export async function runAgents(schedule: AgentSchedule): Promise<AgentOutcome> {
  const world = new AgentWorld(schedule);
  await world.run();
  world.end();
  return {
    violation: world.violation,
    trace: world.scheduler.trace,
    steps: world.scheduler.steps,
    virtualMs: world.scheduler.nowMs,
    acknowledged: world.acknowledged.length,
    failovers: Math.max(0, world.leaders - 1),
  };
}

const KINDS = [
  "Cut",
  "Cut",
  "Isolate",
  "ApiAway",
  "PauseAgent",
  "LosePower",
  "FreezeNode",
  "SlowNetwork",
  "CrashAgent",
  "CrashContainer",
  "CrashEngine",
  "Switchover",
  "LoseAnswer",
  "Ghost",
  "Slow",
] as const satisfies readonly AgentFault["kind"][];

/** What schedules are drawn from. */
export interface Draw {
  readonly mode?: AgentSchedule["mode"];
  /** Only these go wrong. */
  readonly kinds?: readonly string[];
  /** How many members there are; drawn when absent. */
  readonly members?: number;
}

/**
 * A schedule that is drawn from a seed: two to five faults within half a minute, members whose clocks differ. In mode Async no node is
 * frozen: only time keeps an old leader from confirming there, and for a frozen node there is none.
 */
export function drawnAgents(seed: number, { mode = "Quorum", kinds = KINDS, ...fixed }: Draw = {}): AgentSchedule {
  const random = randomOf(seed);
  const pick = <T>(among: readonly T[]): T => among[Math.floor(random() * among.length)] as T;
  const drawn = pick([2, 3, 3, 3, 5]);
  const members = fixed.members ?? drawn;
  const possible = KINDS.filter((kind) => kinds.includes(kind) && (mode !== "Async" || kind !== "FreezeNode"));
  const draw = (): AgentFault => drawnFault(pick(possible), { random, pick, members: NAMES.slice(0, members) });
  return { seed, members, mode, faults: Array.from({ length: 2 + Math.floor(random() * 4) }, draw) };
}

interface Lots {
  readonly random: () => number;
  readonly pick: <T>(among: readonly T[]) => T;
  readonly members: readonly string[];
}

function drawnFault(kind: (typeof KINDS)[number], { random, pick, members }: Lots): AgentFault {
  const atMs = Math.floor(random() * 30_000);
  // As often as not about as long as a lease: what comes back then meets those who are just taking over.
  const forMs = Math.floor(random() < 0.5 ? 500 + random() * random() * 25_000 : LEASE_MS * (0.7 + random() * 0.7));
  const member = pick(["leader", "leader", ...members]);
  const write = 1 + Math.floor(random() * 30);
  const actor = pick(members);
  switch (kind) {
    case "Cut": {
      const to = pick([...members, API, API].filter((end) => end !== member));
      return { kind, member, to, oneWay: random() < 0.3, atMs, forMs };
    }
    case "Isolate":
    case "PauseAgent":
    case "LosePower":
    case "FreezeNode":
      return { kind, member, atMs, forMs };
    case "SlowNetwork":
      return { kind, mostMs: pick([20, 100, 400]), atMs, forMs };
    case "ApiAway":
      return { kind, atMs, forMs };
    case "LoseAnswer":
      return { kind, actor, write };
    case "Ghost":
    case "Slow":
      return { kind, actor, write, delayMs: Math.floor(random() * 20_000) };
    default:
      return { kind, member, atMs };
  }
}
