/**
 * Agents of this version beside those of an earlier commit, each leading after the other, planned and not: they understand each other,
 * and nothing is lost. Times are printed, never asserted.
 */
import { cp } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { programOfCommit } from "./bundles.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

/** The oldest whose agents can fill in what today's Engine of PostgreSQL names; those after it say more, and go on to be understood. */
const EARLIER = process.env["EARLIER"] ?? "5857acd";
const program = await programOfCommit(EARLIER);

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
    await cluster.untilWhole();
  });
  afterAll(() => cluster.stop());
  // A leader must have stayed a while, or the failover budget rightly holds the next one back.
  beforeEach(() => pause(3000));

  /** Does `change` under a client, which must see nothing of it but a pause. @returns who leads then. */
  async function whileWriting(change: () => Promise<void>): Promise<TestMember> {
    const client = new CountingClient(cluster);
    client.start();
    await pause(1000);
    await change();
    const leader = await cluster.untilWhole();
    const acked = client.acked;
    await cluster.until("writes to go on", () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
    const verdict = await client.finish();
    process.stdout.write(`  largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} rows\n`);
    expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
    return leader;
  }

  async function lead(to: TestMember): Promise<void> {
    const from = await cluster.untilWhole();
    if (from === to) return;
    requests += 1;
    await cluster.want({ switchover: { id: `move-${requests}`, from: from.name, to: to.name } });
    await cluster.until(`${to.name} to lead`, async () => ((await cluster.routed()) === to ? true : undefined));
    await cluster.want({ switchover: null });
  }

  /** Kills the leader's container, and starts it again with the same agent once another leads. */
  async function lose(leader: TestMember, agent?: string): Promise<void> {
    await cluster.kill(leader);
    await cluster.untilAnotherLeads(leader);
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
    await cluster.untilWhole();
    await lead(member(0));
    await pause(3000);
    expect([member(1), member(2)]).toContain(await whileWriting(() => lose(member(0), earlier)));
  });
});
