/** A cluster of an Engine on this host, PostgreSQL unless told otherwise, driven as the agents drive it but without elections. */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { Client } from "pg";
import { Engine, type EngineSpec } from "../../src/api/engine.ts";
import { HostMember, userOf } from "./host-member.ts";

const SERVER = "/usr/lib/postgresql/15/bin/postgres";

/** Whether this host has the server that the Engine's image has; without it these tests cannot run. */
export const hasServer = existsSync(SERVER);

/** Passwords with everything that quoting can get wrong. */
export const PASSWORDS = { postgres: `p'o\\s"t:g $(id)`, quorate: `q:u'o\\r#`, app: "a''p\\p%" } as const;

/** An engine as this host has it. */
export interface HostSoftware {
  readonly spec: EngineSpec;
  /** Whom its servers run as, when the tests run as root. */
  readonly user: string;
  readonly passwords: Readonly<Record<string, string>>;
  /** Programs that its image would bring, name to file. */
  readonly programs: Readonly<Record<string, string>>;
}

/** An Engine as it is shipped. */
export function shippedSpec(name: string): EngineSpec {
  return Engine.parse(load(readFileSync(new URL(`../../engines/${name}.yaml`, import.meta.url), "utf8"))).spec;
}

function postgres(): HostSoftware {
  return { spec: shippedSpec("postgres"), user: "postgres", passwords: PASSWORDS, programs: {} };
}

/** Members a, b, c … with one leader at a time. */
export class HostCluster {
  readonly members: readonly HostMember[];
  readonly root: string;
  epoch = 0;

  /** @param basePort - First port of the members; test files that run side by side need ranges of their own. */
  constructor(count: number, basePort: number, software = postgres()) {
    const { spec, passwords, programs } = software;
    this.root = mkdtempSync(join(tmpdir(), "quorate-engine-"));
    chmodSync(this.root, 0o755);
    const user =
      process.getuid?.() === 0 ? userOf(software.user) : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const engineDir = join(this.root, "engine");
    const credentialsDir = join(this.root, "credentials");
    mkdirSync(engineDir);
    mkdirSync(credentialsDir);
    mkdirSync(join(this.root, "bin"));
    for (const [name, file] of Object.entries(programs)) {
      copyFileSync(file, join(this.root, "bin", name));
      chmodSync(join(this.root, "bin", name), 0o755);
    }
    for (const [name, text] of Object.entries(spec.files)) writeFileSync(join(engineDir, name), text, { mode: 0o755 });
    for (const [account, password] of Object.entries(passwords)) {
      const path = join(credentialsDir, account);
      writeFileSync(path, `${password}\n`, { mode: 0o400 });
      if (process.getuid?.() === 0) chownSync(path, user.uid, user.gid);
    }
    const names = ["a", "b", "c", "d", "e"].slice(0, count).map((letter) => `orders-${letter}`);
    const place = { root: this.root, engineDir, credentialsDir, user, members: names, basePort };
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

  /** A client of the application's database, or of another as superuser. */
  async connect(member: HostMember, account: "app" | "postgres" = "app", database = "app"): Promise<Client> {
    const client = new Client({
      host: "127.0.0.1",
      port: member.port,
      user: account,
      password: PASSWORDS[account],
      database,
      connectionTimeoutMillis: 5000,
    });
    // A server that ends takes its connections along; tests look at what queries answer.
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }

  /** Kills what runs and removes everything. */
  async close(): Promise<void> {
    for (const member of this.members) await member.kill();
    rmSync(this.root, { recursive: true, force: true });
  }
}
