/**
 * A roll of real members, container by container as the kubelet would restart them: followers first, the leader last by its
 * own hand-over. Nothing is lost and leadership passes once. Gaps are printed by the step they fell into, never asserted.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

let cluster: MemberCluster;

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  for (const member of cluster.members) cluster.run(member);
  await cluster.untilWhole();
}, 180_000);
afterAll(() => cluster.stop());

test("a roll of all members loses nothing and passes leadership on once", async () => {
  const first = await cluster.untilWhole();
  const client = new CountingClient(cluster);
  client.start();
  await pause(2000);
  const steps: { readonly name: string; readonly atMs: number }[] = [{ name: "before", atMs: 0 }];
  const begin = (name: string): void => void steps.push({ name, atMs: Date.now() });
  const restart = async (member: TestMember): Promise<void> => {
    begin(`${member.name} ends`);
    await cluster.terminate(member);
    begin(`${member.name} is away`);
    await pause(1500);
    begin(`${member.name} starts`);
    cluster.run(member);
    await cluster.untilWhole();
    begin(`${member.name} is back`);
    await pause(3000);
  };
  for (const follower of cluster.members.filter((member) => member !== first)) await restart(follower);
  await restart(first);
  const verdict = await client.finish();
  for (const { atMs, ms } of verdict.gaps) {
    const step = steps.findLast((one) => one.atMs <= atMs + ms);
    process.stdout.write(`  gap of ${ms} ms, ends ${atMs + ms - (step?.atMs ?? 0)} ms after: ${step?.name ?? ""}\n`);
  }
  const totalMs = verdict.gaps.reduce((sum, { ms }) => sum + ms, 0);
  process.stdout.write(`  ${verdict.gaps.length} gaps, ${totalMs} ms in all, ${verdict.acked} rows\n`);
  expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
  expect(await cluster.untilWhole()).not.toBe(first);
  expect(verdict.acked).toBeGreaterThan(100);
});
