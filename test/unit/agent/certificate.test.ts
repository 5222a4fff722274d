// A certificate that is renewed while members talk.
import { X509Certificate } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { IntentMember } from "../../../src/api/agent-wire.ts";
import { CertificateKeeper } from "../../../src/agent/certificate.ts";
import { fingerprint } from "../../../src/fingerprint.ts";
import { PeerClient, type PeerIdentity, PeerServer, readPeerIdentity } from "../../../src/agent/peers.ts";
import { makeIdentity, PEER_NAME } from "./peer-identity.ts";

let folder: string;
let mounted: string;
let nowMs: number;
let renewed: PeerIdentity[];
let refused: unknown[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quorate-certificate-"));
  mounted = join(folder, "mounted");
  mkdirSync(mounted);
  [nowMs, renewed, refused] = [0, [], []];
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Puts files of an identity where the Secret is mounted. */
function mount(identity: string, ...files: readonly string[]): void {
  for (const file of files) copyFileSync(join(identity, file), join(mounted, file));
}

function keeper(readsAuthority: "Reload" | "Start" = "Reload"): CertificateKeeper {
  return new CertificateKeeper({
    folder: mounted,
    readsAuthority,
    stateFile: join(folder, "authority.json"),
    nowMs: () => nowMs,
    renewed: (identity) => renewed.push(identity),
    refused: (error) => refused.push(error),
  });
}

/** Looks as late as it takes for another look. */
function look(made: CertificateKeeper): void {
  nowMs += 10_000;
  made.apply();
}

test("is taken up once, and only when certificate and key belong together", () => {
  const [first, second] = [makeIdentity(folder, "first"), makeIdentity(folder, "second")];
  mount(first, "ca.crt", "tls.crt", "tls.key");
  const made = keeper();
  look(made);
  expect(renewed).toEqual([]);
  mount(second, "tls.key");
  look(made);
  expect([renewed.length, refused.length]).toEqual([0, 1]);
  expect(made.identity).toEqual(readPeerIdentity(first));
  mount(second, "ca.crt", "tls.crt");
  made.apply(); // too soon
  expect(renewed).toEqual([]);
  look(made);
  look(made);
  expect(renewed).toEqual([readPeerIdentity(second)]);
});

test("an engine that reads authorities at its start alone trusts what it started with, also after a new agent", async () => {
  const [first, second] = [makeIdentity(folder, "first"), makeIdentity(folder, "second")];
  mount(first, "ca.crt", "tls.crt", "tls.key");
  const made = keeper("Start");
  await made.engineStarts();
  expect(await made.engineRead(made.identity)).toBe(true);
  const before = made.inForce;
  mount(second, "ca.crt", "tls.crt", "tls.key");
  look(made);
  expect(await made.engineRead(made.identity)).toBe(true);
  expect(made.inForce).toMatchObject({ trusts: before?.trusts });
  expect(made.inForce?.shows).not.toBe(before?.shows);

  const next = keeper("Start");
  await next.engineRead(next.identity);
  expect(next.inForce).toEqual(made.inForce);
  await next.engineStarts();
  expect(await next.engineRead(next.identity)).toBe(true);
  expect(next.inForce?.trusts).not.toBe(before?.trusts);
  expect(await next.engineRead(next.identity)).toBe(false);
});

test("whom clients are known by belongs to it, and is nobody that agents trust", async () => {
  const [first, second] = [makeIdentity(folder, "first"), makeIdentity(folder, "second")];
  const authorities = () =>
    fingerprint(Buffer.concat(["ca.crt", "clients-ca.crt"].map((file) => readFileSync(join(mounted, file)))));
  mount(first, "ca.crt", "tls.crt", "tls.key");
  copyFileSync(join(first, "ca.crt"), join(mounted, "clients-ca.crt"));
  const made = keeper("Start");
  await made.engineStarts();
  await made.engineRead(made.identity);
  const before = authorities();
  expect(made.inForce?.trusts).toBe(before);
  copyFileSync(join(second, "ca.crt"), join(mounted, "clients-ca.crt"));
  look(made);
  expect(renewed).toHaveLength(1);
  expect(made.identity).toEqual(readPeerIdentity(first));
  await made.engineRead(made.identity);
  expect(made.inForce?.trusts, "the engine has not read them").toBe(before);
  await made.engineStarts();
  await made.engineRead(made.identity);
  expect(made.inForce?.trusts).toBe(authorities());
});

test("any other engine trusts what it read", async () => {
  const [first, second] = [makeIdentity(folder, "first"), makeIdentity(folder, "second")];
  mount(first, "ca.crt", "tls.crt", "tls.key");
  const made = keeper();
  expect(made.inForce).toBeUndefined();
  await made.engineStarts();
  await made.engineRead(made.identity);
  const before = made.inForce;
  mount(second, "ca.crt", "tls.crt", "tls.key");
  look(made);
  expect(made.inForce).toEqual(before); // not yet
  expect(await made.engineRead(made.identity)).toBe(true);
  expect(made.inForce?.trusts).not.toBe(before?.trusts);
});

test("new connections are made under it, and what is under way goes on", async () => {
  const [first, second] = [makeIdentity(folder, "first"), makeIdentity(folder, "second")];
  let answer: ((value: unknown) => void) | undefined;
  const server = new PeerServer(readPeerIdentity(first), (body) =>
    body === "slow" ? new Promise((resolve) => (answer = resolve)) : Promise.resolve("quick"),
  );
  const client = new PeerClient(readPeerIdentity(first), PEER_NAME);
  const listener = await server.listen(0, "127.0.0.1");
  const { port } = listener;
  const member: IntentMember = { name: "orders-1", host: "127.0.0.1", agentPort: port, initPort: port, enginePort: 1 };
  let hasEnded = false;
  const stop = new AbortController();
  const held = client.hold(member, stop.signal).then(() => (hasEnded = true));
  const slow = client.send(member, "slow", 5000);
  await vi.waitUntil(() => answer !== undefined, 10_000);
  await new Promise((resolve) => setTimeout(resolve, 50)); // the held one, which began before, has no answer to wait for

  server.renew(readPeerIdentity(second));
  client.renew(readPeerIdentity(second));
  expect(await client.send(member, "hello", 5000)).toBe("quick");
  expect(await presented(port, second)).toBe(new X509Certificate(readFileSync(join(second, "tls.crt"))).fingerprint256);
  await expect(presented(port, second, "TLSv1.2")).rejects.toThrow(/version/);
  answer?.("late");
  expect(await slow).toBe("late");
  expect(hasEnded).toBe(false);
  stop.abort();
  await held;
  client.close();
  await listener.close();
});

/** Fingerprint of the certificate that the server shows to a member with this identity. */
function presented(port: number, identity: string, maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3"): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { ...readPeerIdentity(identity), port, host: "127.0.0.1", servername: PEER_NAME, maxVersion };
    const socket = connect(options, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
