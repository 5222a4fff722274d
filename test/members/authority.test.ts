// One authority of the members after the other, as the operator issues certificates and kubelets bring them, each in its own time:
// members go on talking, and everybody who comes new is let in by everybody.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { issuePeerCertificates } from "../../src/act/peer-certificates.ts";
import { randomSecrets } from "../../src/act/secret-source.ts";
import { PeerClient, type PeerIdentity, readPeerIdentity } from "../../src/agent/peers.ts";
import { MemberReport } from "../../src/api/agent-wire.ts";
import type { AuthorityStage } from "../../src/api/authority-note.ts";
import { ANNOTATION_MEMBER_STATUS, nameOf } from "../../src/api/names.ts";
import { certificateHosts, readAuthorityNote } from "../../src/build/certificate.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

const WAIT = { timeout: 90_000, interval: 250 };
const CLUSTER = { name: "orders", namespace: "default" };
const PEER_NAME = `peer.${nameOf.membersService(CLUSTER.name)}.${CLUSTER.namespace}.svc`;
let cluster: MemberCluster;

interface Secret extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  const file = async (name: string) =>
    Buffer.from(await readFile(join(cluster.folder, "peer", name))).toString("base64");
  await cluster.api.create<Secret>({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { ...CLUSTER, name: nameOf.authoritySecret(CLUSTER.name) },
    data: { "ca.crt": await file("ca.crt"), "ca.key": await file("ca.key") },
  });
  await cluster.want({ profile: "Standard" }); // a busy machine must not end a leader: that is not what is tried here
  for (const member of cluster.members) cluster.run(member);
  await vi.waitUntil(async () => (await cluster.routed()) !== undefined, WAIT);
}, 180_000);
afterAll(() => cluster.stop());

const identityOf = ({ name }: TestMember): PeerIdentity => readPeerIdentity(join(cluster.folder, name, "peer"));

/** Whether a member lets in who comes with this identity, over a connection of its own. @returns why not; undefined when it does. */
async function refusal(identity: PeerIdentity, { name, ports }: TestMember): Promise<string | undefined> {
  const client = new PeerClient(identity, PEER_NAME);
  const target = { name, host: "127.0.0.1", agentPort: ports.agent, initPort: ports.init, enginePort: ports.engine };
  try {
    await client.send(target, "not a message", 10_000);
    return "took what is no message";
  } catch (error) {
    const { message } = error as Error;
    return message.endsWith("answered 500") ? undefined : message; // it read the message, and could not understand it
  } finally {
    client.close();
  }
}

/** Every member visits every other, again and again, with the files that it has at the time. */
class Visits {
  readonly refused: string[] = [];
  count = 0;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>[];

  constructor(members: readonly TestMember[]) {
    this.#done = members.flatMap((from) => members.filter((to) => to !== from).map((to) => this.#visit(from, to)));
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#done);
  }

  async #visit(from: TestMember, to: TestMember): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const why = await refusal(identityOf(from), to);
      this.count++;
      if (why !== undefined) this.refused.push(`${from.name} to ${to.name}: ${why}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Issues the certificate of a stage, brings it to one member after the other, and waits until all say that they have it. */
async function enter(from: AuthorityStage, to: AuthorityStage): Promise<void> {
  const metadata = { ...CLUSTER, labels: {} };
  const step = { metadata, hosts: certificateHosts(CLUSTER), from, to, overlapMs: 0, request: "", hasClients: false };
  const written = (await issuePeerCertificates(
    { api: cluster.api, source: randomSecrets },
    step,
    new Date(),
    {},
  )) as Secret;
  const note = readAuthorityNote(written.metadata.annotations);
  expect(note?.stage).toBe(to);
  for (const [file, text] of Object.entries(written.data)) {
    await writeFile(join(cluster.folder, "peer", file), Buffer.from(text, "base64"));
  }
  for (const member of cluster.members) {
    await cluster.bringCertificate(member);
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
  const expected = { trusts: note?.trusts, shows: note?.shows };
  await vi.waitFor(async () => {
    for (const member of cluster.members) expect(await reported(member)).toEqual(expected);
  }, WAIT);
}

async function reported({ name }: TestMember): Promise<MemberReport["certificate"]> {
  const ref = { apiVersion: "v1", kind: "Pod", namespace: CLUSTER.namespace, name: nameOf.pod(name) };
  const pod = await cluster.api.get(ref);
  return MemberReport.parse(JSON.parse(pod?.metadata.annotations?.[ANNOTATION_MEMBER_STATUS] ?? "")).certificate;
}

const pids = (): number[][] => cluster.members.map((member) => cluster.pids(member, /agent\.mjs|bin\/postgres -D/));

test("follow each other while members talk, and the former one opens no door in the end", async () => {
  await enter("Settled", "Settled");
  const before = { pids: pids(), leader: (await cluster.routed())?.name };
  const [member] = cluster.members;
  if (member === undefined) throw new Error("there are no members");
  const former = identityOf(member);
  const visits = new Visits(cluster.members);
  await enter("Settled", "Trust");
  await enter("Trust", "Sign");
  await enter("Sign", "Settled");
  await visits.end();
  process.stdout.write(`  ${visits.count} connections, ${visits.refused.length} refused\n`);
  expect(visits.count).toBeGreaterThan(100);
  expect(visits.refused).toEqual([]);
  for (const one of cluster.members) expect(await refusal(former, one)).toMatch(/certificate/);
  expect({ pids: pids(), leader: (await cluster.routed())?.name }).toEqual(before);
});
