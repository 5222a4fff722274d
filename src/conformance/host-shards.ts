/**
 * Shards of one data set as processes of this host: clusters with a leader each, told of each other as their agents would tell them.
 * Who leads, and what moves, the checks decide.
 */
import type { ActionContext } from "../agent/engine/context.ts";
import { shardContext } from "../agent/slots.ts";
import { comparePositions } from "../agent/protocol/position.ts";
import type { EngineShard } from "../api/engine-observation.ts";
import { formatSlots, parseSlots, type SlotRange } from "../plan/slots.ts";
import { bringBack, demand, demandSoon, exitCode, GROUP_PATIENCE_MS, insist, write } from "./check.ts";
import { HostCluster, type HostSoftware } from "./host-cluster.ts";
import type { HostMember } from "./host-member.ts";
import { KeyClient } from "./key-client.ts";
import { LOCALHOST } from "./peer-folder.ts";
import { claimMemberPorts, claimPorts } from "./ports.ts";

/** Members of each shard: of the first as many as an elected leader's rules need. */
const SIZES = [3, 2] as const;

/** What a shard says in words. */
export function describeShard({ slots, moving, movingTo }: EngineShard): string {
  return `"${slots}"${moving === "" ? "" : `, with "${moving}" on their way to ${movingTo}`}`;
}

/** The slots of a text, one by one. */
export function slotSet(text: string): ReadonlySet<number> {
  return new Set(parseSlots(text).flatMap(numbersOf));
}

function numbersOf({ first, last }: SlotRange): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

/** One shard, and who leads it. */
export class Shard {
  readonly name: string;
  readonly cluster: HostCluster;
  leader: HostMember;

  constructor(name: string, cluster: HostCluster) {
    this.name = name;
    this.cluster = cluster;
    this.leader = cluster.member(0);
  }

  /** Members that run and do not lead. */
  get followers(): readonly HostMember[] {
    return this.cluster.members.filter((member) => member.running && member !== this.leader);
  }

  /** A follower that runs. @throws {Error} when there is none. */
  get next(): HostMember {
    const [follower] = this.followers;
    if (follower === undefined) throw new Error(`${this.name} has no follower`);
    return follower;
  }

