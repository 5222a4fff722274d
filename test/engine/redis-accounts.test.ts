/** Accounts of applications in real Redis servers, each of which has its own. */
import { spawn, spawnSync } from "node:child_process";
import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";

const PASSWORDS = { quorate: `q:u'o "r\\#`, app: "a''p\\p% $(id)" } as const;
const NASTY = `n'a"s\\t:y $(id)`;
const APP = "app\tapp\tapp";
const SHOP = "shop\tgoods\tshop";
const SOON = { timeout: 10_000, interval: 50 };

/** Asks a server as an account on the network; what it refuses comes back as its words. */
function ask(member: HostMember, account: string, password: string, ...command: string[]): string {
  const args = ["-p", String(member.port), "--user", account, ...command];
  const env = { ...process.env, REDISCLI_AUTH: password };
  const { stdout, stderr } = spawnSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" });
  return (stdout + stderr).trim();
}

describe.skipIf(!hasRedis)("accounts of applications in redis", () => {
  let cluster: HostCluster;
  let leader: HostMember;
  let follower: HostMember;

  const setPassword = (key: string, password: string): void => {
    const path = join(cluster.root, "credentials", key);
    writeFileSync(path, `${password}\n`);
    if (process.getuid?.() === 0) chownSync(path, cluster.software.user.uid, cluster.software.user.gid);
  };
  const makeAt = (member: HostMember, ...accounts: readonly string[]): Promise<unknown> => {
    const list = join(cluster.root, "accounts");
    writeFileSync(list, accounts.map((account) => `${account}\n`).join(""), { mode: 0o644 });
    return member.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: list });
  };
  const make = async (...accounts: readonly string[]): Promise<void> => {
    for (const member of cluster.members) await makeAt(member, ...accounts);
  };
  const rightsOf = (member: HostMember): string => ask(member, "quorate", PASSWORDS.quorate, "acl", "list");

  beforeAll(async () => {
    cluster = new HostCluster(await claimPorts(2), {
      spec: shippedSpec("redis"),
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: REDIS_PROGRAMS,
    });
    [leader, follower] = [cluster.member(0), cluster.member(1)];
    await cluster.form(0);
    setPassword("shop", NASTY);
    setPassword("reports", "of-reports");
  });
  afterAll(() => cluster.close());

  it("makes an account with its own keys and channels, on leader and follower", async () => {
    await make(APP, SHOP);
    expect(ask(leader, "shop", NASTY, "set", "goods:1", "x")).toBe("OK");
    await expect.poll(() => ask(follower, "shop", NASTY, "get", "goods:1"), SOON).toBe("x");
    expect(ask(leader, "shop", NASTY, "set", "others:1", "x")).toContain("NOPERM");
    expect(ask(leader, "shop", NASTY, "publish", "goods:news", "x")).toBe("0");
    expect(ask(leader, "shop", NASTY, "publish", "others:news", "x")).toContain("NOPERM");
    for (const command of ["flushall", "keys *", "config get *", "acl list", "replicaof no one", "shutdown"])
      expect(ask(leader, "shop", NASTY, ...command.split(" "))).toContain("NOPERM");
    expect(ask(leader, "shop", NASTY, "info", "server")).toContain("redis_version");
  });

  it("leaves the account that the Engine brings as it is", async () => {
    const before = rightsOf(leader);
    await make(APP, SHOP);
    expect(rightsOf(leader)).toBe(before);
    await leader.stop();
    await leader.start();
    await cluster.promote(leader, [], 0);
    const app = (rights: string): string | undefined =>
      rights
        .split("\n")
        .find((line) => line.startsWith("user app "))
        ?.replace(" sanitize-payload", "");
    expect(app(rightsOf(leader)), "what a start makes").toBe(app(before));
    await follower.follow(leader);
  });

  it("has its accounts from its start on, before anybody says so", async () => {
    await follower.stop();
    await follower.start();
    expect(ask(follower, "shop", NASTY, "ping")).toBe("PONG");
    await follower.follow(leader);
  });

  it("takes a new password while a client is connected; the old one is refused", async () => {
    const env = { ...process.env, REDISCLI_AUTH: NASTY };
    const args = ["-p", String(leader.port), "--user", "shop"];
    const open = spawn(REDIS_PROGRAMS["redis-cli"], args, { env, stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    open.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    open.stdin.write("set goods:open 1\n");
    await expect.poll(() => said, SOON).toBe("OK\n");
    setPassword("shop", "another-of-shop");
    await make(APP, SHOP);
    expect(ask(leader, "shop", "another-of-shop", "get", "goods:1")).toBe("x");
    for (const member of cluster.members) expect(ask(member, "shop", NASTY, "ping")).toContain("WRONGPASS");
    open.stdin.write("incr goods:open\n");
    await expect.poll(() => said, SOON).toBe("OK\n2\n");
    open.kill();
  });

  it("does not start with a password that was taken away meanwhile", async () => {
    await follower.stop();
    setPassword("shop", "one-more-of-shop");
    await follower.start();
    expect(ask(follower, "shop", "another-of-shop", "ping")).toContain("WRONGPASS");
    expect(ask(follower, "shop", "one-more-of-shop", "ping")).toBe("PONG");
    setPassword("shop", "another-of-shop");
    await make(APP, SHOP);
    await follower.follow(leader);
  });

  it("gives an account with rules these rights, but none for administration", async () => {
    await make(APP, SHOP, "reports\tgoods\treports\t%R~*\t+@read\t+config");
    expect(ask(leader, "reports", "of-reports", "get", "goods:1")).toBe("x");
    expect(ask(leader, "reports", "of-reports", "set", "goods:1", "y")).toContain("NOPERM");
    expect(ask(leader, "reports", "of-reports", "config", "get", "masterauth")).toContain("NOPERM");
    await follower.stop();
    await follower.start();
    expect(ask(follower, "reports", "of-reports", "config", "get", "masterauth")).toContain("NOPERM");
    await follower.follow(leader);
  });

  it("says which rule the server does not take, and goes on starting without it", async () => {
    await expect(makeAt(follower, APP, SHOP, "reports\tgoods\treports\t+nosuch")).rejects.toThrow(
      "Unknown command or category name",
    );
    await follower.stop();
    await follower.start();
    expect(ask(follower, "shop", "another-of-shop", "ping")).toBe("PONG");
    await follower.follow(leader);
  });

  it("takes away whom the list has no more, keeps the keys, and lets them in again", async () => {
    await make(APP);
    for (const member of cluster.members) expect(ask(member, "shop", "another-of-shop", "ping")).toContain("WRONGPASS");
    expect(rightsOf(leader)).not.toContain("reports");
    await make(APP, SHOP);
    expect(ask(leader, "shop", "another-of-shop", "get", "goods:1")).toBe("x");
  });

  it("shows no password in the server's log", () => {
    for (const password of [NASTY, "another-of-shop", ...Object.values(PASSWORDS)])
      expect(leader.log).not.toContain(password);
  });

  it("fails when an account has no password, and takes no name of quorate's", async () => {
    await expect(make(APP, "nobody\tnobody\tmissing")).rejects.toThrow("no password for account missing");
    await expect(make(APP, "quorate\tgoods\tshop")).rejects.toThrow("a name that is none");
    expect(ask(leader, "quorate", PASSWORDS.quorate, "ping")).toBe("PONG");
  });
});
