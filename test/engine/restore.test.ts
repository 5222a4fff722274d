/** What a restored cluster forgets of the one that its backup was taken of: epochs, and passwords of accounts that were made for applications. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, describe, expect, it } from "vitest";
import { testPasswords } from "../../src/conformance/credentials.ts";
import { HostCluster, type HostSoftware } from "../../src/conformance/host-cluster.ts";
import { HostGroup } from "../../src/conformance/host-group.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { hasServer } from "./host-cluster.ts";
import { hasMariadb } from "./host-mariadb.ts";
import { hasRabbitmq } from "./host-rabbitmq.ts";
import { hasRedis } from "./host-redis.ts";
import { ETCD, GALERA, POSTGRES, RABBITMQ, REDIS, software, type Subject } from "./trial.ts";

/** An epoch that the new cluster is far from. */
const EPOCH = 7;

const folder = mkdtempSync(join(tmpdir(), "quorate-restore-"));
chmodSync(folder, 0o755); // servers read the list of accounts there
afterAll(() => rmSync(folder, { recursive: true }));

/** One member that leads, or the folder of one that is to be restored. */
interface Alone {
  readonly member: HostMember;
  /** Of the account `shop`. */
  readonly password: string;
  readonly restore: (file: string) => Promise<void>;
  /** Starts it and lets it lead in this epoch. */
  readonly lead: (epoch: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** A member with passwords that no other one has, the application `shop`'s among them. */
async function prepare(subject: Subject): Promise<Alone> {
  const tried = software(subject);
  const passwords = testPasswords([...tried.spec.accounts, { name: "shop" }]);
  return tried.spec.topologies.includes("ActivePassive")
    ? prepareLease({ ...tried, passwords })
    : prepareGroup({ ...tried, passwords });
}

async function prepareLease(tried: HostSoftware): Promise<Alone> {
  const cluster = new HostCluster(await claimPorts(1), tried);
  const member = cluster.member(0);
  return {
    member,
    password: tried.passwords["shop"] ?? "",
    restore: (file) => member.restore(file),
    lead: async (epoch) => {
      await member.start();
      cluster.epoch = epoch - 1;
      await cluster.promote(member, []);
    },
    close: () => cluster.close(),
  };
}

async function prepareGroup(tried: HostSoftware): Promise<Alone> {
  const group = await HostGroup.create(1, tried);
  const seat = group.seat(0);
  const isActive = tried.spec.topologies.includes("ActiveActive");
  return {
    member: seat.host,
    password: tried.passwords["shop"] ?? "",
    restore: (file) => seat.volume.whileIncomplete(() => seat.host.restore(file)),
    lead: async () => {
      await seat.start([], isActive ? "Found" : "Join");
      await seat.until(({ leads, serves }) => serves && (leads || isActive), "it does not come up");
    },
    close: () => group.close(),
  };
}

async function makeAccounts({ member }: Alone, epoch: number): Promise<void> {
  const list = join(folder, "accounts");
  writeFileSync(list, "app\tapp\tapp\nshop\tgoods\tshop\n", { mode: 0o644 });
  await member.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: list, QUORATE_EPOCH: String(epoch) });
}

/** Takes a backup of a cluster in which accounts were made in {@link EPOCH}, and gives it to an empty member. */
async function restoreFrom(origin: Alone, restored: Alone): Promise<void> {
  const file = join(folder, origin.member.name);
  await origin.member.run("initialize");
  await origin.lead(EPOCH);
  await makeAccounts(origin, EPOCH);
  await origin.member.backUp(file);
  await restored.restore(file);
}

describe("a restored cluster makes accounts in its first epochs, with passwords of its own", {
  timeout: 120_000,
}, () => {
  const all: readonly (readonly [Subject, boolean])[] = [
    [POSTGRES, hasServer],
    [ETCD, true],
    [REDIS, hasRedis],
    [GALERA, hasMariadb],
    [RABBITMQ, hasRabbitmq],
  ];
  const here = all.flatMap(([subject, isHere]) => (isHere ? [[subject.name, subject] as const] : []));

  it.each(here)("%s", async (_, subject) => {
    const [origin, restored] = [await prepare(subject), await prepare(subject)];
    try {
      await restoreFrom(origin, restored);
      await restored.lead(1);
      const [former, own] = await Promise.all([origin, restored].map(({ member }) => member.driver.observe()));
      expect(own?.position.history).not.toBe(former?.position.history);
      await makeAccounts(restored, 1);
      await makeAccounts(restored, 2);
    } finally {
      await origin.close();
      await restored.close();
    }
  });
});

describe.skipIf(!hasServer)("PostgreSQL", () => {
  it("goes on from the timeline that the copy ended on, and opens to no password of before", async () => {
    const [origin, restored] = [await prepare(POSTGRES), await prepare(POSTGRES)];
    try {
      await restoreFrom(origin, restored);
      expect((await origin.member.observe()).position.history).toBe(String(EPOCH + 1));
      await restored.lead(3);
      const { history, ancestors } = (await restored.member.observe()).position;
      expect(history).toBe(String(EPOCH + 1 + 3));
      expect(ancestors.map((one) => one.history)).toEqual([String(EPOCH + 1)]);
      const { password } = origin;
      const client = new Client({
        host: "127.0.0.1",
        port: restored.member.port,
        user: "shop",
        database: "goods",
        password,
      });
      await expect(client.connect()).rejects.toThrow("password authentication failed");
      await makeAccounts(restored, 3);
    } finally {
      await origin.close();
      await restored.close();
    }
  });

  it("can be backed up again after a backup was killed", async () => {
    const origin = await prepare(POSTGRES);
    try {
      await origin.member.run("initialize");
      await origin.lead(1);
      for (const afterMs of [50, 200, 400])
        await expect(
          origin.member.driver.cutShort(afterMs, async () => {
            for (;;) await origin.member.driver.run("backup");
          }),
        ).rejects.toThrow("ended on request");
      await origin.member.backUp(join(folder, "again"));
    } finally {
      await origin.close();
    }
  });
});