  /** Makes an empty cluster of it, which owns nothing. */
  async begin(): Promise<void> {
    const [first] = this.cluster.members;
    if (first !== undefined) this.leader = first;
    await this.cluster.form(this.#ack);
  }

  /** Makes `member` the leader of those that run. */
  async promote(member: HostMember): Promise<void> {
    for (const other of this.cluster.members) if (other.running && other !== member) await exitCode(other.run("seal"));
    await this.cluster.promote(member, []);
    this.leader = member;
    for (const other of this.followers) await bringBack(other, member);
    await this.cluster.setSyncSet(member, this.followers, Math.min(this.#ack, this.followers.length));
  }

  /** Starts who does not run, as a follower of the leader. */
  async complete(): Promise<void> {
    for (const member of this.cluster.members) {
      if (member.running) continue;
      await member.start();
      await bringBack(member, this.leader);
    }
    await this.cluster.setSyncSet(this.leader, this.followers, this.#ack);
  }

  /** Kills everybody at once. */
  async killAll(): Promise<void> {
    await Promise.all(this.cluster.members.map((member) => member.kill()));
  }

  /** Starts everybody after all were killed, and lets the one lead whose copy has most, as an election would. */
  async revive(): Promise<void> {
    const { members } = this.cluster;
    const seen = await Promise.all(members.map(async (member) => ({ member, ...(await member.start()) })));
    const [first] = seen;
    if (first === undefined) throw new Error(`${this.name} has no members`);
    let best = first;
    for (const one of seen) if (comparePositions(one.position, best.position) === "ahead") best = one;
    await this.promote(best.member);
  }

  /** Removes every copy, as when the volumes were deleted with the shard. */
  async wipe(): Promise<void> {
    await this.killAll();
    for (const member of this.cluster.members) member.empty();
  }

  /** What the leader's copy says that the shard owns. */
  said(): Promise<EngineShard> {
    return this.saidBy(this.leader);
  }

  /** The same of another copy. */
  async saidBy(member: HostMember): Promise<EngineShard> {
    let shard: EngineShard | undefined;
    // Agents, too, ask again when there was no answer.
    await insist(async () => (shard = (await member.observe()).shard));
    demand(
      shard !== undefined,
      `observe: shard is missing on ${member.name}, although QUORATE_SHARD_PEERS is not empty`,
    );
    return shard;
  }

  /** Takes slots that nobody owns. */
  async assign(slots: string, by = this.leader): Promise<void> {
    await by.run("assignSlots", { QUORATE_EPOCH: String(this.cluster.epoch), QUORATE_SLOTS: slots });
  }

  /** Gives slots to another shard, whoever leads that now. */
  async give(slots: string, to: Shard, by = this.leader): Promise<void> {
    const target: Partial<ActionContext> = {
      QUORATE_TARGET: to.name,
      QUORATE_TARGET_HOST: LOCALHOST,
      QUORATE_TARGET_PORT: String(to.leader.port),
    };
    await by.run("moveSlots", { QUORATE_EPOCH: String(this.cluster.epoch), QUORATE_SLOTS: slots, ...target });
  }

  get #ack(): number {
    return this.cluster.software.spec.durabilityModes.some((mode) => mode !== "Async") ? 1 : 0;
  }
}

/** Two shards, the first of three members, and a client if there is one. */
export class HostShards {
  readonly first: Shard;
  readonly second: Shard;
  /** Undefined where nobody said how keys are written. */
  readonly client: KeyClient | undefined;
  readonly slots: number;
  readonly #memberPorts: ReadonlyMap<HostMember, number>;

  private constructor(first: Shard, second: Shard, memberPorts: ReadonlyMap<HostMember, number>) {
    this.first = first;
    this.second = second;
    this.#memberPorts = memberPorts;
    const { software } = first.cluster;
    this.slots = software.spec.slots ?? 0;
    this.client = software.client === undefined ? undefined : new KeyClient(software.client, () => this.#anyLeader());
    this.introduce([first]);
  }

  /** Makes the folders of all members. */
  static async create(software: HostSoftware): Promise<HostShards> {
    const memberPorts = new Map<HostMember, number>();
    const shards: Shard[] = [];
    for (const [at, size] of SIZES.entries()) {
      const name = `orders-s${at}`;
      const context = { QUORATE_CLUSTER: name, QUORATE_OWN_HOST: LOCALHOST, ...software.context };
      const cluster = new HostCluster(await claimPorts(size), { ...software, name, context });
      const ports = await claimMemberPorts(software.spec, size);
      for (const [index, member] of cluster.members.entries()) {
        memberPorts.set(member, ports[index] ?? member.port);
        member.useDefaults();
      }
      shards.push(new Shard(name, cluster));
    }
    const [first, second] = shards;
    if (first === undefined || second === undefined) throw new Error("no shards");
    return new HostShards(first, second, memberPorts);
  }

  get all(): readonly [Shard, Shard] {
    return [this.first, this.second];
  }

  get members(): readonly HostMember[] {
    return this.all.flatMap(({ cluster }) => cluster.members);
  }

  /** Slots of which half of all is in each. */
  get halves(): readonly [string, string] {
    const half = Math.floor(this.slots / 2);
    return [formatSlots([{ first: 0, last: half - 1 }]), formatSlots([{ first: half, last: this.slots - 1 }])];
  }

  /** Tells every member which shards there are. */
  introduce(shards: readonly Shard[]): void {
    const peers = shards.flatMap(({ cluster }) =>
      cluster.members.map((member) => ({
        name: member.name,
        host: LOCALHOST,
        port: member.port,
        memberPort: this.#memberPortOf(member),
      })),
    );
    for (const member of this.members)
      member.driver.amend({
        ...shardContext({ shard: { peers } }),
        QUORATE_MEMBER_PORT: String(this.#memberPortOf(member)),
      });
  }

  /** Forms both shards, with half of the slots each; or the first alone, which owns them all. */
  async form(count: number = SIZES.length): Promise<void> {
    const shards = this.all.slice(0, count);
    const shares = count === 1 ? [formatSlots([{ first: 0, last: this.slots - 1 }])] : this.halves;
    this.introduce(shards);
    await Promise.all(shards.map((shard) => shard.begin()));
    for (const [at, shard] of shards.entries()) await insist(() => shard.assign(shares[at] ?? ""));
    await this.untilServing(...shards);
  }

  /** Waits until the shards take writes. Everybody looks meanwhile, as agents do every second: that is how servers may find each other. */
  async untilServing(...shards: readonly Shard[]): Promise<void> {
    let state = "";
    await demandSoon(
      async () => {
        await this.#lookAround(shards);
        for (const { leader, cluster } of shards) {
          state = `probeWrite: it does not come to succeed on ${leader.name}, which leads`;
          await write(leader, cluster.epoch);
        }
        state = "client: it does not come to write and read keys through whichever leader";
        return this.client === undefined || (await this.client.works());
      },
      () => `${state}${state.startsWith("client") ? `: ${this.client?.said ?? ""}` : ""}`,
      GROUP_PATIENCE_MS,
    );
  }

  /** Runs what may fail until servers know each other; everybody looks meanwhile. */
  async insist(work: () => Promise<unknown>): Promise<void> {
    await insist(async () => {
      await this.#lookAround(this.all);
      await work();
    });
  }

  /** Waits until clients find every key that was acknowledged so far. */
  async demandKeys(when: string): Promise<void> {
    const { client } = this;
    if (client === undefined) return;
    let missing: readonly string[] = [];
    await demandSoon(
      async () => {
        await this.#lookAround(this.all);
        missing = await client.missing();
        return missing.length === 0;
      },
      () =>
        `${when}: of ${client.keys.length} acknowledged keys a client does not find ${missing.length}, such as ${missing.slice(0, 3).join(" and ")}`,
      GROUP_PATIENCE_MS,
    );
  }

  /** Kills what runs and removes everything. */
  async close(): Promise<void> {
    for (const { cluster } of this.all) await cluster.close();
  }

  async #lookAround(shards: readonly Shard[]): Promise<void> {
    const members = shards.flatMap(({ cluster }) => cluster.members).filter(({ running }) => running);
    for (const member of members) await exitCode(member.observe());
  }

  #anyLeader(): HostMember {
    return (this.all.find(({ leader }) => leader.running) ?? this.first).leader;
  }

  #memberPortOf(member: HostMember): number {
    return this.#memberPorts.get(member) ?? member.port;
  }
}
