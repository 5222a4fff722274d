/** RabbitMQ on real servers, as agents drive them: made, joined, asked, changed, killed. Whole groups are in test/members/broker.test.ts. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Connection } from "rabbitmq-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRabbitmq } from "./host-rabbitmq.ts";

/** With everything that quoting can get wrong. */
const PASSWORDS = {
  cookie: "cookieOfMembers",
  quorate: `q:u'o\\r#`,
  admin: `a d"m`,
  app: `p'o\\s"t:g $(id)`,
} as const;
const NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

describe.skipIf(!hasRabbitmq)("rabbitmq", { timeout: 180_000 }, () => {
  let peerDir: string;
  const clusters: HostCluster[] = [];
  let first: HostMember;
  let second: HostMember;
  let secondPort: number;
  let tlsPort: number;

  const openssl = (command: string): void =>
    void execFileSync("sh", ["-c", `openssl ${command}`], { cwd: peerDir, stdio: "pipe" });

  /** A member with ports of its own. */
  async function member(
    name: string,
  ): Promise<{ readonly one: HostMember; readonly memberPort: number; readonly tls: number }> {
    const [port = 0, memberPort = 0, tls = 0] = await claimPorts(3);
    const cluster = new HostCluster([port], {
      spec: shippedSpec("rabbitmq"),
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: {},
      name,
      context: {
        QUORATE_PEER_DIR: peerDir,
        QUORATE_MEMBER_PORT: String(memberPort),
        QUORATE_TLS_PORT: String(tls),
        QUORATE_LISTEN_HOST: "127.0.0.1",
        QUORATE_MEMORY_BYTES: String(512 * 1024 * 1024), // with less the broker's own would stop publishers
        QUORATE_GROUP: "",
      },
    });
    clusters.push(cluster);
    return { one: cluster.member(0), memberPort, tls };
  }

  async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
    const endMs = performance.now() + 90_000;
    for (;;) {
      const answer = await ask().catch(() => undefined);
      if (answer !== undefined) return answer;
      if (performance.now() > endMs) throw new Error(`waited in vain for ${what}\n${first.log.slice(-3000)}`);
      await pause(100);
    }
  }

  /** Starts a member's broker, and waits until every copy of a queue there takes part. */
  async function start(one: HostMember, group = "") {
    one.spawnServer({ QUORATE_GROUP: group });
    return until(`${one.name} to say what it is`, async () => {
      const observation = await one.observe();
      return observation.receiving ? observation : undefined;
    });
  }

  /** What a person sees who runs one of the engine's programs in the first member's container. */
  function runInside(program: string, ...args: readonly string[]): string {
    const env = { ...process.env, QUORATE_RUN_DIR: join(first.folder, "run"), QUORATE_DATA_DIR: first.dataDir };
    return execFileSync("bash", [join(first.folder, "../engine", program), ...args], { env, encoding: "utf8" });
  }

  function connect(one: HostMember, account: keyof typeof PASSWORDS, tls = 0): Connection {
    const options = { hostname: "127.0.0.1", username: account, password: PASSWORDS[account], retryLow: 60_000 };
    const authority = tls === 0 ? {} : { tls: { ca: readFileSync(join(peerDir, "ca.crt")), servername: "localhost" } };
    const connection = new Connection({ ...options, ...authority, port: tls === 0 ? one.port : tls });
    connection.on("error", () => undefined); // a broker that ends takes its connections along
    return connection;
  }

  beforeAll(async () => {
    peerDir = mkdtempSync(join(tmpdir(), "quorate-peer-"));
    chmodSync(peerDir, 0o755);
    writeFileSync(join(peerDir, "ext"), "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n");
    openssl(`req -x509 ${NEW_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt`);
    openssl(`req ${NEW_KEY} -subj "/CN=quorate member" -keyout tls.key -out tls.csr`);
    openssl("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt");
    execFileSync("chown", ["-R", "nobody", peerDir]);
    const made = await member("first");
    first = made.one;
    tlsPort = made.tls;
  });

  afterAll(async () => {
    for (const cluster of clusters) await cluster.close();
    rmSync(peerDir, { recursive: true, force: true });
  });

  it("is made again when that was cut short", async () => {
    const abort = new AbortController();
    const cut = first.driver.run("initialize", {}, abort.signal);
    await pause(3000);
    abort.abort();
    await expect(cut).rejects.toThrow("ended on request");
    await until("the lock to be free", async () => (await first.run("initialize")).stdout);
    const { group, writable, version } = await start(first);
    expect(version).toMatch(/^3\.10\./);
    expect(writable).toBe(true);
    expect(group?.members).toEqual([expect.objectContaining({ id: group?.id, name: first.name, votes: true })]);
    expect(group?.leaderId).toBe(group?.id);
  });

  it("knows the cluster's accounts, and no other", async () => {
    for (const account of ["app", "admin"] as const) {
      const connection = connect(first, account);
      await connection.onConnect(10_000);
      await connection.close();
    }
    const options = { hostname: "127.0.0.1", port: first.port, retryLow: 60_000 };
    const guest = new Connection({ ...options, username: "guest", password: "guest" });
    const refusal = new Promise<unknown>((resolve) => guest.once("error", resolve));
    expect(await refusal).toMatchObject({ code: "ACCESS_REFUSED" });
    guest.unsafeDestroy();
  });

  describe("makes accounts of applications", () => {
    const APP = "app\t/\tapp";
    const SHOP = "shop\tgoods\tshop";
    let epoch = 100_000; // later than any term that this group comes to

    const setPassword = (key: string, password: string): void => {
      const path = join(first.folder, "../credentials", key);
      writeFileSync(path, `${password}\n`);
      execFileSync("chown", ["nobody", path]);
    };
    const make = (...accounts: readonly string[]): Promise<unknown> => {
      const list = join(first.folder, "../accounts");
      writeFileSync(list, accounts.map((account) => `${account}\n`).join(""), { mode: 0o644 });
      return first.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: list, QUORATE_EPOCH: String(epoch) });
    };
    /** Connects as a client on the network does. @throws {Error} with the broker's words. */
    const logIn = async (username: string, password: string, vhost: string): Promise<Connection> => {
      const options = { hostname: "127.0.0.1", port: first.port, username, password, vhost, retryLow: 60_000 };
      const connection = new Connection(options);
      const refusal = new Promise<never>((_, reject) => connection.once("error", reject));
      try {
        await Promise.race([connection.onConnect(10_000), refusal]);
      } catch (error) {
        connection.unsafeDestroy();
        throw error;
      }
      connection.on("error", () => undefined);
      return connection;
    };
    const seen = async (username: string, password: string, vhost: string): Promise<string> => {
      const connection = await logIn(username, password, vhost);
      await connection.close();
      return "in";
    };

    beforeAll(() => {
      setPassword("shop", `n'a"s\\t:y $(id)`);
      setPassword("reports", "of-reports");
    });

    it("each with a virtual host of its own", async () => {
      await make(APP, SHOP);
      const connection = await logIn("shop", `n'a"s\\t:y $(id)`, "goods");
      const queue = { queue: "orders", durable: true, arguments: { "x-queue-type": "quorum" as const } };
      await connection.createPublisher({ confirm: true, queues: [queue] }).send({ routingKey: "orders" }, "one");
      connection.unsafeDestroy();
      await expect(logIn("shop", `n'a"s\\t:y $(id)`, "/")).rejects.toThrow("refused");
      await expect(logIn("shop", `n'a"s\\t:y $(id)`, "quorate")).rejects.toThrow("refused");
      expect(await seen("app", PASSWORDS.app, "/")).toBe("in");
    });

    it("and changes nothing when all is there", async () => {
      const held = (): string =>
        runInside(
          "ctl",
          "rabbitmqctl",
          "eval",
          "{rabbit_auth_backend_internal:all_users(), rabbit_auth_backend_internal:list_permissions()}.",
        );
      const before = held();
      expect(before).toContain("shop");
      await make(APP, SHOP);
      expect(held()).toBe(before);
    });

    it("and takes a new password while a client is connected; the old one is refused", async () => {
      const open = await logIn("shop", `n'a"s\\t:y $(id)`, "goods");
      setPassword("shop", "second");
      await make(APP, SHOP);
      expect(await seen("shop", "second", "goods")).toBe("in");
      await expect(logIn("shop", `n'a"s\\t:y $(id)`, "goods")).rejects.toMatchObject({ code: "ACCESS_REFUSED" });
      expect((await open.queueDeclare({ queue: "orders", passive: true })).messageCount).toBe(1);
      open.unsafeDestroy();
    });

    it("and gives those with rules these permissions", async () => {
      await make(APP, SHOP, "reports\tgoods\treports\tread ^orders$");
      const connection = await logIn("reports", "of-reports", "goods");
      expect((await connection.basicGet({ queue: "orders", noAck: false }))?.body).toBe("one");
      await expect(connection.queueDeclare({ queue: "another" })).rejects.toMatchObject({ code: "ACCESS_REFUSED" });
      connection.unsafeDestroy();
    });

    it("and lets in no more whom the list has no more; what is in the virtual host stays", async () => {
      await make(APP);
      await expect(logIn("shop", "second", "goods")).rejects.toMatchObject({ code: "ACCESS_REFUSED" });
      await make(APP, SHOP);
      const connection = await logIn("shop", "second", "goods");
      expect((await connection.queueDeclare({ queue: "orders", passive: true })).messageCount).toBe(1);
      await connection.queueDelete({ queue: "orders" });
      connection.unsafeDestroy();
    });

    it("and refuses an epoch that is over", async () => {
      epoch -= 1;
      setPassword("shop", "of-a-former-leader");
      await expect(make(APP)).rejects.toThrow("accounts were made in a later epoch, by another leader");
      expect(await seen("shop", "second", "goods")).toBe("in");
      epoch += 2;
      await make(APP, SHOP);
      expect(await seen("shop", "of-a-former-leader", "goods")).toBe("in");
    });

    it.each([
      ["a virtual host of the agents", "shop\tquorate\tshop", "virtual host quorate is not for applications"],
      ["the administrator", "admin\tgoods\tshop", "the name is the broker's own"],
      ["a password that is missing", "nobody\tnobody\tmissing", "no password for account missing"],
    ])("and refuses %s", async (_, account, said) => {
      await expect(make(APP, account)).rejects.toThrow(said);
    });
  });

  it("shows clients with TLS the members' certificate", async () => {
    const connection = connect(first, "app", tlsPort);
    await connection.onConnect(10_000);
    expect(connection.ready).toBe(true);
    await connection.close();
  });

  it("has no secret on a command line", () => {
    const lines = readdirSync("/proc").flatMap((pid) => {
      if (!/^\d+$/.test(pid)) return [];
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8")];
      } catch {
        return []; // it ended meanwhile
      }
    });
    expect(lines.some((line) => line.includes("quorate_broker"))).toBe(true);
    const told = Object.values(PASSWORDS).filter((password) => lines.some((line) => line.includes(password)));
    expect(told).toEqual([]);
  });

  it("measures that a message is confirmed", async () => {
    await until("the first probe", async () => (await first.run("probeWrite", { QUORATE_EPOCH: "1" })).durationMs);
    const before = BigInt((await first.observe()).position.value);
    await first.run("probeWrite", { QUORATE_EPOCH: "1" });
    const grown = await until("the position to grow", async () => {
      const after = BigInt((await first.observe()).position.value);
      return after > before ? after : undefined;
    });
    expect(grown).toBeGreaterThan(before);
  });

  it("keeps a confirmed message through a kill", async () => {
    const connection = connect(first, "app");
    const publisher = connection.createPublisher({
      confirm: true,
      queues: [{ queue: "kept", durable: true, arguments: { "x-queue-type": "quorum" } }],
    });
    await publisher.send({ routingKey: "kept", durable: true }, "kept");
    connection.unsafeDestroy();
    await first.kill();
    await start(first);
    const again = connect(first, "app");
    const message = await again.basicGet({ queue: "kept", noAck: false });
    expect(message?.body).toBe("kept");
    again.unsafeDestroy();
  });

  it("says where messages wait, whatever number of queues there is", async () => {
    const connection = connect(first, "app");
    for (const queue of ["few", "many"]) await connection.queueDeclare({ queue, durable: true });
    const publisher = connection.createPublisher({ confirm: true });
    for (const queue of ["few", "many", "many"]) await publisher.send({ routingKey: queue, durable: true }, "x");
    const answer = await until("the counts", async () => {
      const told = JSON.parse(runInside("ask", "queues", "1")) as {
        readonly ready: number;
        readonly most: readonly object[];
      };
      return told.ready >= 3 ? told : undefined;
    });
    expect(answer.most).toEqual([{ vhost: "/", queue: "many", ready: 2, unacknowledged: 0, consumers: 0 }]);
    for (const queue of ["few", "many"]) await connection.queueDelete({ queue });
    connection.unsafeDestroy();
  });

  it("takes the broker's own commands, and starts no daemon that knows the ports of nodes", () => {
    expect(runInside("ctl", "rabbitmqctl", "list_vhosts")).toContain("quorate");
    expect(runInside("ctl", "rabbitmqctl", "eval", "whereis(rabbit_epmd_monitor).").trim()).toBe("undefined");
  });

  it("admits nobody that it did not invite", async () => {
    const made = await member("second");
    second = made.one;
    secondPort = made.memberPort;
    const [own] = (await first.observe()).group?.members ?? [];
    const stranger = `${second.name}_${secondPort}_000000000000@127.0.0.1`;
    second.spawnServer({ QUORATE_GROUP: `${own?.name}=${own?.address},${second.name}=${stranger}` });
    await until("it to be refused", () => Promise.resolve(second.log.includes("admits") ? true : undefined));
    await until("it to end", () => Promise.resolve(second.running ? undefined : true));
    expect((await first.observe()).group?.members).toHaveLength(1);
    // The copy that was begun is given up, and begun under no name again.
    second.spawnServer();
    await until("the copy to be given up", () =>
      Promise.resolve(second.log.includes("given up") && !second.running ? true : undefined),
    );
    expect(readdirSync(join(second.dataDir, ".."))).not.toContain("engine");
  });

  it("gives whom it invited a copy of every queue, and a vote then", async () => {
    const target = {
      QUORATE_TARGET: second.name,
      QUORATE_TARGET_HOST: "127.0.0.1",
      QUORATE_TARGET_PORT: String(secondPort),
    };
    const id = (await first.run("addMember", target)).stdout.trim();
    const members = (await first.observe()).group?.members ?? [];
    expect(members).toContainEqual(expect.objectContaining({ id, name: second.name, votes: false }));
    await expect(first.run("promoteMember", { QUORATE_TARGET_ID: id })).rejects.toThrow("has not joined yet");
    const learner = await start(second, members.map((one) => `${one.name}=${one.address}`).join(","));
    expect(learner.group?.id).toBe(id);
    expect(learner.writable).toBe(false);
    await until("its vote", async () => (await first.run("promoteMember", { QUORATE_TARGET_ID: id })).durationMs);
    await until("both to say so", async () => {
      const seen = await Promise.all([first.observe(), second.observe()]);
      return seen.every(({ group }) => group?.members.filter(({ votes }) => votes).length === 2) ? true : undefined;
    });
    await first.run("promoteMember", { QUORATE_TARGET_ID: id }); // again changes nothing
  });

  it("hands the lead over", async () => {
    const id = (await second.observe()).group?.id ?? "";
    await first.run("handOver", { QUORATE_TARGET_ID: id });
    expect((await second.observe()).writable).toBe(true);
    const firstId = (await first.observe()).group?.id ?? "";
    await second.run("handOver", { QUORATE_TARGET_ID: firstId });
    const { group, writable } = await first.observe();
    expect(writable).toBe(true);
    expect(group?.term).toBeGreaterThan(1);
  });

  it("begins anew when its start stands still, and says at what", async () => {
    await second.stop();
    const module = join(second.folder, "../engine/quorate_broker.erl");
    const hang = join(second.dataDir, "hang");
    const text = readFileSync(module, "utf8");
    const slow = text
      .replace("-define(BOOT_MS, 60000)", "-define(BOOT_MS, 4000)")
      .replace(
        '["start_link() -> ignore."]',
        `["start_link() -> case file:delete(\\"${hang}\\") of ok -> timer:sleep(infinity); _ -> ignore end."]`,
      );
    expect(slow.length).toBeGreaterThan(text.length + 40);
    writeFileSync(module, slow);
    writeFileSync(hang, "");
    second.spawnServer();
    await until("it to begin anew", () => Promise.resolve(second.running ? undefined : true));
    expect(second.log).toMatch(/has not started yet: .*rabbit_boot_steps/);
    expect(second.log).toContain("stands still at its start, and begins anew");
    await start(second);
  });

  it("takes no member out whose messages nobody else has, and forgets one that has none", async () => {
    const id = (await second.observe()).group?.id ?? "";
    const connection = connect(second, "app");
    await connection.queueDeclare({ queue: "classic", durable: true });
    await connection.createPublisher({ confirm: true }).send({ routingKey: "classic", durable: true }, "only here");
    const remove = () => first.run("removeMember", { QUORATE_TARGET_ID: id });
    await expect(remove()).rejects.toThrow(/such as classic of vhost \//);
    await connection.queueDelete({ queue: "classic" });
    connection.unsafeDestroy();
    await until("it to be out", async () => (await remove()).durationMs);
    await remove();
    const { group } = await first.observe();
    expect(group?.members.map(({ name }) => name)).toEqual([first.name]);
    const again = connect(first, "app");
    expect((await again.basicGet({ queue: "kept", noAck: false }))?.body).toBe("kept");
    again.unsafeDestroy();
  });
});
