// Clients that check the server's certificate, while it is renewed under a running agent and engine.
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { MemberCluster, type TestMember } from "./harness.ts";

const WAIT = { timeout: 60_000, interval: 500 };
let cluster: MemberCluster;
let leader: TestMember | undefined;

beforeAll(async () => {
  cluster = await MemberCluster.create(2);
  for (const member of cluster.members) cluster.run(member);
  await vi.waitUntil(async () => (await cluster.routed()) !== undefined, WAIT);
  leader = await cluster.routed();
  const receivers = () => cluster.members.flatMap((member) => cluster.pids(member, /walreceiver streaming/));
  await vi.waitUntil(() => receivers().length > 0, WAIT);
});
afterAll(() => cluster.stop());

const inPeer = (file: string): Promise<string> => readFile(join(cluster.folder, "peer", file), "utf8");

/** A client that trusts the cluster's authority only, and checks the server's name. */
async function connected(account = "app"): Promise<Client> {
  const client = new Client({
    host: "127.0.0.1",
    port: leader?.ports.engine,
    user: account,
    database: account,
    password: await cluster.password(account),
    ssl: { ca: await inPeer("ca.crt") },
  });
  await client.connect();
  return client;
}

/** The followers' connections to the leader. */
async function copying(): Promise<readonly { readonly isEncrypted: boolean }[]> {
  const client = await connected("postgres");
  try {
    const sql = `select ssl as "isEncrypted" from pg_stat_replication join pg_stat_ssl using (pid)`;
    return (await client.query<{ isEncrypted: boolean }>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Fingerprint of the certificate that the server showed to a client. */
function shownTo(client: Client): string {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: TLSSocket } }).connection;
  return stream.getPeerCertificate().fingerprint256;
}

const valid = async (): Promise<string> => new X509Certificate(await inPeer("tls.crt")).fingerprint256;
/** Of each member: init, agent and engine. */
const pids = (): number[][] => cluster.members.map((member) => cluster.pids(member, /agent\.mjs|bin\/postgres -D/));

test("a renewed certificate is shown to new clients; open connections, agents and engines live on", async () => {
  const early = await connected();
  expect(shownTo(early)).toBe(await valid());
  const before = pids();
  expect(before.map((all) => all.length)).toEqual([3, 3]);

  await cluster.renewCertificate();
  await vi.waitFor(async () => {
    const late = await connected();
    const shown = shownTo(late);
    await late.end();
    expect(shown).toBe(await valid());
  }, WAIT);
  expect((await early.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await early.end();
  expect(pids()).toEqual(before);
  for (const member of cluster.members) await agentTookIt(member);
});

async function agentTookIt(member: TestMember): Promise<void> {
  await vi.waitFor(async () => expect(await cluster.log(member)).toContain("renewed certificate"), WAIT);
}

test("members copy each other's data encrypted", async () => {
  expect(await copying()).toEqual([{ isEncrypted: true }]);
});
