// A small world for `decideActive`: members with volumes, an engine that lets a majority of those that were together go on, a Lease,
// and a network that loses greetings and is cut. A write is acknowledged where it is made, before the others have it on disk.
import { coordinator, decideActive } from "../../../src/agent/group/active.ts";
import type {
  FoundingClaim,
  GroupRecord,
  GroupView,
  HeardGreeting,
  Move,
  PeerView,
} from "../../../src/agent/group/types.ts";
import { greetingTo, replyOf } from "../../../src/agent/group/speech.ts";
import { CALM_INTENT } from "./group-intent.ts";
import { AT_FIRST, type Choose } from "./group-world.ts";

const PERIOD_MS = 1000;
const LEASE_MS = 6000;
const CLAIM_MS = 4000;

/** What can happen to a member, or to all. */
export type Fault = "none" | "kill" | "killAll" | "volume" | "cut" | "heal" | "stop";

interface Copy {
  readonly history: string;
  /** Entries on disk. */
  end: number;
  /** Who was in the group at that entry, and how often that had changed. */
  view: { readonly names: readonly string[]; readonly term: number };
}

interface Sim {
  readonly name: string;
  copy: Copy | undefined;
  /** A transfer that was cut short: something is there, and nothing of its own. */
  isPartial: boolean;
  record: GroupRecord;
  engine: "stopped" | "running";
  /** The group that its engine belongs to; undefined while it belongs to none that may write. */
  group: Group | undefined;
  peers: Map<string, PeerView>;
  heard: HeardGreeting | undefined;
  leaderlessSinceMs: number | undefined;
  claim: (FoundingClaim & { readonly sentMs: number }) | undefined;
}

/** Engines that may write together. */
interface Group {
  readonly history: string;
  /** Who was in it when it last changed: a majority of them goes on. */
  members: readonly string[];
  /** Entries that all members have received. */
  end: number;
  term: number;
}

/** A cluster `m0` … `m4`, all listed. */
export class ActiveWorld {
  nowMs = 100_000;
  readonly members = new Map<string, Sim>();
  /** How often the group was begun. */
  founded = 0;
  /** The highest entry that a client was told to be there. */
  acked = 0;
  readonly #choose: Choose;
  readonly #cut = new Set<string>();
  #initialised = false;
  #histories = 0;
  #term = 0;
  #lease: { readonly holder: string; readonly sinceMs: number } = { holder: "", sinceMs: 0 };

  constructor(choose: Choose) {
    this.#choose = choose;
    for (let ordinal = 0; ordinal < 5; ordinal++) this.members.set(`m${ordinal}`, fresh(`m${ordinal}`));
  }

  /** Lets something happen. */
  strike(fault: Fault, name: string): void {
    const sim = this.#sim(name);
    if (fault === "kill") this.#kill(sim);
    if (fault === "killAll") for (const one of [...this.members.values()]) this.#kill(one);
    if (fault === "cut") this.#cut.add(name);
    if (fault === "heal") this.heal();
    if (fault === "stop" && sim.engine === "running") this.#stop(sim);
    if (fault === "volume") this.members.set(name, fresh(name));
    this.#regroup();
  }

  /** Everybody reaches everybody again. */
  heal(): void {
    this.#cut.clear();
  }

  /** Whether all members write together. */
  get isWhole(): boolean {
    const groups = new Set([...this.members.values()].map(({ group }) => group));
    return groups.size === 1 && !groups.has(undefined);
  }

  /** Whether nobody serves, and a copy is gone that may have been the only one with what was acknowledged. */
  get needsConsent(): boolean {
    const all = [...this.members.values()];
    const isGone = ({ copy, record }: Sim): boolean => copy === undefined && !record.joining;
    return this.#initialised && all.every(({ group }) => group === undefined) && all.some(isGone);
  }

  /** A period passes: writes, greetings, then a round of every member, in some order. */
  step(): void {
    this.nowMs += PERIOD_MS;
    this.#regroup();
    for (const sim of this.members.values()) this.#write(sim);
    for (const from of this.members.values()) {
      for (const to of this.members.values()) {
        if (this.#canHear(from, to) && this.#choose(8) !== 0) this.#greet(from, to);
      }
    }
    const waiting = [...this.members.keys()];
    while (waiting.length > 0) {
      const [name = ""] = waiting.splice(this.#choose(waiting.length), 1);
      this.#round(this.#sim(name));
    }
  }

  #sim(name: string): Sim {
    const found = this.members.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  }

  #canHear(a: Sim, b: Sim): boolean {
    return a !== b && !this.#cut.has(a.name) && !this.#cut.has(b.name);
  }

