/** Clusters of shipped Engines on this host: PostgreSQL as Debian's package brings it, with a client. */
import { existsSync, readFileSync } from "node:fs";
import { load } from "js-yaml";
import { Client } from "pg";
import { Engine, type EngineSpec } from "../../src/api/engine.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";

const SERVER = "/usr/lib/postgresql/15/bin/postgres";

/** Whether this host has the server that the Engine's image has; without it these tests cannot run. */
export const hasServer = existsSync(SERVER);

/** Passwords with everything that quoting can get wrong. */
export const PASSWORDS = { postgres: `p'o\\s"t:g $(id)`, quorate: `q:u'o\\r#`, app: "a''p\\p%" } as const;

/** An Engine as it is shipped. */
export function shippedSpec(name: string): EngineSpec {
  return Engine.parse(load(readFileSync(new URL(`../../engines/${name}.yaml`, import.meta.url), "utf8"))).spec;
}

/** Members of PostgreSQL. */
export class PostgresCluster extends HostCluster {
  /** @param ports - One for each member. */
  constructor(ports: readonly number[]) {
    super(ports, { spec: shippedSpec("postgres"), user: userOf("postgres"), passwords: PASSWORDS, programs: {} });
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
}
