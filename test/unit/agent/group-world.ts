// A small world for `decide`: members with volumes, an engine that keeps a list as one with a majority does, and a network that
// loses greetings. Whatever happens, the rules of the list are checked when it changes.
import { decide, isMissing } from "../../../src/agent/group/decide.ts";
import { greetingTo, replyOf } from "../../../src/agent/group/speech.ts";
import type { GroupView, HeardGreeting, Move, PeerView } from "../../../src/agent/group/types.ts";
import { CALM_INTENT } from "./group-intent.ts";

const PERIOD_MS = 1000;

/** What only members that all write take note of. */
export const AT_FIRST = { founding: "None", joining: false } as const;

/** Picks one of `count` possibilities. */
export type Choose = (count: number) => number;

interface Entry {
  readonly id: string;
  readonly name: string;
  readonly votes: boolean;
}

interface Sim {
  readonly name: string;
  copy: "empty" | "data" | "incomplete";
  /** Identity whose log is on the volume; null when there is none. */
  logOf: string | null;
  record: { incarnation: number; id: string | null };
  engine: "stopped" | "running";
  /** The agent's: lost with it. */
  peers: Map<string, PeerView>;
  heard: HeardGreeting | undefined;
  invitations: Map<string, string>;
  newestGeneration: number;
  missingSinceMs: number | undefined;
  leaderlessSinceMs: number | undefined;
}

/** A cluster `m0`, `m1`, … of up to five. */
export class GroupWorld {
  nowMs = 0;
  generation = 1;
  listed: string[] = ["m0"];
  entries: Entry[] = [];
  leader: string | undefined;
  term = 1;
  /** Every change of the list, a line each. */
  readonly trace: string[] = [];
  readonly members = new Map<string, Sim>();
  readonly #choose: Choose;
  readonly #begun = new Set<string>();
  #serial = 0;

  constructor(choose: Choose) {
    this.#choose = choose;
    for (let ordinal = 0; ordinal < 5; ordinal++) this.members.set(`m${ordinal}`, fresh(`m${ordinal}`));
  }

  member(name: string): Sim {
    const found = this.members.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  }

  /** The agent and its engine die; the volume stays. */
  kill(name: string): void {
    const { copy, logOf, record } = this.member(name);
    this.members.set(name, { ...fresh(name), copy, logOf, record });
    this.#elect();
  }

  /** The volume is lost, too. */
  loseVolume(name: string): void {
    this.members.set(name, { ...fresh(name) });
    this.#elect();
  }

