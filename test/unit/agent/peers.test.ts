import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { IntentMember } from "../../../src/api/agent-wire.ts";
import { PeerClient, PeerServer, probeInit, readPeerIdentity } from "../../../src/agent/peers.ts";
import { claimPort } from "../../../src/conformance/ports.ts";

const NAME = "peer.orders-members.ns.svc";
let folder: string;
const open: { close(): unknown }[] = [];

/** A folder with an authority, and a certificate for all members of one cluster, as the operator makes them. */
function makeIdentity(name: string): string {
  const dir = join(folder, name);
  const sh = (command: string): void => void execFileSync("sh", ["-c", command], { cwd: dir, stdio: "ignore" });
  execFileSync("mkdir", [dir]);
  writeFileSync(
    join(dir, "ext"),
    "subjectAltName=DNS:*.orders-members.ns.svc\nextendedKeyUsage=serverAuth,clientAuth\n",
  );
  sh(
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt",
  );
  sh(
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=member -keyout tls.key -out tls.csr",
  );
  sh("openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt");
  return dir;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quorate-peers-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

function memberAt(port: number): IntentMember {
  return { name: "orders-1", host: "127.0.0.1", agentPort: port, initPort: port, enginePort: 1 };
}

async function serve(identity: string, answer: (body: unknown) => Promise<unknown>): Promise<IntentMember> {
  const server = new PeerServer(readPeerIdentity(identity), answer);
  const listener = await server.listen(0, "127.0.0.1");
  open.push(listener);
  return memberAt(listener.port);
}

function client(identity: string): PeerClient {
  const peer = new PeerClient(readPeerIdentity(identity), NAME);
  open.push(peer);
  return peer;
}

describe("peers", () => {
  test("answer members of their own cluster and nobody else", async () => {
    const ours = makeIdentity("ours");
    const theirs = makeIdentity("theirs");
    const member = await serve(ours, (body) => Promise.resolve({ echo: body }));
    expect(await client(ours).send(member, { hello: 1 }, 2000)).toEqual({ echo: { hello: 1 } });
    await expect(client(theirs).send(member, {}, 2000)).rejects.toMatchObject({ failure: "error" });
  });

  test("tell a refused connection from no answer", async () => {
    const identity = makeIdentity("kinds");
    await expect(client(identity).send(memberAt(await claimPort()), {}, 2000)).rejects.toMatchObject({
      failure: "refused",
    });
    const silent = await serve(identity, () => new Promise(() => undefined));
    await expect(client(identity).send(silent, {}, 200)).rejects.toMatchObject({ failure: "timeout" });
  });

  test("notice at once when a held connection ends", async () => {
    const identity = makeIdentity("held");
    const server = new PeerServer(readPeerIdentity(identity), () => Promise.resolve({}));
    const listener = await server.listen(0, "127.0.0.1");
    let ended = false;
    const held = client(identity)
      .hold(memberAt(listener.port), new AbortController().signal)
      .then(() => {
        ended = true;
      });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(ended).toBe(false);
    await listener.close();
    await held;
    expect(ended).toBe(true);
  });

  test("see from init's port whether a container lives", async () => {
    const init: Server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => init.listen(0, "127.0.0.1", resolve));
    const { port } = init.address() as AddressInfo;
    expect(await probeInit(memberAt(port), 500)).toBe("alive");
    await new Promise((resolve) => init.close(resolve));
    expect(await probeInit(memberAt(port), 500)).toBe("refused");
  });
});
