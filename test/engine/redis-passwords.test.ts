/** The password that members of Redis know each other by, changed under load on real servers, and brought to each in its own time. */
import { spawnSync } from "node:child_process";
import { chownSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { RedisClient } from "../../hack/scenario/redis-client.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";

const FIRST = `q:u'o "r\\#`;
const SECOND = `n'a"s\\"t\\\\:y $(id)`;
/** A Secret has reached every node after so long; what is older than twice that is used by all. */
const SPREAD_MS = 120_000;
const SOON = { timeout: 15_000, interval: 100 };

describe.skipIf(!hasRedis)("the password of redis's own account", () => {
  let cluster: HostCluster;
  let members: readonly HostMember[];
  let client: RedisClient;

  const bring = (password: string, ageMs: number): void => {
    const path = join(cluster.root, "credentials/quorate");
    writeFileSync(path, `${password}\n`);
    if (process.getuid?.() === 0) chownSync(path, cluster.software.user.uid, cluster.software.user.gid);
    age(ageMs);
  };
  const age = (ageMs: number): void => {
    const at = new Date(Date.now() - ageMs);
    utimesSync(join(cluster.root, "credentials/quorate"), at, at);
  };
  const ask = ({ port }: HostMember, password: string, ...command: readonly string[]): string => {
    const env = { ...process.env, REDISCLI_AUTH: password };
    const args = ["-p", String(port), "--user", "quorate", ...command];
    const { stdout, stderr } = spawnSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" });
    return (stdout + stderr).trim();
  };
  const answers = (password: string): readonly string[] => members.map((one) => ask(one, password, "ping"));
  /** Identities of the connections by which followers copy. */
  const copies = (password: string): readonly string[] => {
    const [leader] = members;
    const lines = leader === undefined ? "" : ask(leader, password, "client", "list", "type", "replica");
    return [...lines.matchAll(/^id=(\d+) /gm)].map(([, id]) => id ?? "").toSorted();
  };
  const member = (index: number): HostMember => cluster.member(index);

  beforeAll(async () => {
    cluster = new HostCluster(await claimPorts(3), {
      spec: shippedSpec("redis"),
      user: userOf("nobody"),
      passwords: { quorate: FIRST, app: "of-app" },
      programs: REDIS_PROGRAMS,
    });
    ({ members } = cluster);
    await cluster.form(0);
    const port = member(0).port;
    client = new RedisClient(() => Promise.resolve({ host: "127.0.0.1", port }), "of-app", 2);
    client.start();
    await vi.waitUntil(() => client.acked > 20, SOON);
  });
  afterAll(() => cluster.close());

  it("changes nothing when nothing changed", async () => {
    const before = members.map((one) => ask(one, FIRST, "acl", "list"));
    for (const one of members) await one.run("takePasswords");
    expect(members.map((one) => ask(one, FIRST, "acl", "list"))).toEqual(before);
  });

  it("is taken beside the former one at first, which members go on with", async () => {
    const before = copies(FIRST);
    expect(before).toHaveLength(2);
    bring(SECOND, 0);
    // Members that were brought another one and do not know it yet are looked at all the time.
    for (const one of members) await one.observe();
    const taking = members.map((one) => one.run("takePasswords").catch((error: unknown) => error));
    await expect.poll(() => answers(SECOND), SOON).toEqual(["PONG", "PONG", "PONG"]);
    expect(answers(FIRST)).toEqual(["PONG", "PONG", "PONG"]);
    for (const one of members) expect(ask(one, FIRST, "config", "get", "masterauth")).toBe(`masterauth\n${FIRST}`);
    expect(copies(FIRST)).toEqual(before);

    // One that starts meanwhile takes both, and copies with the one that every server takes.
    await member(2).stop();
    await member(2).start();
    await member(2).follow(member(0));
    expect([ask(member(2), FIRST, "ping"), ask(member(2), SECOND, "ping")]).toEqual(["PONG", "PONG"]);
    await expect.poll(() => copies(FIRST), SOON).toHaveLength(2);

    // Its server ended meanwhile, and with it maybe the action: the agent repeats it.
    const again = member(2).run("takePasswords");

    age(SPREAD_MS - 2000);
    const masterauth = (): readonly string[] => members.map((one) => ask(one, SECOND, "config", "get", "masterauth"));
    await expect.poll(masterauth, SOON).toEqual(members.map(() => `masterauth\n${SECOND}`));
    expect(answers(FIRST), "somebody may still use it").toEqual(["PONG", "PONG", "PONG"]);
    for (const one of members) await one.observe();

    age(2 * SPREAD_MS - 2000);
    const taken = await Promise.all(taking);
    expect(taken.slice(0, 2)).toMatchObject([{ code: 0 }, { code: 0 }]);
    await again;
    expect(answers(SECOND)).toEqual(["PONG", "PONG", "PONG"]);
    for (const answer of answers(FIRST)) expect(answer).toContain("WRONGPASS");
    for (const one of members) await one.observe();
    expect(copies(SECOND)[0], "it was never interrupted").toBe(before[0]);
  });

  it("serves copies, starts and another leader", async () => {
    const [a, b, c] = [member(0), member(1), member(2)];
    await c.stop();
    await c.run("clone", HostMember.following(a));
    await c.start();
    await c.follow(a);
    await expect.poll(() => copies(SECOND), SOON).toHaveLength(2);
    expect(ask(a, SECOND, "client", "kill", "type", "replica")).toBe("2");
    await expect.poll(() => copies(SECOND), SOON).toHaveLength(2);
    await expect.poll(async () => (await b.observe()).receiving, SOON).toBe(true);
  });

  it("does not bring the former one back at a later start", async () => {
    await member(1).stop();
    await member(1).start();
    expect(ask(member(1), FIRST, "ping")).toContain("WRONGPASS");
    await member(1).follow(member(0));
    await expect.poll(() => copies(SECOND), SOON).toHaveLength(2);
  });

  it("lost no write that followers had confirmed", async () => {
    await pause(500);
    const verdict = await client.finish();
    process.stdout.write(`  ${JSON.stringify(verdict)}\n`);
    expect(verdict.acked).toBeGreaterThan(100);
    expect(verdict.lost).toBe(0);
  });

  it("shows no password in the servers' logs", () => {
    for (const one of members) for (const part of ["n'a", "u'o"]) expect(one.log).not.toContain(part);
  });
});
