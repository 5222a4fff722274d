import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { userOf } from "../../src/conformance/host-place.ts";
import { hasServer, PASSWORDS, PostgresCluster } from "./host-cluster.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const NASTY = `n'a"s\\t:y $(id)`;

const ports = await claimPorts(1);

describe.skipIf(!hasServer)("accounts for applications", () => {
  const cluster = new PostgresCluster(ports);
  const member = cluster.member(0);
  const list = join(cluster.root, "accounts");

  const setPassword = (key: string, password: string): void => {
    const path = join(cluster.root, "credentials", key);
    writeFileSync(path, `${password}\n`);
    const { uid, gid } = userOf("postgres");
    if (process.getuid?.() === 0) chownSync(path, uid, gid);
  };
  const make = (...accounts: readonly string[]): Promise<unknown> => {
    writeFileSync(list, accounts.map((account) => `${account}\n`).join(""), { mode: 0o644 });
    return member.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: list });
  };
  const logIn = async (user: string, database: string, password: string): Promise<string> => {
    const client = new Client({ host: "127.0.0.1", port: member.port, user, database, password });
    await client.connect();
    try {
      await client.query("create table if not exists mine (id int)");
      return (await client.query<{ name: string }>("select current_database() as name")).rows[0]?.name ?? "";
    } finally {
      await client.end();
    }
  };

  beforeAll(async () => {
    await member.run("initialize");
    await member.start();
    await cluster.promote(member, []);
    setPassword("shop", NASTY);
  });
  afterAll(() => cluster.close());

  it("makes an account that owns its database, and says the password nowhere", async () => {
    await make("app\tapp\tapp", "shop\tgoods\tshop");
    expect(await logIn("shop", "goods", NASTY)).toBe("goods");
    expect(await logIn("app", "app", PASSWORDS.app)).toBe("app");
    expect(readFileSync(join(member.folder, "server.log"), "utf8")).not.toContain("n'a");
  });

  it("changes nothing when all is there", async () => {
    const superuser = await cluster.connect(member, "postgres", "postgres");
    const verifier = "select rolpassword from pg_authid where rolname = 'shop'";
    const before = (await superuser.query(verifier)).rows;
    await make("app\tapp\tapp", "shop\tgoods\tshop");
    expect((await superuser.query(verifier)).rows).toEqual(before);
    await superuser.end();
  });

  it("takes a new password; the old one is refused", async () => {
    setPassword("shop", "second");
    await make("app\tapp\tapp", "shop\tgoods\tshop");
    expect(await logIn("shop", "goods", "second")).toBe("goods");
    await expect(logIn("shop", "goods", NASTY)).rejects.toThrow("password authentication failed");
  });

  it("locks whom the list has no more, keeps the data, and lets them in again", async () => {
    await make("app\tapp\tapp");
    await expect(logIn("shop", "goods", "second")).rejects.toThrow("not permitted to log in");
    await make("app\tapp\tapp", "shop\tgoods\tshop");
    expect(await logIn("shop", "goods", "second")).toBe("goods");
  });

  it("fails when an account cannot log in", async () => {
    await expect(make("nobody\tnobody\tmissing")).rejects.toThrow("no password for account missing");
  });
});
