/** Accounts of applications in a real etcd that is a group of its own. */
import { spawnSync } from "node:child_process";
import { chownSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { binary } from "../api/harness.ts";
import { HostAuthority } from "./host-authority.ts";
import { shippedSpec } from "./host-cluster.ts";

const PASSWORDS = { root: `r'o"o\\t:`, app: "a''p\\p%$(id)" } as const;
const NASTY = `n'a"s\\t:y$(id)`;
const APP = "app\tapp\tapp";
const SHOP = "shop\tgoods\tshop";

/** What is answered over HTTP to whoever sends no header but those that have to be. */
function post(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, method: "POST", path }, (response) => {
      text(response).then(resolve, reject);
    });
    call.on("error", reject);
    call.end("{}");
  });
}

describe("accounts of applications in etcd", () => {
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
  /** What the server answers to a client on the network; what it refuses comes back as its words. */
  const ask = (user: string, password: string, ...command: readonly string[]): string => {
    const env = { ...process.env, ETCDCTL_USER: user, ETCDCTL_PASSWORD: password };
    const args = [`--endpoints=http://127.0.0.1:${member.port}`, ...command];
    const { stdout, stderr } = spawnSync(binary("etcdctl"), args, { env, encoding: "utf8" });
    return (stdout + stderr).trim();
  };
  const asRoot = (...command: readonly string[]): string => ask("root", PASSWORDS.root, ...command);

  const untilItLeads = (): Promise<unknown> =>
    vi.waitUntil(
      () =>
        member.observe().then(
          ({ writable }) => writable,
          () => false,
        ),
      { timeout: 60_000, interval: 100 },
    );

  beforeAll(async () => {
    authority = new HostAuthority("orders-rw.shop.svc");
    const [port = 0, memberPort = 0] = await claimPorts(2);
    cluster = new HostCluster([port], {
      spec: shippedSpec("etcd"),
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: { etcd: binary("etcd"), etcdctl: binary("etcdctl") },
      context: {
        QUORATE_PEER_DIR: authority.folder,
        QUORATE_MEMBER_PORT: String(memberPort),
        QUORATE_LISTEN_HOST: "127.0.0.1",
        QUORATE_GROUP: "",
      },
    });
    member = cluster.member(0);
    await member.run("initialize");
    member.spawnServer();
    await untilItLeads();
    setPassword("shop", NASTY);
    setPassword("reports", "of-reports");
    setPassword("blank", "two words");
  });
  afterAll(async () => {
    await cluster.close();
    authority.remove();
  });

  it("makes an account that may use the keys of its database, and no others", async () => {
    await make(APP, SHOP);
    expect(ask("shop", NASTY, "put", "goods/1", "x")).toBe("OK");
    expect(ask("shop", NASTY, "put", "goods", "x")).toContain("permission denied");
    expect(ask("shop", NASTY, "get", "--prefix", "")).toContain("permission denied");
    expect(ask("shop", NASTY, "user", "list")).toContain("permission denied");
    expect(ask("app", PASSWORDS.app, "put", "anywhere", "x")).toBe("OK");
  });

  it("changes nothing when all is there", async () => {
    const revision = (): string => asRoot("auth", "status");
    expect(revision()).toContain("AuthRevision");
    const before = revision();
    await make(APP, SHOP);
    expect(revision()).toBe(before);
  });

  it("takes a new password; the old one is refused", async () => {
    setPassword("shop", "second");
    await make(APP, SHOP);
    expect(ask("shop", "second", "get", "goods/1")).toBe("goods/1\nx");
    expect(ask("shop", NASTY, "get", "goods/1")).toContain("authentication failed");
    setPassword("app", "app-second");
    await make(APP, SHOP);
    expect(ask("app", "app-second", "get", "anywhere")).toBe("anywhere\nx");
    expect(ask("app", PASSWORDS.app, "get", "anywhere")).toContain("authentication failed");
  });

  it("gives an account with rules these rights, and others when they change", async () => {
    await make(APP, SHOP, "reports\tgoods\treports\tread goods/*\twrite notes/today");
    expect(ask("reports", "of-reports", "get", "goods/1")).toBe("goods/1\nx");
    expect(ask("reports", "of-reports", "put", "goods/1", "y")).toContain("permission denied");
    expect(ask("reports", "of-reports", "put", "notes/today", "y")).toBe("OK");
    expect(ask("reports", "of-reports", "put", "notes/today/late", "y")).toContain("permission denied");
    await make(APP, SHOP, "reports\tgoods\treports\treadwrite notes/*");
    expect(ask("reports", "of-reports", "get", "goods/1")).toContain("permission denied");
    expect(ask("reports", "of-reports", "put", "notes/today/late", "y")).toBe("OK");
  });

  it("takes away whom the list has no more, keeps the keys, and lets them in again", async () => {
    await make(APP);
    expect(ask("shop", "second", "get", "goods/1")).toContain("authentication failed");
    expect(asRoot("user", "list").split("\n")).toEqual(["app", "quorate member", "root"]);
    await make(APP, SHOP);
    expect(ask("shop", "second", "get", "goods/1")).toBe("goods/1\nx");
  });

  it("refuses an epoch that is over, before it changes anything", async () => {
    epoch = 12;
    await make(APP, SHOP);
    epoch = 9;
    setPassword("shop", "of-a-former-leader");
    await expect(make(APP)).rejects.toThrow("accounts were made in a later epoch, by another leader");
    await expect(make(APP, SHOP)).rejects.toThrow("later epoch");
    expect(ask("shop", "second", "get", "goods/1")).toBe("goods/1\nx");
    epoch = 13;
    await make(APP, SHOP);
    expect(ask("shop", "of-a-former-leader", "get", "goods/1")).toBe("goods/1\nx");
  });

  it("takes another password of the administrator at the leader; the old one is refused, and so is a former leader", async () => {
    setPassword("root", "root-second");
    await member.run("takePasswords", { QUORATE_EPOCH: "0" });
    expect(asRoot("get", "goods/1"), "whoever does not lead leaves it").toContain("goods/1");
    await member.run("takePasswords", { QUORATE_EPOCH: String(epoch) });
    expect(ask("root", "root-second", "get", "goods/1")).toContain("goods/1");
    expect(asRoot("get", "goods/1")).toContain("authentication failed");
    const revision = ask("root", "root-second", "auth", "status");
    await member.run("takePasswords", { QUORATE_EPOCH: String(epoch) });
    expect(ask("root", "root-second", "auth", "status")).toBe(revision);
    setPassword("root", "of-a-former-leader");
    await expect(member.run("takePasswords", { QUORATE_EPOCH: "11" })).rejects.toThrow("later epoch");
    expect(ask("root", "root-second", "get", "goods/1")).toContain("goods/1");
  });

  it("gives nobody the members' rights by way of HTTP, whichever listener that is passed on to", {
    timeout: 120_000,
  }, async () => {
    for (let start = 0; start < 10; start++) {
      await member.stop();
      member.spawnServer();
      await untilItLeads();
      // Without the header Accept: what the server passes on to itself is marked by it, and by nothing else.
      expect(await post(member.port, "/v3/auth/user/list")).not.toContain("root");
    }
  });

  it.each([
    ["a password that is missing", "nobody\tnobody\tmissing", "no password for account missing"],
    ["a password that the client would cut", "blank\tblank\tblank", "has blanks"],
    ["the administrator's name", "root\tgoods\tshop", "a name that is none"],
  ])("refuses %s", async (_, account, said) => {
    await expect(make(APP, account)).rejects.toThrow(said);
  });
});
