// Clients with certificates, as the operator issues them and kubelets bring them, at a real group under real agents: each is its account at
// every member, and nobody elsewhere; one authority follows another and no client is refused; agents need none of that.
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { issuePeerCertificates } from "../../src/act/peer-certificates.ts";
import { randomSecrets } from "../../src/act/secret-source.ts";
import { writeConnection } from "../../src/act/secrets.ts";
import type { AuthorityNote, AuthorityStage } from "../../src/api/authority-note.ts";
import { nameOf } from "../../src/api/names.ts";
import { certificateHosts, readAuthorityNote } from "../../src/build/certificate.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { binary } from "../api/harness.ts";
import { GroupCluster } from "./group-cluster.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

const CLUSTER = { name: "orders", namespace: "default" };
const NAMES = { credentialsName: nameOf.credentialsSecret("orders"), peerName: nameOf.peerSecret("orders") };
const WAIT = { timeout: 120_000, interval: 250 };
/** A name that every member's certificate has. */
const PEER_NAME = `peer.${nameOf.membersService(CLUSTER.name)}.${CLUSTER.namespace}.svc`;
const ALL = [0, 1, 2];
/** What a client reads when its certificate is the reason why it is not served. */
const REFUSED = /tls:|certificate/;
const run = promisify(execFile);

let group: GroupCluster;
let cluster: MemberCluster;

interface Secret extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

const encoded = async (...path: readonly string[]): Promise<string> =>
  Buffer.from(await readFile(join(cluster.folder, ...path))).toString("base64");

function secret(name: string, data: Secret["data"]): Secret {
  return { apiVersion: "v1", kind: "Secret", metadata: { ...CLUSTER, name }, data };
}

/** Issues what members have in a stage, and brings it to one after the other. */
async function enter(from: AuthorityStage, to: AuthorityStage): Promise<AuthorityNote> {
  const metadata = { ...CLUSTER, labels: {} };
  const hosts = [...certificateHosts(CLUSTER), "127.0.0.1"];
  const step = { metadata, hosts, from, to, overlapMs: 0, request: "", hasClients: true };
  const written = (await issuePeerCertificates(
    { api: cluster.api, source: randomSecrets },
    step,
    new Date(),
    {},
  )) as Secret;
  for (const [file, text] of Object.entries(written.data)) {
    await writeFile(join(cluster.folder, "peer", file), Buffer.from(text, "base64"));
  }
  for (const member of cluster.members) await cluster.bringCertificate(member);
  const note = readAuthorityNote(written.metadata.annotations);
  if (note?.stage !== to) throw new Error(`stage ${note?.stage} instead of ${to}`);
  return note;
}

/** What the operator writes for an account, as an application has it mounted. @returns the folder. */
async function connection(account: string, version: string): Promise<string> {
  const completed = {
    connection: {
      metadata: { ...CLUSTER, name: nameOf.connectionSecret(CLUSTER.name, account), labels: {} },
      type: "servicebinding.io/etcd",
      fields: { username: account },
      uri: "http://$(username)",
      passwordKey: account,
      hasAuthority: true,
      certifies: account,
      hash: version,
    },
    cluster: CLUSTER.name,
    ...NAMES,
  };
  const written = await writeConnection({ api: cluster.api, source: randomSecrets }, completed, new Date(), {});
  const folder = join(cluster.folder, `${account}-${version}`);
  await mkdir(folder);
  for (const [file, text] of Object.entries((written as Secret).data)) {
    await writeFile(join(folder, file), Buffer.from(text, "base64"));
  }
  return folder;
}

/** What a member says to a client that has this folder mounted. */
async function ask(folder: string, { ports }: TestMember, ...command: readonly string[]): Promise<string> {
  const files = ["cacert=ca.crt", "cert=tls.crt", "key=tls.key"].map((one) => {
    const [flag, file = ""] = one.split("=");
    return `--${flag}=${join(folder, file)}`;
  });
  const args = ["--dial-timeout=3s", "--command-timeout=5s", `--endpoints=https://127.0.0.1:${ports.tls}`, ...files];
  return run(binary("etcdctl"), [...args, ...command]).then(
    ({ stdout }) => stdout.trim(),
    (error: Error & { readonly stderr?: string }) => error.stderr?.trim() ?? error.message,
  );
}

/** What becomes of somebody who connects with this folder's certificate. */
async function knock(folder: string, port: number): Promise<string> {
  const [ca, cert, key] = await Promise.all(
    ["ca.crt", "tls.crt", "tls.key"].map((file) => readFile(join(folder, file))),
  );
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", servername: PEER_NAME, ca, cert, key } as object);
    socket.on("secureConnect", () => socket.write("GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    socket.on("data", (data) => resolve(`let in: ${data.toString().split("\r\n")[0]}`));
    socket.on("error", (error) => resolve(`refused: ${error.message}`));
    socket.on("close", () => resolve("refused: closed"));
  });
}

