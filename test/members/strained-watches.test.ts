// Real agents and engines behind a server whose watches are late, break or say everything twice, which seems to be behind, or whose answers
// get lost, while their leader dies and while it hands over: nothing that was acknowledged is lost, and nobody writes out of turn.
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { type Strain, StrainedServer } from "../api/strained-server.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster } from "./harness.ts";

let cluster: MemberCluster;
let server: StrainedServer;

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  server = await StrainedServer.start(cluster.plane);
  cluster.server = server.url;
  for (const member of cluster.members) cluster.run(member);
  await cluster.untilWhole();
});
afterAll(async () => {
  await cluster?.stop();
  await server?.stop();
});
// A leader must have stayed a while, or the failover budget rightly holds the next one back.
beforeEach(() => pause(3000));

/** The version that the API server is at. */
async function presentVersion(): Promise<string> {
  const list = await cluster.api.list({ apiVersion: "v1", kind: "Pod", namespace: "default" }, { limit: 1 });
  return list.resourceVersion;
}

const CASES: readonly { readonly name: string; readonly strain: (version: string) => Strain }[] = [
  { name: "gives no answer to every fourth write", strain: () => ({ kind: "Unanswered", oneIn: 4 }) },
  { name: "lets nothing be heard of its watches", strain: () => ({ kind: "Held" }) },
  { name: "tears its watches", strain: () => ({ kind: "Torn", afterMs: 300 }) },
  { name: "says everything twice", strain: () => ({ kind: "Doubled" }) },
  { name: "lists what was a while ago", strain: (version) => ({ kind: "Behind", version }) },
];

test.each(CASES)("a leader that dies, and one that hands over, with a server that $name", async ({ strain }) => {
  const leader = await cluster.untilWhole();
  const version = await presentVersion();
  const client = new CountingClient(cluster);
  client.start();
  await pause(1000);
  server.suffer(strain(version));
  server.cut();
  await pause(1000);

  await cluster.kill(leader);
  const next = await cluster.untilAnotherLeads(leader);
  cluster.run(leader);
  await cluster.untilWhole();
  await pause(3000);

  const id = `switchover-${Date.now()}`;
  await cluster.want({ switchover: { id, from: next.name, to: leader.name } });
  const heardMs = strain(version).kind === "Held" ? 5_000 : 30_000; // whom watches tell nothing hears of it later
  const deadline = pause(heardMs);
  await Promise.race([deadline, cluster.untilAnotherLeads(next)]);
  expect(server.tampered).toBeGreaterThan(0);
  server.suffer({ kind: "None" });
  server.cut();
  const led = await cluster.untilAnotherLeads(next);
  const told = await cluster.until("a word on the handover", async () => {
    const { switchover } = (await cluster.report(next)) ?? {};
    return switchover?.id === id ? switchover : undefined;
  });
  // Whose release of the Lease got no answer may be followed by another one; then it must not say that all went as asked.
  expect(told).toMatchObject({
    result: led === leader ? "Done" : "Failed",
    message: expect.stringContaining(led.name),
  });
  await cluster.want({ switchover: null });

  await cluster.untilWhole();
  const { acked } = client;
  await cluster.until("writes to go on", () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
  const verdict = await client.finish();
  process.stdout.write(`  largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} rows\n`);
  expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
});
