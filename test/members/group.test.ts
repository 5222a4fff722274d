/**
 * A group whose engine elects its leader itself, under real agents: members come and go one at a time, containers are killed
 * between every two steps and volumes get lost, and no acknowledged key is lost. Times are printed, never asserted.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KeyClient } from "../../hack/scenario/key-client.ts";
import { pause } from "../../hack/scenario/shell.ts";
import { binary } from "../api/harness.ts";
import { GroupCluster } from "./group-cluster.ts";
import { type HostEngine, MemberCluster } from "./harness.ts";

const ETCD: HostEngine = {
  name: "etcd",
  user: { uid: 65534, gid: 65534 },
  programs: { etcd: binary("etcd"), etcdctl: binary("etcdctl") },
};

/** How many changes the random walk makes, and how it is drawn; `CHANGES=200` is the long run. */
const CHANGES = Number(process.env["CHANGES"] ?? "4");
const SEED = Number(process.env["SEED"] ?? "1");

let group: GroupCluster;

beforeAll(async () => {
  group = new GroupCluster(await MemberCluster.create(5, ETCD, 1));
  await group.begin();
});
afterAll(() => group.end());

/** A client of those that are listed. */
async function keyClient(): Promise<KeyClient> {
  return new KeyClient(() => group.addresses(), await group.cluster.password("app"));
}

/** Numbers that are the same for the same seed (a linear congruential generator). */
function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

/** Runs `changes` under a client and judges what the client saw, and how the lists changed. */
async function expectNothingLost(changes: () => Promise<void>): Promise<void> {
  const client = await keyClient();
  client.start();
  const before = group.lists.length;
  await changes();
  const acked = client.acked;
  await group.cluster.until("writes to go on", () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
  const verdict = await client.finish();
  process.stdout.write(`  ${JSON.stringify({ ...verdict, lists: group.lists.length - before })}\n`);
  expect(verdict).toMatchObject({ lost: 0, stale: 0 });
  // Some changes are too quick to be seen; but there is never more than one that learns.
  for (const seen of group.lists) expect(seen.filter((id) => id.endsWith("?")).length).toBeLessThanOrEqual(1);
}

describe("a group under a client that counts", () => {
  test("1 → 3 → 5 → 3, a container killed during every step", { timeout: 900_000 }, () =>
    expectNothingLost(async () => {
      for (const size of [2, 3, 4, 5, 4, 3]) {
        const ordinals = Array.from({ length: size }, (_, ordinal) => ordinal);
        await group.changeTo(ordinals, async () => {
          await pause(500);
          const victim = group.cluster.members[size % 3];
          if (victim !== undefined) await group.killAndRestart(victim);
        });
      }
    }),
  );

  test("members count what it asks and how long that took, and tell how far apart they are", {
    timeout: 180_000,
  }, async () => {
    await group.changeTo([0, 1, 2], () => Promise.resolve());
    const client = await keyClient();
    client.start();
    const shown = async (series: RegExp): Promise<number> => {
      const texts = group.cluster.intent.members.map(async ({ name }) => {
        const health = group.cluster.members.find((member) => member.name === name)?.ports.health ?? 0;
        return (await fetch(`http://127.0.0.1:${health}/metrics`)).text();
      });
      const lines = (await Promise.all(texts)).flatMap((text) => text.split("\n").filter((line) => series.test(line)));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    };
    await group.cluster.until("requests that are counted", async () => {
      const served = await shown(/^quorate_member_requests_total\{.*result="good"/);
      return client.acked > 20 && served > 20 ? true : undefined;
    });
    const all = await shown(/^quorate_member_request_seconds_bucket\{.*le="\+Inf"/);
    const within10s = await shown(/^quorate_member_request_seconds_bucket\{.*le="10"/);
    expect(all).toBeGreaterThan(20);
    expect(within10s).toBeGreaterThan(all * 0.9);
    expect(await shown(/^quorate_member_request_seconds_sum\{/)).toBeGreaterThan(0);
    expect(await shown(/^quorate_member_heartbeat_seconds_count\{/)).toBeGreaterThan(0);
    await client.finish();
  });

  test(`${CHANGES} random changes, kills and lost volumes`, { timeout: 60_000 + CHANGES * 90_000 }, () =>
    expectNothingLost(async () => {
      const draw = drawer(SEED);
      let ordinals = [0, 1, 2];
      for (let change = 0; change < CHANGES; change++) {
        const isGrowing = ordinals.length < 3 || (ordinals.length < 5 && draw(2) === 0);
        const outside = [0, 1, 2, 3, 4].filter((ordinal) => !ordinals.includes(ordinal));
        const one = isGrowing ? outside[draw(outside.length)] : ordinals[draw(ordinals.length)];
        if (one === undefined) throw new Error("nobody to add or remove");
        ordinals = isGrowing ? [...ordinals, one] : ordinals.filter((ordinal) => ordinal !== one);
        const victim = group.cluster.members[ordinals[draw(ordinals.length)] ?? 0];
        await group.changeTo(ordinals, async () => {
          await pause(draw(3000));
          if (victim !== undefined) await group.killAndRestart(victim);
        });
        if (ordinals.length >= 3 && draw(4) === 0) {
          const lost = group.cluster.members[ordinals[draw(ordinals.length)] ?? 0];
          if (lost === undefined) continue;
          await group.cluster.kill(lost);
          await group.cluster.loseVolume(lost);
          group.cluster.run(lost);
          await group.cluster.until("the lost copy to be noticed", async () => {
            const found = await group.leader();
            return found?.members.some(({ name, votes }) => name === lost.name && !votes) === true ? true : undefined;
          });
          await group.untilWhole();
        }
      }
    }),
  );
});

describe("a group that lost its majority for good", () => {
  test("does nothing by itself, and goes on from the copy that a person chose", { timeout: 300_000 }, async () => {
    await group.changeTo([0, 1, 2], () => Promise.resolve());
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
    const client = await keyClient();
    client.start();
    await group.cluster.until("writes", () => Promise.resolve(client.acked > 20 ? true : undefined));
    expect(await client.finish()).toMatchObject({ lost: 0, stale: 0 });
  });
});

test("nothing that the agents asked for meanwhile was refused", async () => {
  expect((await group.cluster.rights()).refused).toEqual([]);
});