  /** What it had received and not written down is gone with it; the others still count it. */
  #kill({ name, copy, isPartial, record }: Sim): void {
    this.members.set(name, { ...fresh(name), copy, isPartial, record });
  }

  /** A clean stop: what it had received is on disk, and the others count it no longer. */
  #stop(sim: Sim): void {
    const { group, copy } = sim;
    if (group !== undefined && copy !== undefined) {
      apply(copy, group);
      this.#change(
        group,
        group.members.filter((name) => name !== sim.name),
      );
    }
    Object.assign(sim, { engine: "stopped", group: undefined });
  }

  #change(group: Group, members: readonly string[]): void {
    group.members = members;
    group.term = ++this.#term;
  }

  /** Those of a group that reach each other go on if they are more than half of who was there; the rest may not write. */
  #regroup(): void {
    for (const group of new Set([...this.members.values()].flatMap((sim) => sim.group ?? []))) {
      const alive = [...this.members.values()].filter((sim) => sim.group === group);
      const together = alive.filter(({ name }) => !this.#cut.has(name));
      const [alone] = alive.filter(({ name }) => this.#cut.has(name));
      const going = group.members.length === 1 && alone !== undefined ? [alone] : together;
      const isMajority = going.length * 2 > group.members.length;
      for (const sim of alive) if (!isMajority || !going.includes(sim)) sim.group = undefined;
      if (isMajority && going.length < group.members.length)
        this.#change(
          group,
          going.map(({ name }) => name),
        );
    }
  }

  #write({ group, copy }: Sim): void {
    if (group === undefined || copy === undefined) return;
    if (new Set([...this.members.values()].flatMap((one) => one.group ?? [])).size > 1)
      throw new Error("two groups write");
    if (this.#choose(3) === 0) return; // it has received, and not written down
    if (this.#choose(2) !== 0) this.acked = ++group.end;
    apply(copy, group);
  }

  #seen(sim: Sim): GroupView["seen"] {
    const { engine, copy, group } = sim;
    if (engine !== "running" || copy === undefined) return undefined;
    const isIn = group !== undefined;
    const names = isIn ? copy.view.names : [];
    const members = names.map((name) => ({ id: name, name, votes: true, address: name }));
    return {
      leads: false,
      serves: isIn,
      group: { id: sim.name, leaderId: isIn ? sim.name : "", term: copy.view.term, members },
      position: positionOf(copy),
    };
  }

  #rest({ copy, engine }: Sim): GroupView["rest"] {
    if (engine === "running") return undefined;
    return copy === undefined ? null : positionOf(copy);
  }

  #greet(from: Sim, to: Sim): void {
    const greeting = greetingTo(to.name, this.#view(from));
    if (greeting.leads) to.heard = { from: from.name, greeting, atMs: this.nowMs };
    const reply = replyOf(this.#view(to), true);
    from.peers.set(to.name, { reply, atMs: this.nowMs });
  }

  #view(sim: Sim): GroupView {
    const { claim } = sim;
    const view: GroupView = {
      self: sim.name,
      nowMs: this.nowMs,
      periodMs: PERIOD_MS,
      intent: {
        ...CALM_INTENT,
        generation: 1,
        members: [...this.members.keys()],
        bootstrapMember: this.#initialised ? null : "m0",
      },
      record: sim.record,
      copy: copyOf(sim),
      engine: sim.engine,
      seen: this.#seen(sim),
      heard: sim.heard,
      peers: sim.peers,
      newestGeneration: 1,
      invitations: new Map(),
      leaderlessSinceMs: sim.leaderlessSinceMs,
      missingSinceMs: undefined,
      recoverySinceMs: 0,
      answeredSwitchover: undefined,
      terminating: false,
      rest: this.#rest(sim),
      claim: claim !== undefined && this.nowMs - claim.sentMs < CLAIM_MS ? claim : undefined,
    };
    if (view.seen === undefined) return view;
    return { ...view, seen: { ...view.seen, leads: coordinator(view) === sim.name } };
  }

  #round(sim: Sim): void {
    const seen = this.#seen(sim);
    const serves = seen?.serves === true;
    sim.leaderlessSinceMs = serves ? undefined : (sim.leaderlessSinceMs ?? this.nowMs);
    if (serves) {
      const isWith = seen.group.members.length > 1;
      sim.record = { ...sim.record, joining: false, founding: isWith ? "None" : sim.record.founding };
      if (sim.claim !== undefined && this.#lease.holder === sim.name) this.#lease = { holder: "", sinceMs: this.nowMs };
      sim.claim = undefined;
    }
    const { move } = decideActive(this.#view(sim));
    if (this.#choose(10) !== 0) this.#carryOut(sim, move); // now and then it is cut short before it does anything
  }

  #carryOut(sim: Sim, move: Move): void {
    switch (move.kind) {
      case "Initialize":
        sim.record = { ...sim.record, founding: "May" };
        if (this.#choose(5) !== 0) sim.isPartial = true; // a data set without a history; or it dies before there is one
        return;
      case "Claim":
        return this.#claim(sim);
      case "Found":
        return this.#found(sim);
      case "Enter":
        return this.#enter(sim);
      case "Stop":
        return this.#stop(sim);
      case "SetAside":
        throw new Error(`${sim.name} has a copy of another history`);
      default:
        return;
    }
  }

  #claim(sim: Sim): void {
    const { holder, sinceMs } = this.#lease;
    if (holder !== "" && holder !== sim.name && this.nowMs - sinceMs <= LEASE_MS) return;
    this.#lease = { holder: sim.name, sinceMs: this.nowMs };
    sim.claim = { epoch: 1, sentMs: this.nowMs, wonMs: this.nowMs };
  }

  #found(sim: Sim): void {
    const isFirst = sim.record.founding !== "None";
    sim.record = { ...sim.record, id: sim.name, founding: isFirst ? "Begun" : "None" };
    if (this.#choose(5) === 0) return; // it dies between the note and the start
    const end = sim.copy?.end ?? 0;
    if (end < this.acked) throw new Error(`begun with ${end}, although ${this.acked} were acknowledged`);
    if ([...this.members.values()].some(({ group }) => group !== undefined))
      throw new Error("a second group was begun");
    const history = sim.copy?.history ?? `h${++this.#histories}`;
    const group: Group = { history, members: [sim.name], end, term: ++this.#term };
    const view = { names: group.members, term: group.term };
    Object.assign(sim, { copy: { history, end, view }, isPartial: false, engine: "running", group });
    this.founded++;
    this.#initialised = true;
  }

  #enter(sim: Sim): void {
    sim.record = { ...sim.record, id: sim.name, founding: "None", joining: true };
    const donor = [...this.members.values()].find((one) => one.group !== undefined && this.#canHear(one, sim));
    if (donor?.group === undefined || donor.copy === undefined) return; // its engine ends: there is nobody to join
    const { group } = donor;
    if (sim.copy !== undefined && sim.copy.end > group.end) throw new Error(`${sim.name} is ahead of the group`);
    apply(donor.copy, group); // what it gives it has written down
    if (this.#choose(6) === 0) {
      sim.isPartial = true; // cut short on the way
      sim.copy = undefined;
      return;
    }
    this.#change(group, [...group.members.filter((name) => name !== sim.name), sim.name]);
    const copy: Copy = { history: group.history, end: 0, view: { names: [], term: 0 } };
    apply(copy, group);
    Object.assign(sim, { copy, isPartial: false, engine: "running", group });
  }
}

/** Writes down all that was received: entries, and changes of the members between them. */
function apply(copy: Copy, group: Group): void {
  copy.end = group.end;
  copy.view = { names: group.members, term: group.term };
}

function positionOf({ history, end }: Copy) {
  return { history, value: String(end), ancestors: [] };
}

function copyOf({ copy, engine, isPartial }: Sim): GroupView["copy"] {
  return copy !== undefined || isPartial || engine === "running" ? "data" : "empty";
}

function fresh(name: string): Sim {
  return {
    name,
    copy: undefined,
    isPartial: false,
    record: { incarnation: 0, id: null, ...AT_FIRST },
    engine: "stopped",
    group: undefined,
    peers: new Map(),
    heard: undefined,
    leaderlessSinceMs: undefined,
    claim: undefined,
  };
}
