// The append workload and its checker with real servers: what is strict shows nothing, what is not shows what it is known for.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { AppendClients } from "../../hack/append/append-clients.ts";
import { check } from "../../hack/append/check.ts";
import { openEtcdLists } from "../../hack/append/etcd-lists.ts";
import type { ListSession, OpenSession } from "../../hack/append/list-store.ts";
import { type Isolation, openPostgresLists } from "../../hack/append/postgres-lists.ts";
import { openRedisLists } from "../../hack/append/redis-lists.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts, secondPort } from "../../src/conformance/ports.ts";
import { binary } from "../api/harness.ts";
import { HostAuthority } from "./host-authority.ts";
import { hasServer, PASSWORDS, PostgresCluster, shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";

const ports = await claimPorts(6);
/** Transactions that must be acknowledged: so many that clients met often. */
const ENOUGH = 300;
/** etcd waits for the disk with each, and all but one client that meet try again. */
const ENOUGH_OF_ETCD = 80;
const DEADLINE_MS = 30_000;
const PASSWORD = "a-password";

/** What the checker says of a workload. */
async function anomaliesOf(open: OpenSession, prefix: string, enough = ENOUGH): Promise<ReadonlySet<string>> {
  const clients = new AppendClients({ open, prefix, clients: 6, pauseMs: 1, random: Math.random });
  clients.start();
  await vi.waitUntil(() => clients.acked >= enough, { timeout: DEADLINE_MS, interval: 50 });
  const history = await clients.finish();
  const full = history.filter(({ reads }) => [...reads.values()].some((values) => values.length > 5));
  expect(full.length).toBeGreaterThan(enough / 3);
  return new Set(check(history).map(({ name }) => name));
}

/** A client that takes two transactions for one: it reads in the first and appends in the second. */
function inTwo(open: OpenSession): OpenSession {
  return async (): Promise<ListSession> => {
    const session = await open();
    return {
      close: () => session.close(),
      transact: async ({ reads, appends }) => {
        const seen = await session.transact({ reads, appends: [] });
        await session.transact({ reads: [], appends });
        return seen;
      },
    };
  };
}

describe.skipIf(!hasServer)("transactions of PostgreSQL", () => {
  const cluster = new PostgresCluster(ports.slice(0, 1));
  const { port } = cluster.member(0);
  const server = { host: "127.0.0.1", port, user: "app", password: PASSWORDS.app, database: "app" };

  beforeAll(() => cluster.form());
  afterAll(() => cluster.close());

  it.each<[Isolation, string | undefined]>([
    ["SERIALIZABLE", undefined],
    ["REPEATABLE READ", "G2"],
    ["READ COMMITTED", "G-single"],
  ])("%s shows %s", async (isolation, anomaly) => {
    const names = await anomaliesOf(() => openPostgresLists(server, isolation), isolation.replaceAll(" ", "-"));
    if (anomaly === undefined) expect([...names]).toEqual([]);
    else expect(names).toContain(anomaly);
  });
});

describe.skipIf(!hasRedis)("transactions of Redis", () => {
  const cluster = new HostCluster(ports.slice(1, 4), {
    spec: shippedSpec("redis"),
    user: userOf("nobody"),
    passwords: { quorate: PASSWORD, app: PASSWORD },
    programs: REDIS_PROGRAMS,
  });
  const open = (): Promise<ListSession> =>
    openRedisLists({ host: "127.0.0.1", port: cluster.member(0).port }, PASSWORD, 2);

  beforeAll(() => cluster.form(0));
  afterAll(() => cluster.close());

  it("in one MULTI show nothing", async () => expect([...(await anomaliesOf(open, "one"))]).toEqual([]));

  it("in two show lost updates", async () => expect(await anomaliesOf(inTwo(open), "two")).toContain("G-single"));
});

describe("transactions of etcd", () => {
  /** Scripts of the member have 127.0.0.1 to themselves. */
  const LISTEN = "127.0.0.2";
  let authority: HostAuthority;
  let cluster: HostCluster;
  const open = (): Promise<ListSession> => openEtcdLists(`${LISTEN}:${cluster.member(0).port}`, PASSWORD);

  beforeAll(async () => {
    authority = new HostAuthority(`orders-rw.shop.svc,IP:${LISTEN}`);
    authority.admitClients(); // without, the server takes no JSON over HTTP
    cluster = new HostCluster(ports.slice(4, 5), {
      spec: shippedSpec("etcd"),
      user: userOf("nobody"),
      passwords: { root: PASSWORD, app: PASSWORD },
      programs: { etcd: binary("etcd"), etcdctl: binary("etcdctl") },
      tlsPortOf: secondPort,
      context: {
        QUORATE_PEER_DIR: authority.folder,
        QUORATE_MEMBER_PORT: String(ports[5]),
        QUORATE_LISTEN_HOST: LISTEN,
        QUORATE_GROUP: "",
      },
    });
    const member = cluster.member(0);
    await member.run("initialize");
    member.spawnServer();
    const doesServe = (): Promise<boolean> =>
      member.observe().then(
        ({ writable }) => writable,
        () => false,
      );
    await vi.waitUntil(doesServe, { timeout: 60_000, interval: 100 });
    const accounts = join(cluster.root, "accounts");
    writeFileSync(accounts, "app\tapp\tapp\n", { mode: 0o644 });
    await member.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: accounts, QUORATE_EPOCH: "1" });
  });
  afterAll(async () => {
    await cluster.close();
    authority.remove();
  });

  it("that compare what they read show nothing", async () =>
    expect([...(await anomaliesOf(open, "one", ENOUGH_OF_ETCD))]).toEqual([]));

  it("in two show lost updates", async () =>
    expect(await anomaliesOf(inTwo(open), "two", ENOUGH_OF_ETCD)).toContain("G-single"));
});
