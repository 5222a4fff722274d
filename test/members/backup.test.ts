/**
 * A backup of real PostgreSQL by real agents into a real store, while a client writes; and another cluster that begins with it, under
 * passwords of its own.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { IntentStore, MemberReport, TaskRequest } from "../../src/api/agent-wire.ts";
import { STORE_KEYS } from "../../src/api/backup.ts";
import { type S3Server, startS3Server } from "../engine/s3-server.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

let store: S3Server;
let cluster: MemberCluster;
const others: MemberCluster[] = [];
let tasks = 0;

beforeAll(async () => {
  store = await startS3Server({ tls: true });
  cluster = await MemberCluster.create(3);
  await giveKeys(cluster);
  for (const member of cluster.members) cluster.run(member);
  await cluster.untilWhole();
  await cluster.want({ bootstrapMember: null, store: storeOf() });
});

afterAll(async () => {
  for (const one of [cluster, ...others]) await one.stop();
  await store.stop();
});

async function giveKeys(to: MemberCluster, secret = store.credentials.secretAccessKey): Promise<void> {
  const folder = join(to.folder, "store");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, STORE_KEYS.accessKeyId), `${store.credentials.accessKeyId}\n`);
  await writeFile(join(folder, STORE_KEYS.secretAccessKey), `${secret}\n`);
  await writeFile(join(folder, STORE_KEYS.authority), store.ca ?? "");
}

function storeOf(change: Partial<IntentStore> = {}): IntentStore {
  const { endpoint, bucket, region } = store;
  return { endpoint, bucket, region, prefix: "eu/databases", secretName: "store", engine: "postgres", ...change };
}

/** Asks as the operator would, and waits for the end. */
async function carryOut(member: TestMember, change: Partial<TaskRequest>): Promise<NonNullable<MemberReport["task"]>> {
  tasks += 1;
  const task: TaskRequest = { id: `uid-${tasks}/${member.name}`, action: "backup", member: member.name, ...change };
  await cluster.want({ task });
  return cluster.until(`the end of ${task.action}`, async () => {
    const answer = (await cluster.report(member))?.task;
    return answer?.id === task.id && answer.result !== "Running" ? answer : undefined;
  });
}

async function follower(): Promise<TestMember> {
  const leader = await cluster.untilWhole();
  const found = cluster.members.find((member) => member !== leader);
  if (found === undefined) throw new Error("nobody follows");
  return found;
}

async function kept(): Promise<string[]> {
  return readdir(join(store.folder, "eu/databases/shop/orders")).then(
    (names) => names.toSorted(),
    () => [],
  );
}

async function logIn({ ports }: TestMember, password: string): Promise<Client> {
  const client = new Client({ host: "127.0.0.1", port: ports.engine, user: "app", database: "app", password });
  await client.connect();
  return client;
}

async function rowsOf(of: MemberCluster, member: TestMember): Promise<number[]> {
  const client = await logIn(member, await of.password("app"));
  const { rows } = await client.query<{ seq: string }>("select seq from writes order by seq");
  await client.end();
  return rows.map(({ seq }) => Number(seq));
}

let path: string;
let before: readonly number[];

test("a follower makes it while a client writes, and says how much and where", async () => {
  const writer = new CountingClient(cluster);
  writer.start();
  const leader = await cluster.untilWhole();
  await cluster.until("the first writes", async () => (writer.acked > 50 ? true : undefined));
  before = await rowsOf(cluster, leader);
  path = "shop/orders/20261128T010000Z-first";
  const answer = await carryOut(await follower(), { path });
  expect(answer).toMatchObject({ result: "Done" });
  expect(answer.message).toMatch(
    /kept \d{7,} bytes in s3:\/\/\S+\/eu\/databases\/shop\/orders\/20261128T010000Z-first$/,
  );
  expect(await writer.finish()).toMatchObject({ lost: 0, outOfOrder: 0 });
});

