// An engine that keeps its own list of members, and the agents that look after it: topologies Consensus and ActiveActive, in the
// steps that src/agent/group takes. Who is counted, who may lead and who may write follows from who is up.
import type { Intent, MemberReport } from "../../../src/api/agent-wire.ts";
import { isSameJson } from "../../../src/build/hash.ts";
import { timestamp } from "../../../src/plan/timestamp.ts";
import type { Simulator } from "./simulator.ts";
import { NO_REPORT, type Pod } from "./views.ts";

type Move = () => void;

/** The topologies whose engines keep a list of members themselves. */
export type GroupTopology = "Consensus" | "ActiveActive";

/** The group of one cluster. */
export class SimulatedGroup {
  readonly #topology: GroupTopology;
  /** Whom the engine counts, and whether they vote. Where every member writes: who was there when writes were last taken. */
  readonly #votes = new Map<string, boolean>();
  #incarnation = 0;
  #term = 0;

  constructor(topology: GroupTopology) {
    this.#topology = topology;
  }

  /** Another one in the same state. */
  fork(): SimulatedGroup {
    const other = new SimulatedGroup(this.#topology);
    for (const [name, votes] of this.#votes) other.#votes.set(name, votes);
    other.#incarnation = this.#incarnation;
    other.#term = this.#term;
    return other;
  }

  /** Grows with every leader, and where there is none with every change of the members. */
  get term(): number {
    return this.#term;
  }

  /** Whom the engine counts as a member, with and without a vote. */
  get counted(): readonly string[] {
    return [...this.#votes.keys()].toSorted();
  }

  /** Who counts for a majority. */
  get voters(): readonly string[] {
    return this.counted.filter((name) => this.#votes.get(name) === true);
  }

  get #isActive(): boolean {
    return this.#topology === "ActiveActive";
  }

  /** Whether the member's engine runs and reaches the others. */
  isUp(world: Simulator, name: string): boolean {
    const pod = world.pods.get(name);
    if (pod?.report === undefined || !isHeard(world, name) || world.volumes.get(name)?.hasData !== true) return false;
    const { state } = pod.report;
    return state === "Running" || state === "Electing" || (!this.#isActive && state === "Blocked");
  }

  /** Whether the engine can start beside those that serve: it is counted, or enters by itself. */
  mayStart(world: Simulator, name: string): boolean {
    if (world.leader === undefined) return false;
    // A copy that was lost is not made anew under the identity that it had.
    return this.#isActive || this.#votes.get(name) === false || this.#hasItsCopy(world, name);
  }

  /** What an agent says whose engine waits for others. */
  waiting(world: Simulator, name: string): Partial<MemberReport> {
    const group = { incarnation: this.#incarnation };
    const isWaiting = !this.#isActive && this.#hasItsCopy(world, name); // where every member writes, it is at rest
    return { role: "none", state: isWaiting ? "Electing" : "Starting", group };
  }

  #hasItsCopy(world: Simulator, name: string): boolean {
    return this.#votes.has(name) && world.volumes.get(name)?.hasData === true;
  }

  /** The member's engine runs beside the others from now on. */
  joined(name: string): void {
    if (!this.#isActive || this.#votes.has(name)) return;
    this.#votes.set(name, true);
    this.#term += 1;
  }

  /** The member leads from now on; the first one begins the group. @returns what it says. */
  begun(world: Simulator, name: string): Partial<MemberReport> {
    if (this.#isActive && !this.#isPrimary(world)) this.#votes.clear();
    this.#votes.set(name, true);
    this.#term += 1;
    return this.#leading(world, name);
  }

  // ------------------------------------------------------------------------------------------------------- nobody leads

  /** What may happen while nobody leads. */
  elections(world: Simulator, intent: Intent): Move[] {
    const recovery = this.#recovery(world, intent);
    if (recovery !== undefined) return recovery;
    const gone = this.#departures(world);
    if (gone.length > 0) return gone;
    const candidates = this.#candidates(world, intent);
    if (candidates.length > 0) return candidates.map((name) => () => world.promote(name));
    const stuck = this.#isEmpty ? [] : intent.members.filter(({ name }) => this.#isStuck(world, name));
    return stuck.map(
      ({ name }) =>
        () =>
          this.#lament(world, name),
    );
  }

  get #isEmpty(): boolean {
    return this.#votes.size === 0;
  }

  #candidates(world: Simulator, intent: Intent): readonly string[] {
    const names = intent.members.map(({ name }) => name);
    if (this.#isEmpty) return names.filter((name) => name === intent.bootstrapMember && isHeard(world, name));
    const up = this.voters.filter((name) => this.isUp(world, name));
    if (this.#isPrimary(world)) return this.#isActive ? up.slice(0, 1) : up;
    // All at rest, each with its copy: whoever has most begins the group again.
    const isWhole = names.every((name) => isHeard(world, name) && world.volumes.get(name)?.hasData === true);
    return this.#isActive && isWhole ? names.slice(0, 1) : [];
  }

  /** Whether those that are up can write: most of those that vote. */
  #isPrimary(world: Simulator): boolean {
    const up = this.voters.filter((name) => this.isUp(world, name));
    return up.length > this.voters.length / 2;
  }

  #isStuck(world: Simulator, name: string): boolean {
    const position = world.pods.get(name)?.report?.group?.position;
    return isHeard(world, name) && world.volumes.get(name)?.hasData === true && position === undefined;
  }

  #lament(world: Simulator, name: string): void {
    const group = { incarnation: this.#incarnation, position: { term: this.#term, index: "100" } };
    const pod = world.pods.get(name);
    if (pod !== undefined) world.setReady(pod, false);
    world.report(name, { role: "none", state: "Blocked", reason: "QuorumLost", group });
  }

  /** A person consented to go on from one copy alone. */
  #recovery(world: Simulator, { group }: Intent): Move[] | undefined {
    if (group === undefined || group.incarnation <= this.#incarnation || group.founder === null) return undefined;
    const { founder, incarnation } = group;
    if (!isHeard(world, founder)) return [];
    return [
      () => {
        this.#incarnation = incarnation;
        this.#votes.clear();
        for (const [name, volume] of world.volumes) if (name !== founder) volume.hasData = false;
        for (const name of world.pods.keys()) if (name !== founder) world.kill(name);
        world.promote(founder);
      },
    ];
  }

  // ------------------------------------------------------------------------------------------------------ somebody leads

  /** What may happen while `leader` leads. */
  changes(world: Simulator, intent: Intent, leader: string): Move[] {
    const gone = this.#departures(world);
    if (gone.length > 0) return gone;
    if (!this.#isPrimary(world)) return [() => this.#lose(world)];
    const moves = this.#isActive ? this.#memberMoves(world, intent, leader) : this.#listMoves(world, intent, leader);
    const says = this.#leading(world, leader);
    if (!isSaid(world.pods.get(leader), says)) moves.push(() => world.report(leader, says));
    return moves;
  }

  /** Where every member writes, one that ends in order takes leave: the others go on without it, however few they are. */
  #departures(world: Simulator): Move[] {
    if (!this.#isActive || this.#votes.size < 2) return [];
    const isGone = (name: string): boolean => !world.pods.has(name) || hasStopped(world, name);
    const gone = this.counted.filter(isGone);
    // The last ones to go remember that they were.
    return gone.length === this.#votes.size ? [] : gone.map((name) => () => this.#leave(name));
  }

  #leave(name: string): void {
    this.#votes.delete(name);
    this.#term += 1;
  }

  /** The majority is gone: whoever is left knows of no leader. */
  #lose(world: Simulator): void {
    for (const [name, pod] of world.pods) {
      if (pod.report === undefined || pod.lost) continue;
      world.setReady(pod, false);
      const state = this.#hasItsCopy(world, name) ? { state: "Electing" as const } : {};
      world.report(name, { ...this.waiting(world, name), ...state, syncNames: [] });
    }
    world.touch();
  }

  /** What the leader says of the group. */
  #leading(world: Simulator, leader: string): Partial<MemberReport> {
    const others = this.voters.filter((name) => name !== leader);
    return {
      role: "leader",
      state: "Running",
      reason: null,
      epoch: this.#term,
      syncNames: this.#isActive ? others.filter((name) => this.isUp(world, name)) : others,
      ackCount: Math.floor(this.voters.length / 2),
      group: { incarnation: this.#incarnation, members: [...this.counted] },
      ...(world.intent === undefined ? {} : { intentGeneration: world.intent.generation }),
    };
  }

  /** Topology Consensus: the leader brings the engine's list to what the intent lists, one change at a time. */
  #listMoves(world: Simulator, intent: Intent, leader: string): Move[] {
    const names = intent.members.map(({ name }) => name);
    const heirs = this.voters.filter((name) => name !== leader && names.includes(name) && this.isUp(world, name));
    if (!names.includes(leader)) return heirs.map((name) => () => this.#handOver(world, leader, name));
    const learners = this.counted.filter((name) => this.#votes.get(name) === false);
    const arrived = learners.filter((name) => names.includes(name) && this.isUp(world, name));
    if (arrived.length > 0) return arrived.map((name) => () => void this.#votes.set(name, true));
    const unlisted = this.counted.filter((name) => !names.includes(name));
    const bereft = this.voters.filter((name) => isHeard(world, name) && world.volumes.get(name)?.hasData === false);
    const removable = [...unlisted, ...bereft].filter((name) => name !== leader && this.#canSpare(world, name));
    if (removable.length > 0) return removable.map((name) => () => void this.#votes.delete(name));
    const strangers = names.filter((name) => !this.#votes.has(name) && isHeard(world, name));
    return strangers.flatMap((name): Move[] => {
      const volume = world.volumes.get(name);
      if (volume === undefined) return [];
      // A copy that the group has forgotten is set aside before its member is invited anew.
      if (volume.hasData) return [() => this.#setAside(world, name)];
      return learners.length > 0 ? [] : [() => void this.#votes.set(name, false)];
    });
  }

  #setAside(world: Simulator, name: string): void {
    const [pod, volume] = [world.pods.get(name), world.volumes.get(name)];
    if (volume !== undefined) volume.hasData = false;
    if (pod !== undefined) world.setReady(pod, false);
    world.report(name, { ...this.waiting(world, name), syncNames: [] });
    world.touch();
  }

  #canSpare(world: Simulator, name: string): boolean {
    const left = this.voters.filter((other) => other !== name);
    return left.filter((other) => this.isUp(world, other)).length >= Math.floor(left.length / 2) + 1;
  }

  /** Topology ActiveActive: members come and go by themselves, and one of them speaks for the others. */
  #memberMoves(world: Simulator, intent: Intent, leader: string): Move[] {
    const names = intent.members.map(({ name }) => name);
    const dead = this.counted.filter((name) => !this.isUp(world, name));
    if (dead.length > 0) return dead.map((name) => () => this.#leave(name));
    const leaving = this.counted.filter((name) => !names.includes(name) && this.#votes.size > 1);
    const speaker = this.#speaker(world, intent);
    const moves: Move[] = leaving.map((name) => () => this.#stop(world, name));
    if (speaker !== undefined && speaker !== leader) moves.push(() => this.#handOver(world, leader, speaker));
    return moves;
  }

  /** As `coordinator` of src/agent/group/active.ts has it. */
  #speaker(world: Simulator, { members, switchover }: Intent): string | undefined {
    const serving = members.map(({ name }) => name).filter((name) => this.#votes.has(name) && this.isUp(world, name));
    if (switchover?.to !== null && switchover?.to !== undefined && serving.includes(switchover.to))
      return switchover.to;
    const staying = serving.filter((name) => name !== switchover?.from);
    return (staying.length > 0 ? staying : serving).toSorted()[0];
  }

  /** An engine that is stopped tells the others: they go on without it, however many are left. */
  #stop(world: Simulator, name: string): void {
    this.#leave(name);
    const pod = world.pods.get(name);
    if (pod !== undefined) world.setReady(pod, false);
    world.report(name, { role: "none", state: "Stopped", reason: "NotListed", syncNames: [] });
    world.touch();
  }

  /** Answers a request to hand over, as the member does that it is for. */
  answerSwitchover(world: Simulator, { id, from, to }: NonNullable<Intent["switchover"]>): Move[] {
    const { leader } = world;
    const asked = from ?? leader ?? "";
    if (leader === undefined || world.pods.get(asked)?.report === undefined) return [];
    if (world.pods.get(asked)?.report?.switchover?.id === id) return [];
    const answer = (result: "Done" | "Refused", message: string): Move => {
      return () => world.report(asked, { switchover: { id, result, message } });
    };
    if (!this.#isActive) {
      const heir = this.voters.find((name) => name === to && this.isUp(world, name));
      if (asked !== leader) return [];
      if (heir === undefined || world.refusesSwitchover) return [answer("Refused", "not now")];
      return [
        () => {
          answer("Done", `${heir} leads`)();
          this.#handOver(world, leader, heir);
        },
      ];
    }
    if (leader !== asked) return [answer("Done", `${leader} leads`)];
    const others = this.counted.filter((name) => name !== asked && this.isUp(world, name));
    return others.length === 0 ? [answer("Refused", "no other member serves that could lead")] : [];
  }

  #handOver(world: Simulator, from: string, to: string): void {
    world.report(from, { role: "follower", syncNames: [], group: { incarnation: this.#incarnation } });
    if (!this.#isActive) this.#term += 1;
    world.report(to, { ...this.#leading(world, to), leaderSince: timestamp(world.nowMs) });
    world.touch();
  }
}

/** Whether the member's agent answers. */
function isHeard(world: Simulator, name: string): boolean {
  const pod = world.pods.get(name);
  return pod?.report !== undefined && !pod.lost && pod.works;
}

/** Whether its engine was stopped, and did not die. */
function hasStopped(world: Simulator, name: string): boolean {
  const pod = world.pods.get(name);
  return pod !== undefined && !pod.lost && (pod.report?.state === "Starting" || pod.report?.state === "Stopped");
}

function isSaid(pod: Pod | undefined, says: Partial<MemberReport>): boolean {
  const report: MemberReport = pod?.report ?? NO_REPORT;
  return isSameJson({ ...report, ...says }, report);
}