/** Waits until every member says that agent and engine go by what was issued. */
async function untilTaken({ trusts, shows }: AuthorityNote): Promise<void> {
  await vi.waitFor(async () => {
    for (const member of cluster.members) {
      expect((await cluster.report(member))?.certificate).toEqual({ trusts, shows });
    }
  }, WAIT);
}

/** Ends one member after the other, and starts it again: some engines read authorities at their start alone. */
async function restartAll(): Promise<void> {
  for (const member of cluster.members) {
    await cluster.terminate(member);
    cluster.run(member);
    await group.untilWhole();
    await cluster.until(`${member.name} to be ready`, async () => ((await group.isReady(member)) ? true : undefined));
  }
}

beforeAll(async () => {
  const programs = { etcd: binary("etcd"), etcdctl: binary("etcdctl") };
  cluster = await MemberCluster.create(3, { name: "etcd", user: { uid: 65534, gid: 65534 }, programs }, 1);
  group = new GroupCluster(cluster);
  const passwords = { app: await encoded("credentials/app"), shop: Buffer.from("of-shop").toString("base64") };
  await cluster.api.create(secret(NAMES.credentialsName, passwords));
  await enter("Settled", "Settled");
  await group.begin();
  await group.changeTo([0, 1], () => Promise.resolve());
  await group.changeTo(ALL, () => Promise.resolve());
}, 240_000);
afterAll(() => group.end());

test("an account is known by its certificate at every member, and by nobody else", async () => {
  await writeFile(join(cluster.folder, "credentials/shop"), "of-shop", { mode: 0o644 });
  const accounts = ["app", "shop"].map((name) => ({ name, secretKey: name, database: name }));
  await cluster.want({ accounts });
  const [app, shop] = [await connection("app", "1"), await connection("shop", "1")];
  await vi.waitFor(async () => {
    for (const member of cluster.members) expect(await ask(shop, member, "put", "shop/1", "x")).toBe("OK");
  }, WAIT);
  for (const member of cluster.members) {
    expect(await ask(app, member, "put", "anywhere", member.name)).toBe("OK");
    expect(await ask(shop, member, "get", "anywhere")).toContain("permission denied");
    expect(await ask(shop, member, "user", "list")).toContain("permission denied");
    expect(await knock(shop, member.ports.member), "where members meet").toMatch(/^refused/);
    expect(await knock(shop, member.ports.agent), "where agents meet").toMatch(/^refused/);
    expect(await knock(join(cluster.folder, "peer"), member.ports.agent), "an agent is let in").toMatch(/^let in/);
  }
});

test("one authority follows another: no client is refused that reads its Secret in time, and the former opens no door", {
  timeout: 600_000,
}, async () => {
  const former = await connection("app", "2");
  let mounted = former;
  const refused: string[] = [];
  let visits = 0;
  const stop = new AbortController();
  const visiting = cluster.members.map(async (member) => {
    while (!stop.signal.aborted) {
      const said = await ask(mounted, member, "get", "anywhere");
      if (REFUSED.test(said)) refused.push(`${member.name}: ${said}`);
      else if (said.startsWith("anywhere")) visits++;
    }
  });
  const trust = await enter("Settled", "Trust");
  await restartAll();
  await untilTaken(trust);
  mounted = await connection("app", "3"); // it has both authorities of members
  const sign = await enter("Trust", "Sign");
  await untilTaken(sign);
  for (const member of cluster.members) expect(await ask(mounted, member, "get", "anywhere")).toMatch(/^anywhere/);
  mounted = await connection("app", "4"); // signed by the next
  expect((await readFile(join(mounted, "ca.crt"), "utf8")).match(/BEGIN CERT/g)).toHaveLength(2);
  await enter("Sign", "Settled");
  await restartAll();
  stop.abort();
  await Promise.all(visiting);
  process.stdout.write(`  ${visits} visits, ${refused.length} refused\n`);
  expect(refused).toEqual([]);
  expect(visits).toBeGreaterThan(20);
  for (const member of cluster.members) {
    expect(await ask(mounted, member, "get", "anywhere")).toMatch(/^anywhere/);
    expect(await knock(former, member.ports.tls)).toMatch(/^refused/);
  }
});

test("agents go on seeing their own servers when the majority is gone", async () => {
  const [survivor, ...others] = cluster.members;
  if (survivor === undefined) throw new Error("there are no members");
  for (const member of others) await cluster.kill(member);
  const alone = async () => (await group.statusOf(survivor))?.view?.seen;
  await cluster.until("the survivor to know of no leader", async () => {
    const seen = await alone();
    return seen !== undefined && !seen.leads ? seen : undefined;
  });
  for (let second = 0; second < 10; second++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect((await alone())?.group.members).toHaveLength(3);
  }
  for (const member of others) cluster.run(member);
  await group.untilWhole();
  const app = await connection("app", "5");
  await vi.waitFor(async () => expect(await ask(app, survivor, "get", "anywhere")).toMatch(/^anywhere/), WAIT);
});
