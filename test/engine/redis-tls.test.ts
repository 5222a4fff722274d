/** Redis with TLS on real servers: clients can check whom they reach, followers copy by nothing else, and certificates change under load. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RedisClient } from "../../hack/scenario/redis-client.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts, secondPort } from "../../src/conformance/ports.ts";
import { HostAuthority } from "./host-authority.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";

const HOST = "orders-rw.shop.svc";
const PASSWORDS = { quorate: "of-quorate", app: "of-app" } as const;
const SOON = { timeout: 15_000, interval: 100 };

describe.skipIf(!hasRedis)("redis with TLS", () => {
  let authority: HostAuthority;
  let cluster: HostCluster;
  let server: HostMember;
  let follower: HostMember;

  beforeEach(async () => {
    authority = new HostAuthority(HOST);
    cluster = new HostCluster(await claimPorts(2), {
      spec: shippedSpec("redis"),
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: REDIS_PROGRAMS,
      context: { QUORATE_PEER_DIR: authority.folder },
      tlsPortOf: secondPort,
    });
    [server, follower] = [cluster.member(0), cluster.member(1)];
    await cluster.form(0);
  });
  afterEach(async () => {
    await cluster.close();
    authority.remove();
  });

  /** Connects as a client that believes nobody but the cluster's authority, and knows whom it wants. */
  function client(servername: string = HOST, port = server.tlsPort): Promise<TLSSocket> {
    const ca = authority.read("ca.crt");
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: port ?? 0, servername, ca }, () => resolve(socket));
      socket.once("error", reject);
    });
  }

  /** What the server answers to a command, after the account has logged in. */
  function ask(socket: TLSSocket, command: string): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const receive = (chunk: Buffer): void => {
        text += chunk.toString();
        if (text.split("\r\n").length < 3) return;
        socket.off("data", receive);
        resolve(text);
      };
      socket.on("data", receive);
      socket.write(`AUTH app ${PASSWORDS.app}\r\n${command}\r\n`);
    });
  }

  /** What the server's own client says, as `account`, without TLS. */
  function told(member: HostMember, account: keyof typeof PASSWORDS, ...command: readonly string[]): string {
    const env = { ...process.env, REDISCLI_AUTH: PASSWORDS[account] };
    const args = ["-p", String(member.port), "--user", account, ...command];
    return execFileSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" }).trim();
  }

  /** The leader's ports at which followers copy. */
  function copiedAt(): number[] {
    const lines = told(server, "quorate", "client", "list", "type", "replica").split("\n").filter(Boolean);
    return lines.map((line) => Number(/ laddr=\S*:(\d+) /.exec(line)?.[1]));
  }

  async function shownAt(port: number | undefined): Promise<string | undefined> {
    const socket = await client(HOST, port);
    const shown = socket.getPeerX509Certificate()?.fingerprint256;
    socket.destroy();
    return shown;
  }

  it("serves clients that check its name and authority, beside those without TLS", async () => {
    const socket = await client();
    expect(await ask(socket, "SET k v")).toBe("+OK\r\n+OK\r\n");
    socket.destroy();
    expect(told(server, "app", "get", "k")).toBe("v");
  });

  it("is refused by a client that wants another", async () => {
    await expect(client("orders-rw.other.svc")).rejects.toThrow("does not match");
  });

  it("shows a renewed certificate after a reload, to which open connections are nothing", async () => {
    const before = await client();
    const shown = before.getPeerX509Certificate()?.fingerprint256;
    authority.issue();
    await server.run("reload");
    const after = await client();
    expect(after.getPeerX509Certificate()?.fingerprint256).not.toBe(shown);
    expect(await ask(before, "PING")).toBe("+OK\r\n+PONG\r\n");
    for (const socket of [before, after]) socket.destroy();
  });

  it("is copied encrypted, and by nothing else", async () => {
    await expect.poll(copiedAt, SOON).toEqual([server.tlsPort]);
    told(server, "app", "set", "k", "v");
    await expect.poll(() => told(follower, "app", "get", "k"), SOON).toBe("v");
  });

  it("is not copied by a follower that does not believe its authority", async () => {
    const own = authority.read("ca.crt");
    authority.announce();
    authority.settle(); // nothing that the leader shows is signed by who is believed now
    await follower.run("reload");
    await follower.run("seal");
    await follower.follow(server).catch(() => undefined); // a follower looks at its own copy alone before it connects
    await pause(2500); // it tries again once a second
    expect(copiedAt()).toEqual([]);
    expect(await follower.observe()).toMatchObject({ receiving: false });
    await follower.stop();
    await expect(follower.run("clone", HostMember.following(server))).rejects.toThrow("copying from 127.0.0.1 failed");
    writeFileSync(join(authority.folder, "ca.crt"), own);
    await follower.start();
    await follower.follow(server);
    await expect.poll(async () => (await follower.observe()).receiving, SOON).toBe(true);
  });

  it("asks clients for a certificate where the user wants that, and its followers have one", async () => {
    writeFileSync(follower.parametersFile, "tls-auth-clients\tyes\n");
    writeFileSync(server.parametersFile, "tls-auth-clients\tyes\n");
    for (const member of [server, follower]) await member.run("reload");
    await follower.run("seal");
    await follower.follow(server);
    await expect.poll(copiedAt, SOON).toEqual([server.tlsPort]);
    const socket = await client();
    const refused = new Promise((resolve) => socket.once("error", resolve).once("close", resolve));
    socket.write("PING\r\n");
    await refused;
    await follower.stop();
    await follower.run("clone", HostMember.following(server));
  });

  it("takes up TLS while it runs, when it was started without, and is followed with TLS from then on", async () => {
    await expect.poll(copiedAt, SOON).toEqual([server.tlsPort]);
    await cluster.close();
    const spec = { ...cluster.software, context: { QUORATE_PEER_DIR: authority.folder } };
    cluster = new HostCluster(await claimPorts(2), spec);
    [server, follower] = [cluster.member(0), cluster.member(1)];
    // What its first looks see is what a server has that its Engine gave no port.
    server.driver.amend({ QUORATE_TLS_PORT: "" });
    await server.run("initialize");
    await server.start();
    await expect(client()).rejects.toThrow("ECONNREFUSED");
    server.driver.amend({ QUORATE_TLS_PORT: String(server.tlsPort) });
    await server.observe();
    expect(await shownAt(server.tlsPort)).toBeDefined();
    await cluster.promote(server, [], 0);
    await follower.run("clone", HostMember.following(server));
    await follower.start();
    await follower.follow(server);
    await expect.poll(copiedAt, SOON).toEqual([server.tlsPort]);
  });

  it("loses no write and no follower while one authority follows the other", async () => {
    await expect.poll(copiedAt, SOON).toEqual([server.tlsPort]);
    const route = () =>
      Promise.resolve({
        host: "127.0.0.1",
        port: server.tlsPort ?? 0,
        tls: { ca: authority.read("ca.crt"), servername: HOST },
      });
    const writer = new RedisClient(route, PASSWORDS.app, 1);
    writer.start();
    const former = await shownAt(server.tlsPort);
    const stages = [() => authority.announce(), () => authority.issue(), () => authority.settle()];
    for (const stage of stages) {
      stage();
      for (const member of [follower, server]) {
        await member.run("reload");
        await pause(500);
        // Every mixture of members that have it already and those that do not: who comes new is let in.
        told(server, "quorate", "client", "kill", "type", "replica");
        await expect.poll(copiedAt, SOON).toEqual([server.tlsPort]);
      }
    }
    const acked = writer.acked;
    await expect.poll(() => writer.acked, SOON).toBeGreaterThan(acked + 20);
    const verdict = await writer.finish();
    process.stdout.write(`  ${JSON.stringify(verdict)}\n`);
    expect(verdict.lost).toBe(0);
    expect(verdict.acked).toBeGreaterThan(50);
    expect(await shownAt(server.tlsPort)).not.toBe(former);
    expect(readFileSync(join(authority.folder, "ca.crt"), "utf8").match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  });
});
