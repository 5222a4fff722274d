// Pausing stops failovers; a promotion by force works when nobody else can lead, and those who were given up come back as followers.
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { ANNOTATION_SYNC, nameOf } from "../../src/api/names.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

/** Twice as long as a Lease of profile Fast lives. */
const PAUSED_MS = 12_000;
let cluster: MemberCluster;

interface Status {
  readonly state: { readonly role: { readonly kind: string }; readonly blocked: string | null } | null;
  readonly observation: { readonly receiving: boolean; readonly followers: readonly unknown[] } | null;
}

/** Members that were just frozen or killed do not answer. */
function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  return cluster.until(what, () => ask().catch(() => undefined));
}

const statusOf = (member: TestMember): Promise<Status> => cluster.status(member) as Promise<Status>;

/** The one whose engine is writable by its own word. */
async function leading(): Promise<TestMember[]> {
  const kinds = await Promise.all(
    cluster.members.map((member) =>
      statusOf(member).then(
        ({ state }) => state?.role.kind,
        () => undefined,
      ),
    ),
  );
  return cluster.members.filter((_, at) => kinds[at] === "leader");
}

function untilLedWith(followers: number): Promise<TestMember> {
  return until(`a leader with ${followers} followers`, async () => {
    const leader = await cluster.routed();
    if (leader === undefined) return undefined;
    const { state, observation } = await statusOf(leader);
    return state?.role.kind === "leader" && observation?.followers.length === followers ? leader : undefined;
  });
}

async function write(member: TestMember, row: number): Promise<number> {
  const client = new Client({
    host: "127.0.0.1",
    port: member.ports.engine,
    user: "app",
    database: "app",
    password: await cluster.password("app"),
    connectionTimeoutMillis: 2000,
  });
  await client.connect();
  try {
    await client.query("create table if not exists rows (id int primary key)");
    await client.query("insert into rows values ($1)", [row]);
    const { rows } = await client.query<{ count: string }>("select count(*) from rows");
    return Number(rows[0]?.count);
  } finally {
    await client.end();
  }
}

async function lastEpoch(): Promise<number> {
  const ref = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    namespace: "default",
    name: nameOf.lease("orders"),
  };
  const lease = await cluster.api.get<KubeObject>(ref);
  const note = JSON.parse(lease?.metadata.annotations?.[ANNOTATION_SYNC] ?? "{}") as { readonly epoch: number };
  return note.epoch;
}

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  for (const member of cluster.members) cluster.run(member);
  await untilLedWith(2);
});
afterAll(() => cluster.stop());

test("while paused nobody takes over, and the one who led goes on when its container is back", async () => {
  const leader = await untilLedWith(2);
  const epoch = await lastEpoch();
  await cluster.want({ paused: true });
  await pause(2000);
  await cluster.kill(leader);
  await pause(PAUSED_MS);
  expect(await leading()).toEqual([]);
  expect(await lastEpoch()).toBe(epoch);
  cluster.run(leader);
  expect(await until("the same leader", async () => ((await leading())[0] === leader ? leader : undefined))).toBe(
    leader,
  );
  await cluster.want({ paused: false });
  await untilLedWith(2);
});

test("a promotion by force leaves the lost behind, serves alone, and takes them back as followers", async () => {
  const old = await untilLedWith(2);
  await until("a row", () => write(old, 1));
  const [heir, other] = cluster.members.filter((member) => member !== old);
  if (heir === undefined || other === undefined) throw new Error("there are no three members");
  const epoch = await lastEpoch();
  for (const member of [old, other]) await cluster.kill(member);

  // Half of an order is none: one that did not answer is not named.
  const order = { id: "order", member: heir.name, epoch, lost: [old.name] };
  await cluster.want({ forcedPromotion: order, learners: [old.name, other.name] });
  await until("the obstacle to be told", async () =>
    (await statusOf(heir)).state?.blocked === "MemberUnconfirmed" ? true : undefined,
  );
  expect(await leading()).toEqual([]);

  await cluster.want({ forcedPromotion: { ...order, lost: [old.name, other.name] } });
  const leader = await until("the heir to serve", async () => ((await cluster.routed()) === heir ? heir : undefined));
  expect(await until("a row without anybody's confirmation", () => write(leader, 2))).toBeGreaterThan(0);

  await cluster.want({ forcedPromotion: undefined });
  for (const member of [old, other]) cluster.run(member);
  expect(await untilLedWith(2)).toBe(heir);
  expect(await leading()).toEqual([heir]);
});
