/**
 * A message broker under real agents: members are killed, all at once, too, the group rolls, grows and shrinks, and no message
 * that was confirmed is lost. Times are printed, never asserted.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { QueueClient } from "../../hack/scenario/queue-client.ts";
import { pause } from "../../hack/scenario/shell.ts";
import { hasRabbitmq } from "../engine/host-rabbitmq.ts";
import { GroupCluster } from "./group-cluster.ts";
import { type HostEngine, MemberCluster } from "./harness.ts";

const BROKER: HostEngine = {
  name: "rabbitmq",
  user: { uid: 65534, gid: 65534 },
  programs: {}, // of the host's package
  memoryBytes: 512 * 1024 * 1024,
  patienceMs: 240_000,
};

describe.skipIf(!hasRabbitmq)("a broker under a client that counts", { timeout: 900_000 }, () => {
  let group: GroupCluster;

  beforeAll(async () => {
    group = new GroupCluster(await MemberCluster.create(5, BROKER, 1));
    await group.begin();
  }, 300_000);
  afterAll(() => group.end());

  /** Runs `changes` under a client, and judges what it saw. */
  async function expectNothingLost(what: string, changes: () => Promise<void>): Promise<void> {
    const client = new QueueClient(() => group.addresses(), await group.cluster.password("app"));
    client.start();
    await group.cluster.until("messages", () => Promise.resolve(client.confirmed > 20 ? true : undefined));
    await changes();
    const { confirmed } = client;
    await group.cluster.until("more messages", () =>
      Promise.resolve(client.confirmed > confirmed + 20 ? true : undefined),
    );
    const verdict = await client.finish();
    process.stdout.write(`  ${what}: ${JSON.stringify(verdict)}\n`);
    expect(verdict).toMatchObject({ lost: 0, missed: 0 });
    for (const seen of group.lists) expect(seen.filter((id) => id.endsWith("?")).length).toBeLessThanOrEqual(1);
  }

  async function resize(ordinals: readonly number[]): Promise<void> {
    await group.changeTo(ordinals, () => Promise.resolve());
  }

  test("1 → 3 members", () =>
    expectNothingLost("1 → 3", async () => {
      await resize([0, 1]);
      await resize([0, 1, 2]);
    }));

  test("a member that does not lead is killed, then the leader", () =>
    expectNothingLost("killed", async () => {
      const leader = await group.untilWhole();
      const [follower] = group.cluster.members.slice(0, 3).filter((member) => member !== leader);
      for (const victim of [follower, leader]) {
        if (victim === undefined) throw new Error("no member");
        await group.killAndRestart(victim);
        await pause(2000);
        await untilAllServe();
      }
    }));

  test("all members are killed at once", () =>
    expectNothingLost("all killed", async () => {
      const all = group.cluster.members.slice(0, 3);
      await Promise.all(all.map((member) => group.cluster.kill(member)));
      for (const member of all) group.cluster.run(member);
      await untilAllServe();
    }));

  test("all members are killed at once, and one of them does not come back", () =>
    expectNothingLost("one does not come back", async () => {
      const all = group.cluster.members.slice(0, 3);
      await Promise.all(all.map((member) => group.cluster.kill(member)));
      const [missing, ...others] = all;
      for (const member of others) group.cluster.run(member);
      await group.cluster.until("two of three to go on", async () =>
        (await group.leader()) === undefined ? undefined : true,
      );
      if (missing !== undefined) group.cluster.run(missing);
      await untilAllServe();
    }));

  test("one after the other is restarted as a roll does it, the leader last and after it handed over", () =>
    expectNothingLost("roll", async () => {
      const leader = await group.untilWhole();
      const followers = group.cluster.members.slice(0, 3).filter((member) => member !== leader);
      for (const member of followers) {
        await group.cluster.terminate(member);
        group.cluster.run(member);
        await untilAllServe();
      }
      const [heir] = followers;
      const request = { id: "roll", from: leader.name, to: heir?.name ?? null };
      await group.cluster.want({ switchover: request });
      await group.cluster.until("the lead to be handed over", async () =>
        (await group.cluster.report(leader))?.switchover?.result === "Done" ? true : undefined,
      );
      await group.cluster.terminate(leader);
      group.cluster.run(leader);
      await untilAllServe();
    }));

  test("3 → 5 → 3 members", () =>
    expectNothingLost("3 → 5 → 3", async () => {
      for (const size of [4, 5, 4, 3]) await resize(Array.from({ length: size }, (_, ordinal) => ordinal));
    }));

  test("a member whose volume is lost joins anew under another identity", () =>
    expectNothingLost("volume lost", async () => {
      const leader = await group.untilWhole();
      const [victim] = group.cluster.members.slice(0, 3).filter((member) => member !== leader);
      if (victim === undefined) throw new Error("no member");
      const before = (await group.leader())?.members.find(({ name }) => name === victim.name)?.id;
      await group.cluster.kill(victim);
      await group.cluster.loseVolume(victim);
      group.cluster.run(victim);
      await group.cluster.until("another identity", async () => {
        const found = (await group.leader())?.members.find(({ name }) => name === victim.name);
        return found !== undefined && found.id !== before && found.votes ? true : undefined;
      });
      await group.untilWhole();
    }));

  test("a majority that is lost for good is told of, and a person chooses the copy to go on from", async () => {
    const client = new QueueClient(() => group.addresses(), await group.cluster.password("app"));
    client.start();
    await group.cluster.until("messages", () => Promise.resolve(client.confirmed > 50 ? true : undefined));
    const [founder, ...others] = group.cluster.members.slice(0, 3);
    if (founder === undefined) throw new Error("no member");
    for (const member of others) {
      await group.cluster.kill(member);
      await group.cluster.loseVolume(member);
    }
    await group.cluster.until("the loss to be told", async () =>
      (await group.statusOf(founder))?.verdict?.reason === "QuorumLost" ? true : undefined,
    );
    for (const member of others) group.cluster.run(member);
    await pause(5000);
    expect(await group.leader()).toBeUndefined();
    await group.cluster.want({ group: { incarnation: 1, founder: founder.name, request: "test" } });
    await group.untilWhole();
    const { confirmed } = client;
    await group.cluster.until("more messages", () =>
      Promise.resolve(client.confirmed > confirmed + 20 ? true : undefined),
    );
    const verdict = await client.finish();
    process.stdout.write(`  recovered: ${JSON.stringify(verdict)}\n`);
    // The copy may have lacked the last of them: it had to be on two of three members, and those two are gone.
    expect(verdict.lost).toBeLessThanOrEqual(1);
  });

  test("nothing that the agents asked for meanwhile was refused", async () => {
    expect((await group.cluster.rights()).refused).toEqual([]);
  });

  /** Waits until every listed member is up, and in sync. */
  async function untilAllServe(): Promise<void> {
    await group.untilWhole();
    const { members } = group.cluster.intent;
    await group.cluster.until("all members to serve", async () => {
      const listed = group.cluster.members.filter(({ name }) => members.some((one) => one.name === name));
      const reports = await Promise.all(listed.map((member) => group.cluster.report(member)));
      const isReady = await Promise.all(listed.map((member) => group.isReady(member)));
      return reports.every((report) => report?.state === "Running") && isReady.every(Boolean) ? true : undefined;
    });
  }
});
