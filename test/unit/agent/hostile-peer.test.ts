// Peers that speak garbage: members of the cluster by their certificates, and whatever else by what they say. An agent must answer
// its honest peers all the same, and take nothing from the others that it does not understand.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { IntentMember } from "../../../src/api/agent-wire.ts";
import { PeerMessenger } from "../../../src/agent/messenger.ts";
import { MessageJson, ReplyJson, RequestEnvelope } from "../../../src/agent/peer-wire.ts";
import { PeerClient, PeerServer, readPeerIdentity } from "../../../src/agent/peers.ts";
import type { EventBody, Message } from "../../../src/agent/protocol/exchange.ts";
import { listen } from "../../../src/listener.ts";
import { makeIdentity, PEER_NAME } from "./peer-identity.ts";

const INFO = { pod: "orders-0-0", podUid: "uid", address: "10.0.0.1", node: "n1" };
const PROMISE: Message = { type: "Promise", epoch: 3 };
const REPLY = { type: "PromiseReply", granted: true, epoch: 3 } as const;
/** Far shorter than any test: one that hangs fails by its own time. */
const TIMEOUT_MS = 200;

let folder: string;
let identity: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quorate-hostile-"));
  identity = makeIdentity(folder, "members");
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function memberAt(port: number): IntentMember {
  return { name: "orders-1", host: "127.0.0.1", agentPort: port, initPort: port, enginePort: 1 };
}

/** An honest member orders-0 that sends. */
function sender(): { readonly messenger: PeerMessenger; readonly close: () => void } {
  const client = new PeerClient(readPeerIdentity(identity), PEER_NAME);
  const self = { cluster: "orders", member: "orders-0", info: INFO };
  return { messenger: new PeerMessenger(client, self, () => undefined), close: () => client.close() };
}

const wrong: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue(),
  fc.constant(Number.MAX_SAFE_INTEGER * 2),
  fc.constant(-1),
  fc.constant(null),
);
const honest = { cluster: "orders", from: "orders-0", to: "orders-1", info: INFO, message: PROMISE };
/** Almost a request: one field is another, at the top or in the message. */
const almost = fc.oneof(
  fc.tuple(fc.constantFrom(...Object.keys(honest)), wrong).map(([field, value]) => ({ ...honest, [field]: value })),
  fc
    .tuple(fc.constantFrom("type", "epoch", "sync", "base", "position", "__proto__"), wrong)
    .map(([field, value]) => ({ ...honest, message: { ...PROMISE, [field]: value } })),
);
const body: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 500 }),
  fc.json(),
  almost.map((value) => JSON.stringify(value)),
  fc.integer({ min: 1, max: 20_000 }).map((depth) => '{"a":'.repeat(depth)),
  fc.constant(JSON.stringify({ ...honest, from: "x".repeat(300_000) })),
);

describe("an agent that is asked", () => {
  test("hands on only what is a message to it, and goes on to answer honest peers", async () => {
    const taken: EventBody[] = [];
    const listening = new PeerMessenger(
      new PeerClient(readPeerIdentity(identity), PEER_NAME),
      { cluster: "orders", member: "orders-1", info: { ...INFO, pod: "orders-1-0" } },
      (event) => {
        taken.push(event);
        if (event.type === "MessageReceived") listening.reply(event.requestId, REPLY);
      },
    );
    const server = new PeerServer(readPeerIdentity(identity), (value) => listening.receive(value));
    const listener = await server.listen(0, "127.0.0.1");
    const { messenger, close } = sender();
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        taken.length = 0;
        await speak(listener.port, text);
        for (const event of taken) {
          if (event.type !== "MessageReceived") throw new Error(`${event.type} from a peer`);
          expect(RequestEnvelope.parse(JSON.parse(text)).to).toBe("orders-1");
          expect(MessageJson.parse(event.message)).toEqual(event.message);
        }
        expect(await messenger.send(memberAt(listener.port), PROMISE, 5_000)).toEqual(REPLY);
      }),
      { numRuns: 40 },
    );
    close();
    await listener.close();
  });

  /** Sends `text` as the body of a request, or of what looks like one, and waits for the end of the answer. */
  function speak(port: number, text: string): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ ...readPeerIdentity(identity), port, host: "127.0.0.1", servername: PEER_NAME });
      socket.on("error", () => resolve()); // the server may hang up in the middle
      socket.on("close", () => resolve());
      socket.resume();
      const length = Buffer.byteLength(text);
      socket.write(
        `POST /v1/message HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${length}\r\n\r\n${text}`,
      );
    });
  }
});

/** What a hostile server does with a request. */
type Answering = (response: ServerResponse) => void;

const answering: fc.Arbitrary<Answering> = fc.oneof(
  fc.tuple(fc.constantFrom(200, 204, 301, 404, 500), body).map(
    ([status, text]): Answering =>
      (response) =>
        response.writeHead(status).end(text),
  ),
  fc.tuple(fc.constantFrom("from", "info", "reply"), wrong).map(
    ([field, value]): Answering =>
      (response) =>
        response.end(JSON.stringify({ from: "orders-1", info: INFO, reply: REPLY, [field]: value })),
  ),
  fc.constant<Answering>(() => undefined),
  fc.constant<Answering>((response) => response.destroy()),
  fc.constant<Answering>((response) => response.writeHead(200, { "content-length": "100" }).write("{")),
  fc.constant<Answering>((response) => {
    const drip = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(drip));
  }),
  fc.constant<Answering>((response) => {
    const flood = (): void => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
      if (!response.destroyed) response.once("drain", flood);
    };
    flood();
  }),
);

describe("an agent that asks", () => {
  test("has an answer that it understands, or none, and in time", async () => {
    let answer: Answering = () => undefined;
    const server = createServer({ ...readPeerIdentity(identity), requestCert: true }, (_, response) => {
      response.on("error", () => undefined);
      answer(response);
    });
    const listener = await listen(server, 0, "127.0.0.1");
    const { messenger, close } = sender();
    await fc.assert(
      fc.asyncProperty(answering, async (next) => {
        answer = next;
        const reply = await messenger.send(memberAt(listener.port), PROMISE, TIMEOUT_MS);
        if (typeof reply === "string") expect(["error", "timeout"]).toContain(reply);
        else expect(ReplyJson.parse(reply)).toEqual(reply);
      }),
      { numRuns: 25 },
    );
    close();
    await listener.close();
  });
});
