/** A cluster of an Engine as processes of this host, driven as the agents drive it but without elections. */
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EngineSpec } from "../api/engine.ts";
import { HostMember } from "./host-member.ts";
import type { HostPlace } from "./host-place.ts";

/** An engine as this host has it. */
export interface HostSoftware {
  readonly spec: EngineSpec;
  /** Whom its processes run as, when this one runs as root. */
  readonly user: HostPlace["user"];
  readonly passwords: Readonly<Record<string, string>>;
  /** Programs that its image would bring, name to file; those of PATH otherwise. */
  readonly programs: Readonly<Record<string, string>>;
  /** What the members' names begin with; `orders` unless given. */
  readonly name?: string;
  /** Program by which checks write and read keys, see KeyClient; without one they cannot look for keys. */
  readonly client?: string;
  /** quorate-init; without it the rule about the fence cannot be tried. */
  readonly init?: string;
  /** See HostPlace. */
  readonly tlsPortOf?: HostPlace["tlsPortOf"];
  /** See HostPlace. */
  readonly context?: HostPlace["context"];
}

/** Members a, b, c … with one leader at a time. */
export class HostCluster {
  readonly members: readonly HostMember[];
  readonly root: string;
  readonly software: HostSoftware;
  epoch = 0;

  /** @param ports - Of the members' engines, one each. */
  constructor(ports: readonly number[], software: HostSoftware) {
    this.software = software;
    this.root = mkdtempSync(join(tmpdir(), "quorate-engine-"));
    chmodSync(this.root, 0o755);
    const { spec, user, passwords, programs, name: prefix = "orders", context = {}, tlsPortOf } = software;
    const [engineDir, credentialsDir, programsDir] = ["engine", "credentials", "bin"].map((name) => {
      const folder = join(this.root, name);
      mkdirSync(folder);
      return folder;
    }) as [string, string, string];
    for (const [name, file] of Object.entries(programs)) {
      copyFileSync(file, join(programsDir, name));
      chmodSync(join(programsDir, name), 0o755);
    }
    for (const [name, text] of Object.entries(spec.files)) writeFileSync(join(engineDir, name), text, { mode: 0o755 });
    for (const [account, password] of Object.entries(passwords)) {
      const path = join(credentialsDir, account);
      writeFileSync(path, `${password}\n`, { mode: 0o400 });
      if (process.getuid?.() === 0) chownSync(path, user.uid, user.gid);
    }
    const names = ports.map((_, at) => `${prefix}-${String.fromCodePoint(97 + at)}`);
    const place = {
      root: this.root,
      engineDir,
      credentialsDir,
      programsDir,
      user,
      members: names,
      ports,
      context,
      tlsPortOf,
    };
    this.members = names.map((name) => new HostMember(spec, place, name));
  }

  /** The member at `index`. */
  member(index: number): HostMember {
    const member = this.members[index];
    if (member === undefined) throw new Error(`no member ${index}`);
    return member;
  }

  /** Initialises the first member, makes it the leader, and clones the others from it; commits wait for any `ack` of them. */
  async form(ack = Math.min(1, this.members.length - 1)): Promise<void> {
    const leader = this.member(0);
    const others = this.members.slice(1);
    await leader.run("initialize");
    await leader.start();
    await this.promote(leader, []);
    for (const other of others) {
      await other.run("clone", HostMember.following(leader));
      await other.start();
      await other.follow(leader);
    }
    await this.setSyncSet(leader, others, ack);
  }

  /** Gives `member` the next epoch and makes it writable, with the sync set in force from its first write. */
  async promote(
    member: HostMember,
    standbys: readonly HostMember[],
    ack = standbys.length === 0 ? 0 : 1,
  ): Promise<void> {
    this.epoch += 1;
    await member.run("seal");
    await this.setSyncSet(member, standbys, ack);
    await member.run("promote", { QUORATE_EPOCH: String(this.epoch) });
  }

  /** Makes commits on `leader` wait for `ack` of `standbys`. */
  async setSyncSet(leader: HostMember, standbys: readonly HostMember[], ack: number): Promise<void> {
    await leader.run("setSyncSet", {
      QUORATE_SYNC_NAMES: standbys.map((one) => one.name).join(","),
      QUORATE_SYNC_ACK: String(ack),
    });
  }

  /** Kills what runs and removes everything. */
  async close(): Promise<void> {
    for (const member of this.members) await member.kill();
    rmSync(this.root, { recursive: true, force: true });
  }
}
