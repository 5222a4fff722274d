import { writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasServer, PostgresCluster } from "./host-cluster.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

/** A statement under way: whether it has been answered, and how. */
interface Pending {
  state: "waiting" | "done" | "failed";
  readonly notices: string[];
  readonly answered: Promise<void>;
}

function start(client: Client, sql: string): Pending {
  const notices: string[] = [];
  client.on("notice", (notice) => notices.push(`${notice.code} ${notice.message}`));
  const pending: Pending = {
    state: "waiting",
    notices,
    answered: client.query(sql).then(
      () => void (pending.state = "done"),
      () => void (pending.state = "failed"),
    ),
  };
  return pending;
}

const ports = await claimPorts(3);

describe.skipIf(!hasServer)("the synchronous set", () => {
  const cluster = new PostgresCluster(ports);
  const [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
  let admin: Client;
  let n = 0;

  /** An insert in a connection of its own. */
  const insert = async (): Promise<Pending & { client: Client; pid: number }> => {
    const client = await cluster.connect(a);
    const { rows } = await client.query("SELECT pg_backend_pid() AS pid");
    return Object.assign(start(client, `INSERT INTO rows VALUES (${++n})`), { client, pid: rows[0].pid as number });
  };
  const synced = async (): Promise<string[]> =>
    (
      await admin.query("SELECT application_name || ' ' || sync_state AS line FROM pg_stat_replication ORDER BY 1")
    ).rows.map((row) => row.line);

  beforeAll(async () => {
    // The Engine keeps more by default; with nothing a leader may drop what the first has yet to receive while the second is cloned.
    for (const member of [a, b, c]) writeFileSync(member.parametersFile, "wal_keep_size\t64MB\n");
    await cluster.form();
    admin = await cluster.connect(a, "postgres", "postgres");
    const client = await cluster.connect(a);
    await client.query("CREATE TABLE rows (n bigint PRIMARY KEY)");
    await client.end();
  });
  afterAll(() => cluster.close());

  it("is in force in every sender when setSyncSet returns", async () => {
    for (const [standbys, ack, expected] of [
      [[b], 1, ["orders-b quorum", "orders-c async"]],
      [[b, c], 2, ["orders-b quorum", "orders-c quorum"]],
      [[c], 1, ["orders-b async", "orders-c quorum"]],
      [[], 0, ["orders-b async", "orders-c async"]],
      [[b, c], 1, ["orders-b quorum", "orders-c quorum"]],
    ] as const) {
      await cluster.setSyncSet(a, standbys, ack);
      expect(await synced()).toEqual(expected);
      expect((await a.observe()).syncSet).toEqual({ names: standbys.map((one) => one.name), ack });
    }
  });

  it.each([
    { name: "leaves", standbys: [b], ack: 1 },
    { name: "stays, and more must confirm", standbys: [b, c], ack: 2 },
  ])(
    "is not said to be in force while the sender to a member that $name has not read it",
    async ({ standbys, ack }) => {
      await cluster.setSyncSet(a, [b, c], 1);
      const { rows } = await admin.query("SELECT pid FROM pg_stat_replication WHERE application_name = 'orders-c'");
      process.kill(rows[0].pid, "SIGSTOP");
      try {
        await expect(cluster.setSyncSet(a, standbys, ack)).rejects.toThrow("senders to orders-c have not read");
      } finally {
        process.kill(rows[0].pid, "SIGCONT");
      }
      await cluster.setSyncSet(a, standbys, ack);
      expect((await a.observe()).syncSet.ack).toBe(ack);
    },
  );

  it("lets writes wait when nobody can confirm, and observe goes on", async () => {
    await cluster.setSyncSet(a, [b], 1);
    b.signalAll("SIGSTOP");
    const write = await insert();
    await pause(300);
    expect(write.state).toBe("waiting");
    expect(await a.observe()).toMatchObject({ writable: true });
    // The probe is a real commit: it waits, is given up, and its server process does not stay behind.
    const probe = a.run("probeWrite", { QUORATE_EPOCH: "1" });
    await expect(probe).rejects.toThrow("no answer within 5000 ms");
    b.signalAll("SIGCONT");
    await expect.poll(async () => (await a.observe()).followers.length, { timeout: 10_000 }).toBe(2);
    await write.answered;
    expect(write).toMatchObject({ state: "done", notices: [] });
    await a.run("probeWrite", { QUORATE_EPOCH: "1" });
    const left = await admin.query("SELECT FROM pg_stat_activity WHERE application_name = 'quorate-probe'");
    expect(left.rowCount).toBe(1);
    await write.client.end();
  });

  it("releases a waiting commit by the new set: at once when nobody is asked any more", async () => {
    await cluster.setSyncSet(a, [b], 1);
    b.signalAll("SIGSTOP");
    const write = await insert();
    await pause(200);
    expect(write.state).toBe("waiting");
    await cluster.setSyncSet(a, [], 0);
    await write.answered;
    expect(write).toMatchObject({ state: "done", notices: [] });
    b.signalAll("SIGCONT");
    await write.client.end();
  });

  it("releases a waiting commit by the new set: with the next acknowledgement of a member that counts now", async () => {
    await expect
      .poll(async () => (await a.observe()).followers.filter((one) => one.streaming).length, { timeout: 10_000 })
      .toBe(2);
    await cluster.setSyncSet(a, [b], 1);
    b.signalAll("SIGSTOP");
    const write = await insert();
    await pause(200);
    expect(write.state).toBe("waiting");
    await cluster.setSyncSet(a, [b, c], 1);
    await write.answered;
    expect(write).toMatchObject({ state: "done", notices: [] });
    b.signalAll("SIGCONT");
    await write.client.end();
  });

  it("a cancelled wait is answered as a success, with a warning", async () => {
    await cluster.setSyncSet(a, [], 1);
    const write = await insert();
    await pause(200);
    await admin.query("SELECT pg_cancel_backend($1)", [write.pid]);
    await write.answered;
    expect(write.state).toBe("done");
    expect(write.notices).toEqual(["01000 canceling wait for synchronous replication due to user request"]);
    await write.client.end();
  });

  it("statement_timeout does not end the wait, ending the connection does, without an answer", async () => {
    const client = await cluster.connect(a);
    await client.query("SET statement_timeout = '100ms'");
    const { rows } = await client.query("SELECT pg_backend_pid() AS pid");
    const write = start(client, `INSERT INTO rows VALUES (${++n})`);
    await pause(500);
    expect(write.state).toBe("waiting");
    await admin.query("SELECT pg_terminate_backend($1)", [rows[0].pid]);
    await write.answered;
    expect(write.state).toBe("failed");
    const found = await admin.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid = $1", [rows[0].pid]);
    expect(found.rows).toEqual([{ n: 0 }]);
  });

  it("counts from the first write after a promotion", async () => {
    await cluster.setSyncSet(a, [b, c], 1);
    await admin.end();
    await a.stop();
    await cluster.promote(b, [a, c]);
    const client = await cluster.connect(b);
    const write = start(client, `INSERT INTO rows VALUES (${++n})`);
    await pause(300);
    expect(write.state).toBe("waiting");
    await c.run("seal");
    await c.follow(b);
    await write.answered;
    expect(write).toMatchObject({ state: "done", notices: [] });
    await client.end();
  });
});
