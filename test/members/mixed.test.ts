/**
 * Agents of this version beside those of an earlier commit, each leading after the other, planned and not: they understand each other,
 * and nothing is lost. Times are printed, never asserted.
 */
import { cp } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { programOfCommit } from "./bundles.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

/** The oldest whose agents can fill in what today's Engine of PostgreSQL names; those after it say more, and go on to be understood. */
const EARLIER = process.env["EARLIER"] ?? "5857acd";
const program = await programOfCommit(EARLIER);

interface Status {
  readonly state: { readonly role: { readonly kind: string; readonly verified?: boolean } } | null;
  readonly observation: { readonly followers: readonly { readonly streaming: boolean }[] } | null;
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

describe.skipIf(program === undefined)(`agents of ${EARLIER} beside those of today`, () => {
  let cluster: MemberCluster;
  let earlier: string;
  let requests = 0;

  const member = (ordinal: number): TestMember => {
    const found = cluster.members[ordinal];
    if (found === undefined) throw new Error(`no member ${ordinal}`);
    return found;
  };

  beforeAll(async () => {
    cluster = await MemberCluster.create(3);
    await cp(dirname(program ?? ""), join(cluster.folder, "earlier"), { recursive: true });
    earlier = join(cluster.folder, "earlier/agent.mjs");
    for (const ordinal of [0, 1]) cluster.run(member(ordinal), earlier);
    cluster.run(member(2));
    await untilWhole();
  });
  afterAll(() => cluster.stop());
  // A leader must have stayed a while, or the failover budget rightly holds the next one back.
  beforeEach(() => pause(3000));

  async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
    const endMs = performance.now() + 60_000;
    while (performance.now() < endMs) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      await pause(50);
    }
    const logs = await Promise.all(cluster.members.map((one) => cluster.log(one)));
    throw new Error(`waited in vain for ${what}\n${logs.map((log) => log.slice(-3000)).join("\n==\n")}`);
  }

  /** Waits until one member leads and the two others stream from it. */
  function untilWhole(): Promise<TestMember> {
    return until("one leader with two streaming followers", async () => {
      const leader = await cluster.routed().catch(() => undefined);
      if (leader === undefined) return undefined;
      const status = (await cluster.status(leader).catch(() => undefined)) as Status | undefined;
      const streaming = status?.observation?.followers.filter((one) => one.streaming).length;
      return status?.state?.role.kind === "leader" && streaming === 2 ? leader : undefined;
    });
  }

  /** Does `change` under a client, which must see nothing of it but a pause. @returns who leads then. */
  async function whileWriting(change: () => Promise<void>): Promise<TestMember> {
    const client = new CountingClient(cluster);
    client.start();
    await pause(1000);
    await change();
    const leader = await untilWhole();
    const acked = client.acked;
    await until("writes to go on", () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
    const verdict = await client.finish();
    process.stdout.write(`  largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} rows\n`);
    expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
    return leader;
  }

  async function lead(to: TestMember): Promise<void> {
    const from = await untilWhole();
    if (from === to) return;
    requests += 1;
    await cluster.want({ switchover: { id: `move-${requests}`, from: from.name, to: to.name } });
    await until(`${to.name} to lead`, async () => ((await cluster.routed()) === to ? true : undefined));
    await cluster.want({ switchover: null });
  }

  /** Kills the leader's container, and starts it again with the same agent once another leads. */
  async function lose(leader: TestMember, agent?: string): Promise<void> {
    await cluster.kill(leader);
    await until(`another than ${leader.name} to lead`, async () => {
      const next = await cluster.routed();
      return next !== undefined && next !== leader ? true : undefined;
    });
    cluster.run(leader, agent);
  }

  test("an earlier agent hands over to one of today, and gets the office back", async () => {
    await lead(member(0));
    expect(await whileWriting(() => lead(member(2)))).toBe(member(2));
    await pause(3000);
    expect(await whileWriting(() => lead(member(0)))).toBe(member(0));
  });

  test("earlier agents take over from one of today that is lost", async () => {
    await lead(member(2));
    await pause(3000);
    expect([member(0), member(1)]).toContain(await whileWriting(() => lose(member(2))));
  });

  test("agents of today take over from an earlier one that is lost", async () => {
    await lead(member(2));
    await cluster.terminate(member(1));
    cluster.run(member(1));
    await untilWhole();
    await lead(member(0));
    await pause(3000);
    expect([member(1), member(2)]).toContain(await whileWriting(() => lose(member(0), earlier)));
  });
});