test("the leader makes one, too, and those that are too old go; what never was whole goes with them", async () => {
  await mkdir(join(store.folder, "eu/databases/shop/orders/20261127T000000Z-broken"));
  await writeFile(join(store.folder, "eu/databases/shop/orders/20261127T000000Z-broken/data"), "half of it");
  await cluster.want({ store: storeOf({ keep: 2 }) });
  const leader = await cluster.untilWhole();
  for (const name of ["20261128T020000Z-second", "20261128T030000Z-third"]) {
    expect(await carryOut(leader, { path: `shop/orders/${name}` })).toMatchObject({ result: "Done" });
  }
  expect(await kept()).toEqual(["20261128T020000Z-second", "20261128T030000Z-third"]);
  path = "shop/orders/20261128T030000Z-third";
});

test("one that is not wanted any more ends, and leaves nothing that passes for a backup", async () => {
  const member = await follower();
  await cluster.want({
    task: { id: "uid-ended/x", action: "backup", member: member.name, path: "shop/orders/20261128T040000Z-x" },
  });
  await cluster.until("its beginning", async () =>
    (await cluster.report(member))?.task?.id === "uid-ended/x" ? true : undefined,
  );
  expect(await carryOut(member, { action: "verify" })).toHaveProperty("result");
  const records = await Promise.all(
    (await kept()).map(async (name) => ({
      name,
      files: await readdir(join(store.folder, "eu/databases/shop/orders", name)),
    })),
  );
  for (const { name, files } of records)
    if (name.endsWith("-x") && files.includes("backup.json")) expect(files).toContain("data"); // it was quicker
});

test("a store that refuses, or keys that are missing, are said in words and without a secret", async () => {
  await giveKeys(cluster, "not-the-secret-of-this-key");
  const member = await follower();
  const refused = await carryOut(member, { path: "shop/orders/20261128T050000Z-refused" });
  expect(refused).toMatchObject({ result: "Failed", message: expect.stringMatching(/SignatureDoesNotMatch/) });
  expect(refused.message).not.toContain("not-the-secret-of-this-key");
  await giveKeys(cluster, "");
  const missing = await carryOut(member, { path: "shop/orders/20261128T060000Z-missing" });
  expect(missing).toMatchObject({
    result: "Failed",
    message: "Secret store, which spec.backup.s3.secretName names, has no key secret-access-key here yet",
  });
  await giveKeys(cluster);
  expect((await kept()).filter((name) => /refused|missing/.test(name))).toEqual([]);
});

test("another cluster begins with it, with passwords of its own, and its members follow", async () => {
  const restored = await MemberCluster.create(2);
  others.push(restored);
  await giveKeys(restored);
  for (const account of ["postgres", "quorate", "app"]) {
    await writeFile(join(restored.folder, "credentials", account), `another-secret-of-${account}`);
  }
  await restored.want({ store: storeOf({ restorePath: path }) });
  for (const member of restored.members) restored.run(member);
  const leader = await restored.untilWhole();
  const rows = await rowsOf(restored, leader);
  expect(rows).toEqual(expect.arrayContaining([...before]));
  const writer = new CountingClient(restored);
  writer.start();
  await restored.until("writes", async () => (writer.acked > 20 ? true : undefined));
  expect(await writer.finish()).toMatchObject({ lost: 0, outOfOrder: 0 });
  await expect(logIn(leader, await cluster.password("app"))).rejects.toThrow(/password authentication failed/);
});

test("a backup that is not there, or of another Engine, makes no empty cluster", async () => {
  const missing = await MemberCluster.create(1);
  others.push(missing);
  await giveKeys(missing);
  const [member] = missing.members;
  if (member === undefined) throw new Error("no member");
  await missing.want({ store: storeOf({ restorePath: "shop/orders/20261128T990000Z-nowhere" }) });
  missing.run(member);
  await missing.until("its word", async () =>
    (await missing.log(member)).includes("RestoreFailed") ? true : undefined,
  );
  await missing.want({ store: storeOf({ restorePath: path, engine: "another" }) });
  await missing.until("its word on the Engine", async () =>
    (await missing.log(member)).includes("the backup is of Engine postgres, and the cluster's is another")
      ? true
      : undefined,
  );
  await expect(rowsOf(missing, member)).rejects.toThrow(
    /ECONNREFUSED|password authentication|does not exist|starting up/,
  );
  await missing.want({ store: storeOf({ restorePath: path }) });
  const leader = await missing.untilWhole();
  expect(await rowsOf(missing, leader)).toEqual(expect.arrayContaining([...before]));
});
