/**
 * A cluster whose engines form a group themselves, as processes of this host. Its members run the actions by the same code as their
 * agents would, with the context that follows from who the members are; but nobody decides for them.
 */
import { join } from "node:path";
import { Volume } from "../agent/engine/volume.ts";
import { GroupEngine, type StartMode } from "../agent/group/engine.ts";
import type { EngineView } from "../agent/group/types.ts";
import { ActionError } from "../agent/engine/driver.ts";
import type { IntentMember } from "../api/agent-wire.ts";
import type { EngineGroupMember } from "../api/engine-observation.ts";
import { GROUP_PATIENCE_MS, demand, demandSoon, exitCode } from "./check.ts";
import { HostCluster, type HostSoftware } from "./host-cluster.ts";
import type { HostMember } from "./host-member.ts";
import { LOCALHOST, PeerFolder } from "./peer-folder.ts";
import { claimMemberPorts, claimPorts, secondPort } from "./ports.ts";

/** What each member may use; with less, some software accepts nothing. */
const MEMORY_BYTES = 512 * 1024 * 1024;

/** What a member said of itself and its group, in words. */
export function describeView(view: EngineView | undefined): string {
  if (view === undefined) return "does not answer";
  const { group, leads, serves, position } = view;
  const members = group.members.map(({ id, name, votes }) => `${name}=${id}${votes ? "" : " (no vote)"}`);
  const role = leads ? "leads" : serves ? "serves" : "does not serve";
  return `${group.id} ${role}, leader "${group.leaderId}", term ${group.term}, at ${position.value}, members ${members.join(", ")}`;
}

/** One member of the group. */
export class GroupSeat {
  readonly name: string;
  readonly host: HostMember;
  readonly engine: GroupEngine;
  readonly volume: Volume;
  readonly place: IntentMember;
  /** The identity that it has, or was given. */
  id: string | null = null;
  /** The one that it was last started under: there may be a copy of it. */
  startedAs: string | null = null;

  constructor(host: HostMember, memberPort: number) {
    this.name = host.name;
    this.host = host;
    this.volume = new Volume(host.dataDir, join(host.folder, "state"));
    this.place = { name: host.name, host: LOCALHOST, agentPort: 0, initPort: 0, enginePort: host.port, memberPort };
    host.driver.amend({
      QUORATE_OWN_HOST: LOCALHOST,
      QUORATE_MEMBER_PORT: String(memberPort),
      QUORATE_GROUP: "",
      QUORATE_FOUND: "false",
    });
    host.useDefaults();
    const processes = {
      start: (argv: readonly string[], env: Readonly<Record<string, string>>): Promise<void> =>
        Promise.resolve(host.launch(argv, env)),
      stop: async (_: string, graceMs: number): Promise<void> => void (await host.stopWithin(graceMs)),
      kill: (): Promise<void> => host.kill(),
    };
    this.engine = new GroupEngine({ driver: host.driver, host: processes, volume: this.volume, self: host.name });
  }

  /** Kills the action that `work` runs so long after it began. @returns whether it was done by then. */
  async cutShort(afterMs: number, work: () => Promise<unknown>): Promise<boolean> {
    return (await exitCode(this.host.driver.cutShort(afterMs, work))) === 0;
  }

  /** Makes a group of this member alone, unless that is done. As agents do, what is left of one that was cut short is set aside first. */
  async initialize(): Promise<void> {
    if ((await this.volume.state()) === "incomplete") await this.volume.setAside(false);
    if ((await this.volume.state()) === "empty") await this.engine.initialize();
  }

  /** Starts the main process and returns at once. @param group - Whom it is told of. */
  start(group: readonly EngineGroupMember[], mode: StartMode = "Join"): Promise<void> {
    this.startedAs = this.id;
    return this.engine.start(group, this.id, mode);
  }

  /** What the engine says; undefined when it does not answer. */
  async look(): Promise<EngineView | undefined> {
    if (!this.host.running) return undefined;
    try {
      return (await this.engine.observe()).view;
    } catch (error) {
      if (error instanceof ActionError) return undefined;
      throw error;
    }
  }

