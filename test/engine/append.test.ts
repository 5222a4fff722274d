// The append workload and its checker with a real server: strict levels of isolation show nothing, weaker ones what they are known for.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppendClients } from "../../hack/append/append-clients.ts";
import { check } from "../../hack/append/check.ts";
import { type Isolation, openPostgresLists } from "../../hack/append/postgres-lists.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { hasServer, PASSWORDS, PostgresCluster } from "./host-cluster.ts";

const ports = await claimPorts(1);
const RUN_MS = 3000;

describe.skipIf(!hasServer)("transactions of PostgreSQL", () => {
  const cluster = new PostgresCluster(ports);
  const { port } = cluster.member(0);
  const server = { host: "127.0.0.1", port, user: "app", password: PASSWORDS.app, database: "app" };

  beforeAll(() => cluster.form());
  afterAll(() => cluster.close());

  it.each<[Isolation, string | undefined]>([
    ["SERIALIZABLE", undefined],
    ["REPEATABLE READ", "G2"],
    ["READ COMMITTED", "G-single"],
  ])("%s shows %s", async (isolation, anomaly) => {
    const clients = new AppendClients({
      open: () => openPostgresLists(server, isolation),
      prefix: isolation.replaceAll(" ", "-"),
      clients: 6,
      pauseMs: 1,
      random: Math.random,
    });
    clients.start();
    await pause(RUN_MS);
    const history = await clients.finish();
    const acked = history.filter(({ outcome }) => outcome === "ok");
    expect(acked.length).toBeGreaterThan(100);
    expect(acked.filter(({ reads }) => [...reads.values()].some((values) => values.length > 5)).length).toBeGreaterThan(
      50,
    );
    const names = new Set(check(history).map(({ name }) => name));
    if (anomaly === undefined) expect([...names]).toEqual([]);
    else expect(names).toContain(anomaly);
  });
});
