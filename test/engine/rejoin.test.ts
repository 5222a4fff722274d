import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { hasServer, PostgresCluster } from "./host-cluster.ts";
import { untilCaughtUp } from "../../src/conformance/check.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const ports = await claimPorts(3);

describe.skipIf(!hasServer)("a member that comes back", () => {
  let cluster: PostgresCluster;
  let [a, b, c]: HostMember[] = [];
  const get = (member: HostMember | undefined): HostMember => {
    if (member === undefined) throw new Error("not formed");
    return member;
  };
  const clusters: PostgresCluster[] = [];

  beforeEach(async () => {
    for (const former of clusters.splice(0)) await former.close();
    cluster = new PostgresCluster(ports);
    clusters.push(cluster);
    [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
    // The Engine keeps more by default; with nothing a leader may drop what a member that was just cloned has yet to receive.
    for (const member of [a, b, c]) writeFileSync(member.parametersFile, "wal_keep_size\t12MB\n");
    await cluster.form();
    await sql(get(a), "CREATE TABLE rows (n bigint PRIMARY KEY)");
    await untilCaughtUp(get(a), get(b), get(c)); // so that any of them can lead
  });
  afterAll(async () => {
    for (const former of clusters) await former.close();
  });

  const sql = async (member: HostMember, ...statements: string[]): Promise<unknown[]> => {
    const client = await cluster.connect(member);
    try {
      let rows: unknown[] = [];
      for (const statement of statements) rows = (await client.query(statement)).rows;
      return rows;
    } finally {
      await client.end();
    }
  };
  const rowsOf = (member: HostMember): Promise<unknown[]> => sql(member, "SELECT n::int FROM rows ORDER BY n");

  /** Rows that only `member` has, in a log that nobody receives; then it is killed. The others have the same log. */
  const growTailAndKill = async (member: HostMember, from: number): Promise<void> => {
    const others = cluster.members.filter((other) => other !== member && other.running);
    await untilCaughtUp(member, ...others);
    for (const other of others) await other.run("seal");
    await sql(
      member,
      "SET synchronous_commit = local",
      `INSERT INTO rows SELECT generate_series(${from}, ${from + 99})`,
    );
    await member.kill();
  };

  const comeBack = async (member: HostMember, leader: HostMember): Promise<void> => {
    await member.start();
    await member.follow(leader);
    // One that is only connecting when its leader stops is not sent the end of the log, and must not lead then.
    const isStreaming = async () =>
      (await leader.observe()).followers.some(({ name, streaming }) => name === member.name && streaming);
    await expect.poll(isStreaming).toBe(true);
    await expect.poll(async () => (await member.observe()).receiving).toBe(true);
  };

  it("a killed leader is rewound, and says what it lost, although the new leader had made no checkpoint", async () => {
    const [old, next, rest] = [get(a), get(b), get(c)];
    await sql(old, "INSERT INTO rows VALUES (1)");
    await growTailAndKill(old, 100);
    await cluster.promote(next, [rest, old]);
    await rest.follow(next);
    await sql(next, "INSERT INTO rows VALUES (2)");
    const admin = await cluster.connect(next, "postgres", "postgres");
    const before = await admin.query("SELECT timeline_id AS n FROM pg_control_checkpoint()");
    const result = await old.run("rejoin", HostMember.following(next));
    const after = await admin.query("SELECT timeline_id AS n FROM pg_control_checkpoint()");
    await admin.end();
    expect([before.rows, after.rows]).toEqual([[{ n: 2 }], [{ n: 3 }]]);
    expect(result.stdout).toMatch(
      /^rewound: timeline 2 from [0-9A-F/]+ to [0-9A-F/]+ \(\d+ bytes\) is not in the leader's timeline 3\n$/,
    );
    await comeBack(old, next);
    await expect.poll(() => rowsOf(old)).toEqual([{ n: 1 }, { n: 2 }]);
  });

  /** What a follower has that is killed when it begins to receive a new timeline: its history, and a first piece with `kept` bytes in it. */
  const beginTimeline = (member: HostMember, leader: HostMember, kept: number): void => {
    const [own, other] = [member, leader].map((one) => join(one.dataDir, "pg_wal"));
    const newest = (pattern: RegExp) =>
      readdirSync(other ?? "")
        .filter((name) => pattern.test(name))
        .toSorted()
        .at(-1) ?? "";
    const history = newest(/\.history$/);
    copyFileSync(join(other ?? "", history), join(own ?? "", history));
    const first = readdirSync(other ?? "").find((name) => name.startsWith(history.slice(0, 8)) && name.length === 24);
    const piece = readFileSync(join(other ?? "", first ?? ""));
    writeFileSync(join(own ?? "", first ?? ""), piece.fill(0, kept));
  };

  it.each([0, 8192])(
    "a follower killed when it had %i bytes of a new timeline answers by itself, and follows",
    async (kept) => {
      const [old, next, rest] = [get(a), get(b), get(c)];
      await sql(old, "INSERT INTO rows SELECT generate_series(1, 2000)"); // more than a page
      await untilCaughtUp(old, next, rest);
      await rest.kill();
      await old.stop();
      await cluster.promote(next, [], 0);
      beginTimeline(rest, next, kept);
      await rest.start();
      await rest.follow(next);
      await expect.poll(() => sql(rest, "SELECT count(*)::int AS n FROM rows")).toEqual([{ n: 2000 }]);
    },
  );

  it("follow refuses a tail before connecting: nothing is confirmed that the member does not have", async () => {
    const [old, next, rest] = [get(a), get(b), get(c)];
    await growTailAndKill(old, 100);
    await rest.stop();
    await cluster.promote(next, [old], 1);
    await old.start();
    const client = await cluster.connect(next);
    let answered = false;
    const write = client.query("INSERT INTO rows VALUES (7)").then(
      () => void (answered = true),
      () => undefined,
    );
    await expect(old.follow(next)).rejects.toMatchObject({
      code: 3,
      message: expect.stringMatching(/diverged: timeline 3 left timeline 2 at [0-9A-F/]+, this member has replayed/),
    });
    await pause(300);
    expect(answered).toBe(false);
    expect((await next.observe()).followers).toEqual([]);
    // Stopped cleanly, its log's end is known: it is rewound, follows, and only then confirms.
    await old.stop();
    await old.run("rejoin", HostMember.following(next));
    await comeBack(old, next);
    await write;
    expect(answered).toBe(true);
    await client.end();
  });

  it("a follower past the fork is rewound, too", async () => {
    const [old, next, rest] = [get(a), get(b), get(c)];
    // c receives what b does not: it is ahead when b, for the test's sake, is promoted all the same.
    await next.run("seal");
    await sql(old, "INSERT INTO rows VALUES (1)");
    await old.kill();
    await rest.run("seal");
    await cluster.promote(next, [rest]);
    await expect(rest.follow(next)).rejects.toMatchObject({ code: 3 });
    await rest.stop();
    const result = await rest.run("rejoin", HostMember.following(next));
    expect(result.stdout).toMatch(/^rewound: timeline 2 /);
    await comeBack(rest, next);
    expect(await rowsOf(rest)).toEqual([]);
  });

  it("a killed member without a tail just follows: nothing is rewound", async () => {
    const [old, next, rest] = [get(a), get(b), get(c)];
    await sql(old, "INSERT INTO rows VALUES (1)");
    await expect
      .poll(async () => (await next.observe()).position.value === (await old.observe()).position.value)
      .toBe(true);
    await rest.kill();
    await old.kill();
    await cluster.promote(next, []);
    for (const member of [old, rest]) {
      const result = await member.run("rejoin", HostMember.following(next));
      expect(result.stdout).toMatch(/^nothing diverged: /);
      await comeBack(member, next);
      expect(await rowsOf(member)).toEqual([{ n: 1 }]);
    }
    // On the leader's own timeline there is nothing to compare.
    await sql(next, "INSERT INTO rows VALUES (2)");
    await expect.poll(() => rowsOf(rest)).toHaveLength(2);
    await rest.kill();
    const again = await rest.run("rejoin", HostMember.following(next));
    expect(again.stdout).toBe("nothing diverged: on the leader's timeline 3\n");
  });

  it("two promotions from one timeline, neither knowing of the other, get two timelines", async () => {
    const [old, next, rest] = [get(a), get(b), get(c)];
    await old.kill();
    await Promise.all([next.run("seal"), rest.run("seal")]);
    await cluster.promote(next, []);
    await sql(next, "INSERT INTO rows VALUES (10)");
    await next.kill();
    await cluster.promote(rest, []);
    await sql(rest, "INSERT INTO rows VALUES (11)");
    expect((await rest.observe()).position).toMatchObject({
      history: "4",
      ancestors: [{ history: "1" }, { history: "2" }],
    });
    const result = await next.run("rejoin", HostMember.following(rest));
    expect(result.stdout).toMatch(/^rewound: timeline 3 /);
    await comeBack(next, rest);
    await expect.poll(() => rowsOf(next)).toEqual([{ n: 11 }]);
    // a still is on timeline 2 and asks for every history file from there on, the skipped one included.
    await old.run("rejoin", HostMember.following(rest));
    await comeBack(old, rest);
    await expect.poll(() => rowsOf(old)).toEqual([{ n: 11 }]);
    // A clone of this leader leads next: it must have those files as well.
    await cluster.setSyncSet(rest, [next], 1);
    await old.stop();
    await old.run("clone", HostMember.following(rest));
    await comeBack(old, rest);
    await rest.stop();
    await cluster.promote(old, []);
    await next.run("seal");
    await next.follow(old);
    await expect.poll(async () => (await next.observe()).position.history).toBe("5");
  });

  it("says 3 when the log it needs is gone, or a rewind was cut short; a clone always helps", async () => {
    const [old, next, rest] = [get(a), get(b), get(c)];
    await growTailAndKill(old, 100);
    await cluster.promote(next, [rest]);
    await rest.follow(next);
    await sql(next, "INSERT INTO rows VALUES (1)");

    // Its own log no longer reaches back to the fork.
    const wal = join(old.dataDir, "pg_wal");
    const segments = readdirSync(wal).filter((name) => /^[0-9A-F]{24}$/.test(name));
    const kept = segments.toSorted().at(-1);
    writeFileSync(`${old.dataDir}.rewinding`, "");
    await expect(old.run("rejoin", HostMember.following(next))).rejects.toMatchObject({ code: 3 });
    await expect(old.run("configure")).rejects.toMatchObject({ code: 3 });
    rmSync(`${old.dataDir}.rewinding`);
    for (const name of segments) if (name !== kept || segments.length === 1) rmSync(join(wal, name));
    await expect(old.run("rejoin", HostMember.following(next))).rejects.toMatchObject({ code: 3 });

    writeFileSync(`${old.dataDir}.rewinding`, "");
    const result = await old.run("clone", { ...HostMember.following(next), QUORATE_KEEP_DIVERGED: "1" });
    expect(result.stdout).toMatch(
      /^kept the former data in .*\.diverged\.\d{8}T\d{6}Z\ncloned from orders-b: \d+ MB\n$/,
    );
    expect(readdirSync(dirname(old.dataDir)).filter((name) => name.includes(".diverged."))).toHaveLength(1);
    await comeBack(old, next);
    await expect.poll(() => rowsOf(old)).toEqual([{ n: 1 }]);
  });

  it("rejoin fails, and does not say 3, when the leader does not answer or is not promoted yet", async () => {
    const [old, next] = [get(a), get(b)];
    await old.kill();
    await expect(old.run("rejoin", HostMember.following(next))).rejects.toMatchObject({ code: 1 });
    await next.stop();
    await expect(old.run("rejoin", HostMember.following(next))).rejects.toMatchObject({ code: 1 });
  });

  it("a clone that is cut short leaves the old data, and succeeds when it is done again", async () => {
    const [leader, member] = [get(a), get(b)];
    await member.stop();
    const cut = new AbortController();
    const clone = member.driver.run("clone", HostMember.following(leader), cut.signal);
    await expect.poll(() => existsSync(`${member.dataDir}.cloning`), { interval: 2 }).toBe(true);
    cut.abort();
    await expect(clone).rejects.toMatchObject({ code: 125 });
    expect(existsSync(join(member.dataDir, "PG_VERSION"))).toBe(true);
    await member.run("clone", HostMember.following(leader));
    expect(readdirSync(dirname(member.dataDir)).toSorted()).toEqual(["engine", "engine.lock"]);
    await comeBack(member, leader);
  });
});
