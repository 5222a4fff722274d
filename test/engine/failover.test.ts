import { setTimeout as pause } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { comparePositions } from "../../src/agent/protocol/position.ts";
import { hasServer, PostgresCluster } from "./host-cluster.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const value = async (member: HostMember): Promise<bigint> => BigInt((await member.observe()).position.value);

const ports = await claimPorts(3);

describe.skipIf(!hasServer)("three members", () => {
  const cluster = new PostgresCluster(ports);
  const [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];

  beforeAll(() => cluster.form());
  afterAll(() => cluster.close());

  async function roles(): Promise<{ leader: HostMember; next: HostMember; rest: HostMember }> {
    const seen = await Promise.all([a, b, c].map(async (one) => ({ one, writable: (await one.observe()).writable })));
    const leader = seen.find(({ writable }) => writable)?.one;
    const [next, rest] = cluster.members.filter((one) => one !== leader);
    if (leader === undefined || next === undefined || rest === undefined) throw new Error("nobody leads");
    return { leader, next, rest };
  }

  it("observe tells leader and followers apart", async () => {
    // A follower that was just told whom to follow is not connected yet.
    await expect.poll(async () => (await a.observe()).followers.length, { timeout: 10_000 }).toBe(2);
    const leader = await a.observe();
    expect(leader).toMatchObject({ writable: true, receiving: false, version: expect.stringMatching(/^15\.\d+$/) });
    expect(leader.followers.map((one) => [one.name, one.streaming])).toEqual([
      ["orders-b", true],
      ["orders-c", true],
    ]);
    expect(leader.syncSet).toEqual({ names: ["orders-b", "orders-c"], ack: 1 });
    await expect.poll(async () => (await b.observe()).replayLagSeconds, { timeout: 10_000 }).toBe(0);
    expect(await b.observe()).toMatchObject({ writable: false, receiving: true, followers: [] });
  });

  it("serves the application's account over the network, and keeps the replication account to its task", async () => {
    const client = await cluster.connect(a);
    await client.query("CREATE TABLE rows (n bigint PRIMARY KEY)");
    await client.query("INSERT INTO rows VALUES (1)");
    await client.end();
    const reader = await cluster.connect(b);
    await expect.poll(async () => (await reader.query("SELECT n FROM rows")).rowCount).toBe(1);
    await expect(reader.query("INSERT INTO rows VALUES (2)")).rejects.toThrow("read-only transaction");
    await reader.end();
    await expect(cluster.connect(a, "quorate" as "app", "app")).rejects.toThrow("rejects connection");
  });

  it("counts what clients ask of each member, and what the server failed", async () => {
    const counts = async (member: HostMember): Promise<{ served: number; failed: number }> =>
      (await member.driver.countRequests()) ?? { served: -1, failed: -1 };
    const before = await counts(a);
    const client = await cluster.connect(a);
    for (let n = 0; n < 30; n++) await client.query("SELECT 1");
    await expect(client.query("INSERT INTO rows VALUES (1)")).rejects.toThrow("duplicate key");
    await client.end(); // what a session counts is there at the latest when it ends
    await expect.poll(async () => (await counts(a)).served - before.served).toBeGreaterThanOrEqual(31);
    expect((await counts(a)).failed).toBe(before.failed);

    const admin = await cluster.connect(a, "postgres", "postgres");
    const victim = await cluster.connect(a);
    await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    await expect.poll(async () => (await counts(a)).failed - before.failed).toBe(1);
    await victim.end();

    const quiet = await counts(a);
    for (let n = 0; n < 50; n++) await a.observe();
    for (let n = 0; n < 50; n++) await admin.query("SELECT 1");
    await admin.end();
    // What quorate asks is no request of a client; the server's own housekeeping may be.
    expect((await counts(a)).served - quiet.served).toBeLessThan(20);

    const read = await counts(b);
    const reader = await cluster.connect(b);
    for (let n = 0; n < 30; n++) await reader.query("SELECT 1");
    await reader.end();
    await expect.poll(async () => (await counts(b)).served - read.served).toBeGreaterThanOrEqual(30);
  });

  describe("a receiver that was stopped", () => {
    const NEXT_ROW = "INSERT INTO rows SELECT max(n) + 1 FROM rows";

    /** Stops the receiver of `b` while the leader writes. @returns the leader's client, and the receiver's pid. */
    async function stopReceiver(): Promise<{ client: Client; pid: number }> {
      await expect.poll(async () => (await b.observe()).receiving).toBe(true);
      const admin = await cluster.connect(b, "postgres", "postgres");
      const { rows } = await admin.query<{ pid: number }>("SELECT pid FROM pg_stat_wal_receiver");
      await admin.end();
      const pid = rows[0]?.pid ?? 0;
      expect(pid).toBeGreaterThan(0);
      process.kill(pid, "SIGSTOP");
      const client = await cluster.connect(a);
      await client.query(NEXT_ROW);
      return { client, pid };
    }

    it("does not look as if it were up to date, and goes on", { timeout: 60_000 }, async () => {
      const { client, pid } = await stopReceiver();
      try {
        const lag = async (): Promise<number> => (await b.observe()).replayLagSeconds ?? 0;
        await expect.poll(lag, { timeout: 10_000, interval: 200 }).toBeGreaterThan(3);
        const before = await lag();
        await expect.poll(async () => (await b.observe()).receiving, { timeout: 15_000, interval: 200 }).toBe(false);
        expect(await lag()).toBeGreaterThan(before);
        // An engine that has not received says so; where its log ends is as true as before.
        expect(await value(b)).toBeLessThan(await value(a));
      } finally {
        process.kill(pid, "SIGCONT");
      }
      await expect.poll(async () => (await value(b)) === (await value(a)), { timeout: 20_000 }).toBe(true);
      await client.query(NEXT_ROW);
      await expect.poll(async () => (await b.observe()).replayLagSeconds, { timeout: 10_000 }).toBe(0);
      expect((await b.observe()).receiving).toBe(true);
      await client.end();
    });

    it("is ended by a seal all the same", { timeout: 30_000 }, async () => {
      const { client } = await stopReceiver();
      const startedMs = performance.now();
      await b.run("seal");
      expect(performance.now() - startedMs).toBeLessThan(5_000);
      expect((await b.observe()).receiving).toBe(false);
      await b.follow(a);
      await expect.poll(async () => (await value(b)) === (await value(a)), { timeout: 20_000 }).toBe(true);
      await client.end();
    });
  });

  it("a follower that is far behind does not look as if it were up to date while it catches up", async () => {
    await b.run("seal");
    const client = await cluster.connect(a);
    await client.query(
      "CREATE TABLE catch_up AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, 60000) AS n",
    );
    await client.query("DROP TABLE catch_up");
    await client.end();
    const target = await value(a);
    await b.follow(a);
    const lags: (number | undefined)[] = [];
    for (;;) {
      const { position, receiving, replayLagSeconds } = await b.observe();
      const missing = target - BigInt(position.value);
      if (missing <= 0n) break;
      if (receiving && missing > 1_000_000n) lags.push(replayLagSeconds);
    }
    expect(lags.length).toBeGreaterThan(0);
    expect(lags.filter((lag) => lag === 0)).toEqual([]);
  });

  it("a follower that was started anew does not know how far behind it is before it has replayed a commit", async () => {
    let lagSeconds: number | undefined = Number.NaN;
    // A server's own commit may come between the leader's checkpoint and the follower's, and is replayed then.
    for (let tries = 0; tries < 5 && lagSeconds !== undefined; tries++) {
      const [leads, follows] = [
        await cluster.connect(a, "postgres", "postgres"),
        await cluster.connect(b, "postgres", "postgres"),
      ];
      await leads.query("CHECKPOINT");
      await expect.poll(async () => (await value(b)) === (await value(a))).toBe(true);
      await follows.query("CHECKPOINT");
      await Promise.all([leads.end(), follows.end()]);
      await b.stop();
      lagSeconds = (await b.start()).replayLagSeconds;
      await b.follow(a);
    }
    expect(lagSeconds).toBeUndefined();
  });

  it("a sealed follower receives nothing more while the leader goes on", async () => {
    const client = await cluster.connect(a);
    let n = -100_000_000; // however many it writes, no other test has them, or counts them
    const writing = new AbortController();
    const writer = (async () => {
      while (!writing.signal.aborted) await client.query("INSERT INTO rows VALUES ($1)", [++n]);
    })();
    await pause(100);
    await b.run("seal");
    const sealed = await b.observe();
    const leaderThen = await value(a);
    await pause(200);
    expect(await value(a)).toBeGreaterThan(leaderThen);
    expect(comparePositions((await b.observe()).position, sealed.position)).toBe("equal");
    expect(sealed.receiving).toBe(false);
    await b.follow(a);
    await expect.poll(async () => (await b.observe()).receiving).toBe(true);
    writing.abort();
    await writer;
    await client.end();
  });

  it("a sealed follower receives nothing more, also when its server's processes were not run while it was sealed", async () => {
    await expect.poll(async () => (await b.observe()).receiving).toBe(true);
    const admin = await cluster.connect(b, "postgres", "postgres");
    const { rows } = await admin.query<{ main: number; replay: number }>(
      `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int AS main,
        (SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup') AS replay`,
    );
    await admin.end();
    const { main, replay } = rows[0] ?? { main: 0, replay: 0 };
    expect(Math.min(main, replay)).toBeGreaterThan(0);
    const client = await cluster.connect(a);
    // The main process starts receivers and hands on that the configuration has changed; the replay process asks for receivers.
    process.kill(main, "SIGSTOP");
    try {
      await b.run("seal");
      const sealed = await value(b);
      process.kill(replay, "SIGSTOP");
      process.kill(main, "SIGCONT");
      for (let n = -2_000; n < -1_950; n++) await client.query("INSERT INTO rows VALUES ($1)", [n]);
      await pause(1_000);
      expect(await value(b)).toBe(sealed);
    } finally {
      process.kill(main, "SIGCONT");
      process.kill(replay, "SIGCONT");
    }
    await client.end();
    await b.follow(a);
    await expect.poll(async () => (await value(b)) === (await value(a)), { timeout: 20_000 }).toBe(true);
  });

  it("seals a follower whose replay is held up, with everything it has received", async () => {
    const admin = await cluster.connect(b, "postgres", "postgres");
    await admin.query("SELECT pg_wal_replay_pause()");
    const client = await cluster.connect(a);
    for (let n = -1_000; n < -950; n++) await client.query("INSERT INTO rows VALUES ($1)", [n]);
    await expect.poll(async () => (await value(b)) === (await value(a))).toBe(true);
    const received = await value(b);
    await b.run("seal");
    await client.query("INSERT INTO rows VALUES (-900)");
    expect(await value(b)).toBe(received);
    await admin.query("SELECT pg_wal_replay_resume()");
    await pause(300);
    expect(await b.observe()).toMatchObject({ receiving: false, position: { value: String(received) } });
    await admin.end();
    await client.end();
    await b.follow(a);
  });

  it("a killed follower says where its log ends only when it has replayed all of it", async () => {
    const admin = await cluster.connect(b, "postgres", "postgres");
    await admin.query("SELECT pg_wal_replay_pause()");
    const client = await cluster.connect(a);
    await client.query("CREATE TABLE bulk AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, 60000) AS n");
    await expect.poll(async () => (await value(b)) === (await value(a)), { timeout: 15_000 }).toBe(true);
    const received = await value(b);
    await b.kill();
    await client.end();
    const first = await b.start({}, 5);
    expect(BigInt(first.position.value)).toBe(received);
    await b.follow(a);
  });

  it("positions stay comparable over three failovers, and no acknowledged row is lost", async () => {
    await cluster.setSyncSet(a, [b, c], 1);
    const positions = [(await a.observe()).position];
    let rows = 10_000;
    for (const [from, to, other] of [
      [a, b, c],
      [b, c, a],
      [c, a, b],
    ] as const) {
      const client = await cluster.connect(from);
      for (let i = 0; i < 20; i++) await client.query("INSERT INTO rows VALUES ($1)", [++rows]);
      await from.kill();
      await Promise.all([to.run("seal"), other.run("seal")]);
      const [one, two] = [await to.observe(), await other.observe()];
      const best = ["ahead", "equal"].includes(comparePositions(one.position, two.position)) ? to : other;
      const rest = best === to ? other : to;
      await cluster.promote(best, [rest, from]);
      await rest.follow(best);
      await from.run("rejoin", HostMember.following(best));
      await from.start();
      await from.follow(best);
      const reader = await cluster.connect(best);
      const count = await reader.query("SELECT count(*)::int AS n FROM rows WHERE n > 10000");
      expect(count.rows).toEqual([{ n: rows - 10_000 }]);
      await reader.end();
      const { position } = await best.observe();
      expect(position.history).toBe(String(cluster.epoch + 1));
      for (const older of positions) expect(comparePositions(older, position)).toBe("behind");
      positions.push(position);
      await expect.poll(async () => (await rest.observe()).position.history).toBe(position.history);
      // The next round expects its leader at its place in the list.
      if (best !== to) {
        await best.stop();
        await cluster.promote(to, [best, from]);
        await best.start();
        await best.follow(to);
        await from.run("seal");
        await from.follow(to);
        positions.push((await to.observe()).position);
      }
    }
  });

  it("a follower that was connected before the promotion confirms after it, on the same connection", async () => {
    const { leader, next, rest } = await roles();
    const client = await cluster.connect(leader);
    await client.query("INSERT INTO rows VALUES (50001)");
    await leader.kill();
    await Promise.all([next.run("seal"), rest.run("seal")]);
    const [one, two] = [await next.observe(), await rest.observe()];
    expect([one.position, two.position].map(({ sendable }) => sendable)).toEqual([true, true]);
    const [best, other] = comparePositions(two.position, one.position) === "ahead" ? [rest, next] : [next, rest];
    await other.follow(best);
    await expect.poll(async () => (await best.observe()).followers.map(({ streaming }) => streaming)).toEqual([true]);
    const admin = await cluster.connect(best, "postgres", "postgres");
    const sender = async (): Promise<unknown> =>
      (await admin.query("SELECT pid, backend_start, sync_state FROM pg_stat_replication")).rows[0];
    const before = await sender();
    expect(before).toMatchObject({ sync_state: "async" });
    await cluster.promote(best, [other, leader]);
    const writer = await cluster.connect(best);
    await writer.query("INSERT INTO rows VALUES (50002)");
    expect(await sender()).toEqual({ ...(before as object), sync_state: "quorum" });
    const reader = await cluster.connect(other);
    await expect
      .poll(async () => (await reader.query("SELECT n FROM rows WHERE n > 50000 ORDER BY n")).rows.map(({ n }) => n))
      .toEqual(["50001", "50002"]);
    await Promise.all([admin, writer, reader].map((connection) => connection.end()));
    await leader.run("rejoin", HostMember.following(best));
    await leader.start();
    await leader.follow(best);
    await expect.poll(async () => (await leader.observe()).receiving).toBe(true);
  });

  it("a sealed follower that cannot replay all it holds is not to be received from", async () => {
    const { leader, next } = await roles();
    const admin = await cluster.connect(next, "postgres", "postgres");
    await admin.query("SELECT pg_wal_replay_pause()");
    const client = await cluster.connect(leader);
    await client.query("INSERT INTO rows VALUES (60001)");
    await client.end();
    await expect.poll(async () => (await value(next)) === (await value(leader))).toBe(true);
    await next.run("seal");
    expect((await next.observe()).position.sendable).toBeUndefined();
    await admin.query("SELECT pg_wal_replay_resume()");
    await expect.poll(async () => (await next.observe()).position.sendable).toBe(true);
    await admin.end();
    await next.follow(leader);
    await expect.poll(async () => (await next.observe()).receiving).toBe(true);
    expect((await next.observe()).position.sendable).toBeUndefined();
  });

  it("a planned stop leaves the followers with every byte", async () => {
    const { leader, next, rest } = await roles();
    await expect.poll(async () => (await leader.observe()).followers.filter((one) => one.streaming).length).toBe(2);
    await leader.stop();
    const [one, two] = [await next.observe(), await rest.observe()];
    expect(one.position).toEqual(two.position);
    // It is a proper prefix of the new leader's history: nothing to rewind.
    await cluster.promote(next, [rest, leader]);
    const result = await leader.run("rejoin", HostMember.following(next));
    expect(result.stdout).toContain("nothing diverged");
  });
});
