// Accounts that the intent asks for, made by a real agent in a real engine; a password that changes in its file changes there.
import { chown, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { MemberCluster, type TestMember } from "./harness.ts";

let cluster: MemberCluster;
let member: TestMember;

async function setPassword(password: string): Promise<void> {
  const { uid, gid } = await stat(join(cluster.folder, "credentials", "app"));
  const path = join(cluster.folder, "credentials", "shop");
  await writeFile(path, password);
  await chown(path, uid, gid);
}

async function logIn(password: string): Promise<string> {
  const client = new Client({ host: "127.0.0.1", port: member.ports.engine, user: "shop", database: "shop", password });
  await client.connect();
  try {
    return (await client.query<{ name: string }>("select current_user as name")).rows[0]?.name ?? "";
  } finally {
    await client.end();
  }
}

const WAIT = { timeout: 60_000, interval: 200 };
const eventually = (look: () => Promise<void>): Promise<void> => vi.waitFor(look, WAIT);

beforeAll(async () => {
  cluster = await MemberCluster.create(1);
  const [only] = cluster.members;
  if (only === undefined) throw new Error("there is no member");
  member = only;
  cluster.run(member);
  await vi.waitUntil(async () => (await cluster.routed()) === member, WAIT);
});
afterAll(() => cluster.stop());

test("an account is made as soon as its password is there, and follows it", async () => {
  await cluster.want({ accounts: [{ name: "shop", database: "shop", secretKey: "shop" }] });
  await setPassword("first");
  await eventually(async () => expect(await logIn("first")).toBe("shop"));
  await setPassword("second");
  await eventually(async () => expect(await logIn("second")).toBe("shop"));
  await expect(logIn("first")).rejects.toThrow("password authentication failed");
});