  /** Waits until the engine says something that is as it should be. @throws {Finding} what `otherwise` says, and what it said last. */
  async until(holds: (view: EngineView) => boolean, otherwise: string): Promise<EngineView> {
    let seen: EngineView | undefined;
    let why = "";
    await demandSoon(
      async () => {
        if (!this.host.running) {
          why = `its main process has ended:\n${this.host.logEnd}`;
          return false;
        }
        seen = undefined;
        why = "";
        seen = (await this.engine.observe()).view;
        return holds(seen);
      },
      () => `${otherwise}; ${this.name} ${why === "" ? describeView(seen) : why}`,
      GROUP_PATIENCE_MS,
    );
    const view = seen;
    demand(view !== undefined, otherwise);
    this.id = view.group.id;
    return view;
  }

  /** Commits something small. */
  async write(): Promise<void> {
    await this.host.run("probeWrite", { QUORATE_EPOCH: "1" });
  }

  /** Commits something small, so often. */
  async writeTimes(times: number): Promise<void> {
    for (let count = 0; count < times; count++) await this.write();
  }

  /** Sets its copy aside, so that it can join anew. */
  async empty(): Promise<void> {
    await this.host.kill();
    await this.volume.setAside(false);
    this.id = null;
    this.startedAs = null;
  }
}

/** Members a, b, c. */
export class HostGroup {
  readonly cluster: HostCluster;
  readonly seats: readonly GroupSeat[];
  readonly #peer: PeerFolder;

  private constructor(cluster: HostCluster, memberPorts: readonly number[], peer: PeerFolder) {
    this.cluster = cluster;
    this.#peer = peer;
    this.seats = cluster.members.map((host, at) => new GroupSeat(host, memberPorts[at] ?? host.port));
    const places = this.seats.map(({ place }) => place);
    const members = places.map(
      ({ name, host, enginePort, memberPort = enginePort }) => `${name}=${host}:${memberPort}`,
    );
    for (const { engine, host } of this.seats) {
      engine.know(places);
      host.driver.amend({ QUORATE_MEMBERS: members.join(",") }); // of actions that the engine's own code does not run
    }
  }

  /** Makes the folders of so many members. */
  static async create(count: number, software: HostSoftware): Promise<HostGroup> {
    const { spec } = software;
    const peer = await PeerFolder.create(software.user);
    const memberPorts = await claimMemberPorts(spec, count);
    const cluster = new HostCluster(await claimPorts(count), {
      ...software,
      ...(spec.tlsPort === undefined ? {} : { tlsPortOf: secondPort }),
      context: {
        QUORATE_PEER_DIR: peer.path,
        QUORATE_LISTEN_HOST: LOCALHOST,
        QUORATE_MEMORY_BYTES: String(MEMORY_BYTES),
        ...software.context,
      },
    });
    return new HostGroup(cluster, memberPorts, peer);
  }

  /** The member at `index`. */
  seat(index: number): GroupSeat {
    const seat = this.seats[index];
    if (seat === undefined) throw new Error(`no member ${index}`);
    return seat;
  }

  /** Everybody but these. */
  others(...seats: readonly GroupSeat[]): readonly GroupSeat[] {
    return this.seats.filter((one) => !seats.includes(one));
  }

  /** Gives the members another certificate of the same authority. */
  renewCertificate(): Promise<void> {
    return this.#peer.renew();
  }

  /** Kills what runs and removes everything. */
  async close(): Promise<void> {
    await this.cluster.close();
    this.#peer.remove();
  }
}

/** A client that writes one after the other, and counts what was acknowledged. */
export class Load {
  acknowledged = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(seat: GroupSeat) {
    this.#done = this.#write(seat);
  }

  /** @returns how many writes were acknowledged. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#done;
    return this.acknowledged;
  }

  async #write(seat: GroupSeat): Promise<void> {
    while (!this.#stopped) if ((await exitCode(seat.write())) === 0) this.acknowledged++;
  }
}