  /** A period passes: greetings, then a round of every member, in some order. */
  step(): void {
    this.nowMs += PERIOD_MS;
    this.#elect();
    for (const from of this.members.values()) {
      for (const to of this.members.values()) if (from !== to && this.#choose(8) !== 0) this.#greet(from, to);
    }
    const waiting = [...this.members.keys()];
    while (waiting.length > 0) {
      const [name = ""] = waiting.splice(this.#choose(waiting.length), 1);
      this.#round(this.member(name));
    }
  }

  /** Whether the group is exactly who is listed, all with a vote and a leader. */
  get isWhole(): boolean {
    const names = this.entries.filter(({ votes }) => votes).map(({ name }) => name);
    return (
      this.leader !== undefined &&
      names.length === this.entries.length &&
      names.toSorted().join() === this.listed.toSorted().join()
    );
  }

  /** Whether everybody on the group's list has the copy that the list is about; the list itself learns of a lost one later. */
  get hasAllCopies(): boolean {
    return this.entries.every(({ name, id }) => this.member(name).logOf === id);
  }

  #isUp({ engine, logOf }: Sim): boolean {
    return engine === "running" && this.entries.some(({ id }) => id === logOf);
  }

  /** Whether those voters of `entries` that are up are a majority of them. */
  #hasMajority(entries: readonly Entry[]): boolean {
    const voters = entries.filter(({ votes }) => votes);
    const up = voters.filter(({ id }) => [...this.members.values()].some((sim) => this.#isUp(sim) && sim.logOf === id));
    return up.length >= Math.floor(voters.length / 2) + 1;
  }

  #elect(): void {
    const voters = [...this.members.values()].filter(
      (sim) => this.#isUp(sim) && this.entries.some(({ id, votes }) => votes && id === sim.logOf),
    );
    const stays = voters.some(({ name }) => name === this.leader) && this.#hasMajority(this.entries);
    if (stays) return;
    this.leader = undefined;
    if (voters.length === 0 || !this.#hasMajority(this.entries)) return;
    this.leader = voters[this.#choose(voters.length)]?.name;
    this.term++;
  }

  #greet(from: Sim, to: Sim): void {
    const greeting = greetingTo(to.name, this.#view(from));
    if (greeting.leads) to.heard = { from: from.name, greeting, atMs: this.nowMs };
    const reply = replyOf(this.#view(to), false);
    from.peers.set(to.name, { reply, atMs: this.nowMs });
    if (reply.copy === "data") from.invitations.delete(to.name);
  }

  #seen(sim: Sim): GroupView["seen"] {
    if (!this.#isUp(sim) || sim.logOf === null) return undefined;
    const leaderId = this.entries.find(({ name }) => name === this.leader)?.id ?? "";
    const members = this.entries.map((entry) => ({ ...entry, address: entry.name }));
    const position = { history: "1", value: String(this.nowMs), ancestors: [] };
    const leads = this.leader === sim.name;
    return { leads, serves: leaderId !== "", group: { id: sim.logOf, leaderId, term: this.term, members }, position };
  }

  #round(sim: Sim): void {
    const seen = this.#seen(sim);
    sim.leaderlessSinceMs = seen?.group.leaderId ? undefined : (sim.leaderlessSinceMs ?? this.nowMs);
    if (sim.engine === "running" && !this.#isUp(sim) && sim.logOf !== null) {
      sim.engine = "stopped"; // one that was taken out of the list ends by itself
    }
    const view = this.#view(sim);
    const { move } = decide({ ...view, missingSinceMs: this.#missingSince(sim, view) });
    if (this.#choose(10) !== 0) this.#carryOut(sim, move); // now and then it is cut short before it does anything
  }

  #view(sim: Sim): GroupView {
    return {
      self: sim.name,
      nowMs: this.nowMs,
      periodMs: PERIOD_MS,
      intent: {
        ...CALM_INTENT,
        generation: this.generation,
        members: this.listed,
        bootstrapMember: this.entries.length === 0 ? "m0" : null,
      },
      record: { ...sim.record, ...AT_FIRST },
      copy: sim.copy,
      engine: sim.engine,
      seen: this.#seen(sim),
      heard: sim.heard,
      peers: sim.peers,
      newestGeneration: sim.newestGeneration,
      invitations: sim.invitations,
      leaderlessSinceMs: sim.leaderlessSinceMs,
      missingSinceMs: sim.missingSinceMs,
      recoverySinceMs: 0,
      answeredSwitchover: undefined,
      terminating: false,
      rest: undefined,
      claim: undefined,
    };
  }

  #missingSince(sim: Sim, view: GroupView): number | undefined {
    sim.missingSinceMs = isMissing(view) ? (sim.missingSinceMs ?? this.nowMs) : undefined;
    return sim.missingSinceMs;
  }

  #carryOut(sim: Sim, move: Move): void {
    switch (move.kind) {
      case "Initialize":
        return this.#initialize(sim);
      case "Join":
        sim.record = { ...sim.record, id: move.id };
        if (this.#choose(5) === 0) return; // it dies between the note and the start
        return this.#begin(sim, move.id);
      case "Start":
        sim.engine = "running";
        return;
      case "Stop":
        sim.engine = "stopped";
        return;
      case "SetAside":
        Object.assign(sim, { engine: "stopped", copy: "empty", logOf: null });
        return;
      case "Add": {
        const id = `id${++this.#serial}`;
        this.#change([...this.entries, { id, name: move.member, votes: false }], `add ${move.member}`);
        if (this.#choose(5) !== 0) sim.invitations.set(move.member, id); // or the answer is lost
        return;
      }
      case "Promote": {
        const isUp = [...this.members.values()].some((one) => one.logOf === move.id && this.#isUp(one));
        if (!isUp) return; // the engine refuses: it has not caught up
        this.#change(
          this.entries.map((entry) => (entry.id === move.id ? { ...entry, votes: true } : entry)),
          `promote ${move.member}`,
        );
        return;
      }
      case "Remove":
        this.#change(
          this.entries.filter(({ id }) => id !== move.id),
          `remove ${move.member}: ${move.why}`,
        );
        return;
      case "HandOver":
        this.leader = move.to;
        this.term++;
        return;
      default:
        return;
    }
  }

  #initialize(sim: Sim): void {
    if (this.entries.length > 0) throw new Error("a second group was made");
    this.entries = [{ id: "id0", name: sim.name, votes: true }];
    sim.record = { ...sim.record, id: "id0" };
    this.#begin(sim, "id0");
  }

  #begin(sim: Sim, id: string): void {
    if (sim.copy !== "empty") throw new Error(`${sim.name} began a copy over another`);
    if (this.#begun.has(id)) throw new Error(`two copies were begun as ${id}`);
    this.#begun.add(id);
    Object.assign(sim, { copy: "data", logOf: id, engine: "running" });
  }

  /** The rules: by a leader with a majority, one member at a time, and the majority stays. */
  #change(next: Entry[], what: string): void {
    if (!this.#hasMajority(this.entries)) throw new Error(`${what}, without a majority`);
    const had = this.entries.filter(({ votes }) => votes).map(({ id }) => id);
    const has = next.filter(({ votes }) => votes).map(({ id }) => id);
    const moved = [...had.filter((id) => !has.includes(id)), ...has.filter((id) => !had.includes(id))];
    if (moved.length > 1) throw new Error(`${what}: ${moved.length} votes at once`);
    if (next.filter(({ votes }) => !votes).length > 1) throw new Error(`${what}: two learners`);
    if (!this.#hasMajority(next)) throw new Error(`${what}: the majority is gone`);
    this.entries = next;
    this.trace.push(what);
    this.#elect();
  }
}

function fresh(name: string): Sim {
  return {
    name,
    copy: "empty",
    logOf: null,
    record: { incarnation: 0, id: null },
    engine: "stopped",
    peers: new Map(),
    heard: undefined,
    invitations: new Map(),
    newestGeneration: 0,
    missingSinceMs: undefined,
    leaderlessSinceMs: undefined,
  };
}
