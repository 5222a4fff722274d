/** Passwords of the accounts that PostgreSQL's members know each other by, changed under load on real servers. */
import { chownSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { hasServer, PASSWORDS, PostgresCluster } from "./host-cluster.ts";

const NASTY = `n'a"s\\t:y $(id)`;
const SPREAD_MS = 120_000;
const SOON = { timeout: 15_000, interval: 100 };

const ports = await claimPorts(3);

describe.skipIf(!hasServer)("passwords of postgres's own accounts", () => {
  const cluster = new PostgresCluster(ports);
  const [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
  const writes = { acked: 0, failed: 0, longestMs: 0 };
  const stop = new AbortController();
  let superuser: Client;
  let writer = Promise.resolve();

  /** The Secret's file, as the kubelet wrote it so long ago. */
  const setPassword = (account: string, password: string, ageMs: number): void => {
    const path = join(cluster.root, "credentials", account);
    writeFileSync(path, `${password}\n`);
    const at = new Date(Date.now() - ageMs);
    utimesSync(path, at, at);
    if (process.getuid?.() === 0) chownSync(path, userOf("postgres").uid, userOf("postgres").gid);
  };
  const take = (member: HostMember, epoch = 0): Promise<unknown> =>
    member.run("takePasswords", { QUORATE_EPOCH: String(epoch) });
  const logIn = async (user: string, password: string, member = a): Promise<void> => {
    const client = new Client({ host: "127.0.0.1", port: member.port, user, database: "postgres", password });
    await client.connect();
    await client.end();
  };
  /** When each follower's connection began, by its name. */
  const connections = async (): Promise<ReadonlyMap<string, string>> => {
    const text =
      "select application_name as name, backend_start::text as since from pg_stat_replication where state = 'streaming'";
    const { rows } = await superuser.query<{ name: string; since: string }>(text);
    return new Map(rows.map(({ name, since }) => [name, since]));
  };

  async function write(client: Client): Promise<void> {
    while (!stop.signal.aborted) {
      const beganMs = performance.now();
      await client.query("insert into written values (default)").then(
        () => (writes.acked += 1),
        () => (writes.failed += 1),
      );
      writes.longestMs = Math.max(writes.longestMs, performance.now() - beganMs);
      await pause(5);
    }
    await client.end();
  }

  beforeAll(async () => {
    await cluster.form(1);
    superuser = await cluster.connect(a, "postgres", "postgres");
    const client = await cluster.connect(a);
    await client.query("create table written (id bigserial primary key)");
    writer = write(client);
  });
  afterAll(async () => {
    stop.abort();
    await writer;
    await superuser.end().catch(() => undefined);
    await cluster.close();
  });

  it("changes nothing when nothing changed", async () => {
    const verifiers = "select rolname, rolpassword from pg_authid where rolname in ('postgres', 'quorate') order by 1";
    const before = (await superuser.query(verifiers)).rows;
    for (const member of [a, b, c]) await take(member, member === a ? 1 : 0);
    expect((await superuser.query(verifiers)).rows).toEqual(before);
  });

  it("takes the superuser's at once; the old one is refused", async () => {
    setPassword("postgres", "second", 0);
    await take(a, 1);
    await logIn("postgres", "second");
    await expect(logIn("postgres", PASSWORDS.postgres)).rejects.toThrow("password authentication failed");
  });

  it("goes on with the former one until every member must have the new one, then takes that", async () => {
    const before = await connections();
    expect([...before.keys()].toSorted()).toEqual([b.name, c.name]);
    setPassword("quorate", NASTY, SPREAD_MS - 4000);
    const taken = Promise.allSettled([take(a, 1), take(b), take(c)]);
    await pause(1500);
    await logIn("quorate", PASSWORDS.quorate);
    // Whoever has to connect meanwhile does so with the former one: its server is started anew here.
    await c.stop();
    await c.start(HostMember.following(a));
    await expect.poll(async () => [...(await connections()).keys()].toSorted(), SOON).toEqual([b.name, c.name]);
    // The action of the member that was stopped ended with it, or found the new server; the agent repeats it in any case.
    expect((await taken).slice(0, 2).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
    await take(c);
    await logIn("quorate", NASTY);
    await expect(logIn("quorate", PASSWORDS.quorate)).rejects.toThrow("password authentication failed");
    expect((await connections()).get(b.name), "it was never interrupted").toBe(before.get(b.name));
  });

  it("lets followers come back with the new one, copies of the leader be made, and another lead", async () => {
    const before = await connections();
    await superuser.query("select pg_terminate_backend(pid) from pg_stat_replication");
    await expect
      .poll(async () => {
        const now = await connections();
        return [b, c].map(({ name }) => now.has(name) && now.get(name) !== before.get(name));
      }, SOON)
      .toEqual([true, true]);
    await c.stop();
    await c.run("clone", HostMember.following(a));
    await c.start();
    await c.follow(a);
    await expect.poll(async () => [...(await connections()).keys()].toSorted(), SOON).toEqual([b.name, c.name]);
  });

  it("cost no write, and held none up", () => {
    process.stdout.write(`  ${JSON.stringify(writes)}\n`);
    expect(writes.acked).toBeGreaterThan(100);
    expect(writes.failed).toBe(0);
  });

  it("shows no password in the servers' logs", () => {
    for (const member of [a, b, c])
      expect(readFileSync(join(member.folder, "server.log"), "utf8")).not.toContain("n'a");
  });
});
