import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { IntentMember } from "../../../src/api/agent-wire.ts";
import { PeerClient, PeerServer, probeInit, readPeerIdentity } from "../../../src/agent/peers.ts";
import { claimPort } from "../../../src/conformance/ports.ts";
import { makeIdentity, PEER_NAME } from "./peer-identity.ts";

let folder: string;
const open: { close(): unknown }[] = [];

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
  const peer = new PeerClient(readPeerIdentity(identity), PEER_NAME);
  open.push(peer);
  return peer;
}

describe("peers", () => {
  test("answer members of their own cluster and nobody else", async () => {
    const ours = makeIdentity(folder, "ours");
    const theirs = makeIdentity(folder, "theirs");
    const member = await serve(ours, (body) => Promise.resolve({ echo: body }));
    expect(await client(ours).send(member, { hello: 1 }, 2000)).toEqual({ echo: { hello: 1 } });
    await expect(client(theirs).send(member, {}, 2000)).rejects.toMatchObject({ failure: "error" });
  });

  test("tell a refused connection from no answer", async () => {
    const identity = makeIdentity(folder, "kinds");
    await expect(client(identity).send(memberAt(await claimPort()), {}, 2000)).rejects.toMatchObject({
      failure: "refused",
    });
    const silent = await serve(identity, () => new Promise(() => undefined));
    await expect(client(identity).send(silent, {}, 200)).rejects.toMatchObject({ failure: "timeout" });
  });

  test("notice at once when a held connection ends", async () => {
    const identity = makeIdentity(folder, "held");
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
