/** Accounts and databases of applications in a real MariaDB that forms a group of its own. */
import { execFile } from "node:child_process";
import { chownSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPortRow, claimPorts } from "../../src/conformance/ports.ts";
import { HostAuthority } from "./host-authority.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasMariadb, MARIADB_PROGRAMS } from "./host-mariadb.ts";

const PASSWORDS = { quorate: "of-quorate", transfer: "of-transfer", app: "p:a$(id)#;%s" } as const;
const APP = "app\tapp\tapp";
const run = promisify(execFile);

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return ""; // it ended meanwhile
  }
}

describe.skipIf(!hasMariadb)("accounts of applications in galera", { timeout: 180_000 }, () => {
  let authority: HostAuthority;
  let cluster: HostCluster;
  let member: HostMember;
  let epoch = 5;

  const setPassword = (key: string, password: string): void => {
    const path = join(cluster.root, "credentials", key);
    writeFileSync(path, `${password}\n`);
    if (process.getuid?.() === 0) chownSync(path, cluster.software.user.uid, cluster.software.user.gid);
  };
  const make = (...accounts: readonly string[]): Promise<unknown> => {
    const list = join(cluster.root, "accounts");
    writeFileSync(list, accounts.map((account) => `${account}\n`).join(""), { mode: 0o644 });
    return member.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: list, QUORATE_EPOCH: String(epoch) });
  };
  /** What the server answers to a client on the network. */
  const ask = async (user: string, password: string, statement: string): Promise<string> => {
    const where = ["--no-defaults", "--host=127.0.0.1", `--port=${member.port}`, "--protocol=tcp", `--user=${user}`];
    const env = { ...process.env, MYSQL_PWD: password };
    const { stdout } = await run("mariadb", [...where, "--batch", "--skip-column-names", "-e", statement], { env });
    return stdout.trim();
  };
  /** Everything that the server has of an account, times of changes among it. */
  const record = async (user: string): Promise<string> => {
    const where = [`--socket=${join(member.folder, "run/server.sock")}`, "--user=quorate", "--skip-column-names"];
    const env = { ...process.env, MYSQL_PWD: PASSWORDS.quorate };
    const statement = `SELECT Priv FROM mysql.global_priv WHERE User = '${user}'; SHOW GRANTS FOR '${user}'@'%'`;
    return (await run("mariadb", ["--no-defaults", ...where, "-e", statement], { env })).stdout;
  };

  beforeAll(async () => {
    authority = new HostAuthority("orders-rw.shop.svc");
    const memberPort = await claimPortRow(3);
    cluster = new HostCluster(await claimPorts(1), {
      spec: shippedSpec("galera"),
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: MARIADB_PROGRAMS,
      context: {
        QUORATE_PEER_DIR: authority.folder,
        QUORATE_MEMBER_PORT: String(memberPort),
        QUORATE_LISTEN_HOST: "127.0.0.1",
        QUORATE_GROUP: "",
        QUORATE_FOUND: "true",
      },
    });
    member = cluster.member(0);
    await member.run("initialize");
    member.spawnServer();
    await vi.waitUntil(
      () =>
        member.observe().then(
          ({ writable }) => writable,
          () => false,
        ),
      { timeout: 90_000, interval: 200 },
    );
    setPassword("shop", "first$(id)#");
    setPassword("reports", "of-reports");
  });
  afterAll(async () => {
    await cluster.close();
    authority.remove();
  });

  it("makes an account with all rights on its database, and on no other", async () => {
    const general = join(cluster.root, "orders-a/run/general.log");
    const set = `SET GLOBAL general_log_file = '${general}', GLOBAL general_log = ON`;
    const where = ["--no-defaults", `--socket=${join(member.folder, "run/server.sock")}`, "--user=quorate"];
    await run("mariadb", [...where, "-e", set], { env: { ...process.env, MYSQL_PWD: PASSWORDS.quorate } });
    await make(APP, "shop\tgoods\tshop");
    expect(await ask("shop", "first$(id)#", "CREATE TABLE goods.mine (id INT); SELECT 'made'")).toBe("made");
    await expect(ask("shop", "first$(id)#", "CREATE TABLE app.others (id INT)")).rejects.toThrow("denied");
    expect(await ask("app", PASSWORDS.app, "CREATE TABLE app.own (id INT); SELECT 'made'")).toBe("made");
    expect(readFileSync(general, "latin1")).toContain("goods");
    expect(readFileSync(general, "latin1")).not.toContain("first$(id)");
    expect(member.log).not.toContain("first$(id)");
  });

  it("shows no password to who lists processes while it works", async () => {
    setPassword("shop", "seen-by-nobody");
    const done = new AbortController();
    const made = make(APP, "shop\tgoods\tshop").finally(() => done.abort());
    const lines = new Set<string>();
    while (!done.signal.aborted) {
      for (const pid of readdirSync("/proc")) if (/^\d+$/.test(pid)) lines.add(commandLine(pid));
      await pause(1);
    }
    await made;
    const said = [...lines].join("\n");
    expect(said).toContain("accounts");
    for (const password of ["seen-by-nobody", ...Object.values(PASSWORDS)]) expect(said).not.toContain(password);
  });

  it("changes nothing when all is there", async () => {
    const before = await record("shop");
    await make(APP, "shop\tgoods\tshop");
    expect(await record("shop")).toBe(before);
  });

  it("takes a new password while a client is connected; the old one is refused", async () => {
    const open = ask("shop", "seen-by-nobody", "SELECT SLEEP(3); SELECT COUNT(*) FROM goods.mine");
    await pause(500);
    setPassword("shop", "second");
    await make(APP, "shop\tgoods\tshop");
    expect(await ask("shop", "second", "SELECT CURRENT_USER()")).toBe("shop@%");
    await expect(ask("shop", "seen-by-nobody", "SELECT 1")).rejects.toThrow("Access denied");
    expect(await open).toBe("0\n0");
  });

  it("gives an account with rules these rights, and others when they change", async () => {
    await make(APP, "shop\tgoods\tshop", "reports\tgoods\treports\tSELECT\tSHOW VIEW");
    expect(await ask("reports", "of-reports", "SELECT COUNT(*) FROM goods.mine")).toBe("0");
    await expect(ask("reports", "of-reports", "DELETE FROM goods.mine")).rejects.toThrow("denied");
    await make(APP, "shop\tgoods\tshop", "reports\tgoods\treports\tINSERT");
    await expect(ask("reports", "of-reports", "SELECT COUNT(*) FROM goods.mine")).rejects.toThrow("denied");
    expect(await ask("reports", "of-reports", "INSERT INTO goods.mine VALUES (1); SELECT 'made'")).toBe("made");
  });

  it("locks whom the list has no more, keeps the data, and lets them in again", async () => {
    await make(APP);
    await expect(ask("shop", "second", "SELECT 1")).rejects.toThrow("locked");
    await make(APP, "shop\tgoods\tshop");
    expect(await ask("shop", "second", "SELECT COUNT(*) FROM goods.mine")).toBe("1");
  });

  it("refuses an epoch that is over, before it changes anything", async () => {
    epoch = 7;
    await make(APP, "shop\tgoods\tshop");
    epoch = 6;
    setPassword("shop", "of-a-former-leader");
    await expect(make(APP)).rejects.toThrow("accounts were made in a later epoch, by another leader");
    await expect(make(APP, "shop\tgoods\tshop")).rejects.toThrow("later epoch");
    expect(await ask("shop", "second", "SELECT 1")).toBe("1");
    epoch = 8;
    await make(APP, "shop\tgoods\tshop");
    expect(await ask("shop", "of-a-former-leader", "SELECT 1")).toBe("1");
  });

  it("takes another password of its own account when every member must have it; a former speaker changes nothing", async () => {
    const logIn = async (user: string, password: string): Promise<string> => {
      const where = ["--no-defaults", `--socket=${join(member.folder, "run/server.sock")}`, `--user=${user}`];
      const options = { env: { ...process.env, MYSQL_PWD: password } };
      return (await run("mariadb", [...where, "-N", "-e", "SELECT CURRENT_USER()"], options)).stdout.trim();
    };
    const age = (key: string, ageMs: number): void => {
      const at = new Date(Date.now() - ageMs);
      utimesSync(join(cluster.root, "credentials", key), at, at);
    };
    await member.run("takePasswords", { QUORATE_EPOCH: String(epoch) });
    for (const key of ["quorate", "transfer"]) setPassword(key, `second-of-${key}`);
    const taking = member.run("takePasswords", { QUORATE_EPOCH: String(epoch) });
    await pause(3000);
    expect(await logIn("quorate", PASSWORDS.quorate)).toBe("quorate@localhost");
    expect((await member.observe()).writable, "asked with the one that is in the data").toBe(true);
    for (const key of ["quorate", "transfer"]) age(key, 125_000);
    await taking;
    for (const key of ["quorate", "transfer"] as const) {
      expect(await logIn(key, `second-of-${key}`)).toBe(`${key}@localhost`);
      await expect(logIn(key, PASSWORDS[key])).rejects.toThrow("Access denied");
    }
    expect((await member.observe()).writable).toBe(true);
    setPassword("quorate", "of-a-former-speaker");
    age("quorate", 125_000);
    await expect(member.run("takePasswords", { QUORATE_EPOCH: "2" })).rejects.toThrow("later epoch");
    expect((await member.observe()).writable).toBe(true);
  });

  it("is opened by the former one after all members were stopped while it changed", async () => {
    await member.stop();
    setPassword("quorate", "third-of-quorate");
    member.spawnServer();
    const seen = await vi.waitFor(() => member.observe(), { timeout: 90_000, interval: 200 });
    expect(seen.group?.members).toHaveLength(1);
    setPassword("quorate", "second-of-quorate");
  });

  it.each([
    ["a database of the server's own", "shop\tmysql\tshop", "database mysql is not for applications"],
    ["a password that is missing", "nobody\tnobody\tmissing", "no password for account missing"],
    ["rules that are none", "shop\tgoods\tshop\tALL) --", "rules that are none"],
  ])("refuses %s", async (_, account, said) => {
    await expect(make(APP, account)).rejects.toThrow(said);
  });
});
