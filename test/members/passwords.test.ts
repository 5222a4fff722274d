// The password that members know each other by is changed under a client that writes, under real agents; then the leader is killed.
import { chown, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

/** Longer than it takes until every node has what a Secret holds. */
const LONG_AGO_MS = 180_000;

let cluster: MemberCluster;

async function setPassword(password: string): Promise<void> {
  const { uid, gid } = await stat(join(cluster.folder, "credentials", "app"));
  const path = join(cluster.folder, "credentials", "quorate");
  await writeFile(path, password);
  await utimes(path, new Date(Date.now() - LONG_AGO_MS), new Date(Date.now() - LONG_AGO_MS));
  await chown(path, uid, gid);
}

async function connect({ ports }: TestMember, user: string, password: string, database: string): Promise<Client> {
  const client = new Client({ host: "127.0.0.1", port: ports.engine, user, database, password });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

async function logIn(member: TestMember, password: string): Promise<string> {
  const client = await connect(member, "quorate", password, "postgres");
  try {
    return (await client.query<{ name: string }>("select current_user as name")).rows[0]?.name ?? "";
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  for (const member of cluster.members) cluster.run(member);
  await cluster.untilWhole();
  await cluster.want({ bootstrapMember: null });
});
afterAll(() => cluster.stop());

test("it is in force on the leader, and no write waits for that", async () => {
  const leader = await cluster.untilWhole();
  const client = await connect(leader, "app", await cluster.password("app"), "app");
  await client.query("create table written (id int)");
  const stop = new AbortController();
  const took: number[] = [];
  const writing = (async () => {
    while (!stop.signal.aborted) {
      const beganMs = performance.now();
      await client.query("insert into written values (1)");
      took.push(performance.now() - beganMs);
      await pause(10);
    }
  })();
  const former = await cluster.password("quorate");
  await setPassword("second-of-quorate");
  await vi.waitFor(async () => expect(await logIn(leader, "second-of-quorate")).toBe("quorate"), {
    timeout: 60_000,
    interval: 200,
  });
  await expect(logIn(leader, former)).rejects.toThrow("password authentication failed");
  await pause(3000);
  stop.abort();
  await writing;
  await client.end();
  process.stdout.write(`  ${JSON.stringify({ writes: took.length, longestMs: Math.round(Math.max(...took)) })}\n`);
  expect(took.length).toBeGreaterThan(50);
  expect(await cluster.untilWhole()).toBe(leader);
});

test("followers of the next leader use it, and so does one that lost its volume", async () => {
  const leader = await cluster.untilWhole();
  await cluster.kill(leader);
  await cluster.untilAnotherLeads(leader);
  await cluster.loseVolume(leader);
  await cluster.renewPod(leader);
  cluster.run(leader);
  const next = await cluster.untilWhole();
  expect(await logIn(next, "second-of-quorate")).toBe("quorate");
});
