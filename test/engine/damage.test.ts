/** Real damage in the copy of a member is found by verify, and only there; repair mends what can be mended in place. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formActive } from "../../src/conformance/active-checks.ts";
import { formConsensus } from "../../src/conformance/consensus-group.ts";
import { exitCode, IMPOSSIBLE, untilCaughtUp } from "../../src/conformance/check.ts";
import { membersSeenBy } from "../../src/conformance/group-checks.ts";
import { HostGroup } from "../../src/conformance/host-group.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { hasServer, PostgresCluster } from "./host-cluster.ts";
import { hasMariadb } from "./host-mariadb.ts";
import { ETCD, GALERA, software } from "./trial.ts";

describe.skipIf(!hasServer)("PostgreSQL", () => {
  let cluster: PostgresCluster;
  let leader: HostMember;
  let follower: HostMember;

  beforeAll(async () => {
    cluster = new PostgresCluster(await claimPorts(2));
    await cluster.form();
    [leader, follower] = [cluster.member(0), cluster.member(1)];
    const client = await cluster.connect(leader);
    await client.query("CREATE TABLE goods (id int PRIMARY KEY, name text)");
    await client.query("INSERT INTO goods SELECT n, repeat('x', 100) FROM generate_series(1, 20000) AS n");
    await client.end();
  });
  afterAll(() => cluster.close());

  /** Files of a member, stopped so that they are whole, with a byte of a page in the middle changed, and the member started again. */
  async function damage(member: HostMember, relation: string): Promise<void> {
    const client = await cluster.connect(leader);
    const { rows } = await client.query<{ path: string }>("SELECT pg_relation_filepath($1) AS path", [relation]);
    await client.end();
    await member.run("checkpoint");
    await member.stop();
    const file = join(member.dataDir, rows[0]?.path ?? "");
    const bytes = readFileSync(file);
    const at = Math.floor(bytes.length / 8192 / 2) * 8192 + 4000;
    bytes[at] = 255 - (bytes[at] ?? 0);
    writeFileSync(file, bytes);
  }

  it("finds nothing in copies that are whole", async () => {
    const onLeader = await leader.driver.verify();
    expect(onLeader).toEqual({ checked: expect.stringMatching(/pages, and \d+ indexes of 3 databases/), damage: [] });
    await untilCaughtUp(leader, follower);
    expect(await follower.driver.verify(HostMember.following(leader))).toEqual({ ...onLeader, damage: [] });
    expect((await leader.run("repair")).stdout).toContain("nothing is damaged");
  });

  it("finds a page of a follower's index that was changed, and nothing on the leader", async () => {
    await damage(follower, "goods_pkey");
    await follower.start();
    await follower.follow(leader);
    const { damage: found } = await follower.driver.verify(HostMember.following(leader));
    expect(found.join()).toContain("goods_pkey in database app");
    expect((await leader.driver.verify()).damage).toEqual([]);
    expect(await exitCode(follower.run("repair"))).toBe(IMPOSSIBLE);
  });

  it("mends a leader's index, and not its table", async () => {
    await cluster.setSyncSet(leader, [], 0);
    await damageLeader("goods_pkey");
    expect((await leader.driver.verify()).damage.join()).toContain("goods_pkey");
    await leader.run("repair");
    expect((await leader.driver.verify()).damage).toEqual([]);
    await damageLeader("goods");
    expect((await leader.driver.verify()).damage.join()).toContain("a page of goods in database app");
    expect(await exitCode(leader.run("repair"))).toBe(IMPOSSIBLE);
  });

  async function damageLeader(relation: string): Promise<void> {
    await damage(leader, relation);
    await leader.start();
    await cluster.promote(leader, []);
  }
});

describe("etcd", () => {
  it("finds keys of a member that are not those of the others", async () => {
    const group = await HostGroup.create(3, software(ETCD));
    try {
      await formConsensus(group.seats);
      const [first, , last] = [group.seat(0), group.seat(1), group.seat(2)];
      await first.writeTimes(3);
      for (const { host } of group.seats) expect((await host.driver.verify()).damage).toEqual([]);
      await last.host.stop();
      const file = join(last.host.dataDir, "member/snap/db");
      const text = readFileSync(file, "latin1");
      const value = `${first.name} 1`;
      expect(text).toContain(value);
      writeFileSync(file, text.replaceAll(value, value.toUpperCase()), "latin1");
      await last.start([]);
      await last.until(({ serves }) => serves, "it does not come back");
      const found = (await last.host.driver.verify()).damage;
      expect(found.join()).toMatch(/^at revision \d+ keys differ from those of orders-a,orders-b$/);
      expect((await first.host.driver.verify()).damage).toEqual([]);
    } finally {
      await group.close();
    }
  });
});

describe.skipIf(!hasMariadb)("MariaDB", () => {
  it("finds a page of a member's table that was changed, and nothing elsewhere", async () => {
    const group = await HostGroup.create(2, software(GALERA));
    try {
      await formActive(group.seats);
      const [first, last] = [group.seat(0), group.seat(1)];
      await first.write();
      for (const { host } of group.seats)
        expect(await host.driver.verify()).toEqual({
          checked: expect.stringMatching(/^(\d+) of \1 tables$/),
          damage: [],
        });
      await last.host.stop();
      const file = join(last.host.dataDir, "quorate/heartbeat.ibd");
      const bytes = readFileSync(file);
      bytes.fill(0xa5, 3 * 16_384 + 200, 3 * 16_384 + 300);
      writeFileSync(file, bytes);
      await last.start(await membersSeenBy(first));
      await last.until(({ serves }) => serves, "it does not come back");
      expect((await last.host.driver.verify()).damage.join()).toContain("table quorate.heartbeat");
      expect((await first.host.driver.verify()).damage).toEqual([]);
    } finally {
      await group.close();
    }
  });
});
