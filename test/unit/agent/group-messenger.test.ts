import { expect, test } from "vitest";
import { GroupMessenger } from "../../../src/agent/group/messenger.ts";
import type { GreetingEnvelope, GreetingReply } from "../../../src/agent/group/wire.ts";

const INFO = { pod: "orders-0-0", podUid: "uid", address: "10.0.0.1", node: "n1" };
const MEMBER = { name: "orders-1", host: "h", agentPort: 1, initPort: 2, enginePort: 3 };
const REPLY: GreetingReply = {
  copy: "data",
  incarnation: 0,
  id: "a",
  engineUp: true,
  hasLeader: true,
  position: null,
  atRest: false,
  joining: false,
};

const trips: string[] = [];

function messengerOf(answer: () => GreetingReply | undefined, sent: (body: unknown) => unknown = () => undefined) {
  return new GroupMessenger({
    client: { send: (_member, body) => Promise.resolve(sent(body)) },
    self: { cluster: "orders", member: "orders-0", info: INFO },
    nowMs: () => 1000,
    answer,
    heard: () => undefined,
    roundTrip: (peer, seconds) => trips.push(`${peer} ${seconds >= 0 && seconds < 10}`),
  });
}

function greetingFrom(from: string, greeting: Partial<GreetingEnvelope["greeting"]> = {}): GreetingEnvelope {
  const said = { leads: true, term: 3, incarnation: 0, generation: 1, position: null, members: [], invitation: null };
  return { cluster: "orders", from, to: "orders-0", info: INFO, greeting: { ...said, ...greeting } };
}

test("a member that has not looked at its volume says nothing: silence is not taken for an empty volume", () => {
  expect(() => messengerOf(() => undefined).receive(greetingFrom("orders-1"))).toThrow("has not looked");
});

test("of two that say that they lead, the one with the higher term is believed", () => {
  const messenger = messengerOf(() => REPLY);
  expect(messenger.receive(greetingFrom("orders-1", { term: 4 }))).toEqual({
    from: "orders-0",
    info: INFO,
    reply: REPLY,
  });
  messenger.receive(greetingFrom("orders-2"));
  messenger.receive(greetingFrom("orders-2", { term: 9, leads: false }));
  expect(messenger.heard?.from).toBe("orders-1");
});

test("an answer of somebody who has the address now, or of none, leaves what is known", async () => {
  let answer: unknown = { from: "orders-1", info: INFO, reply: REPLY };
  const messenger = messengerOf(
    () => REPLY,
    () => answer,
  );
  const { greeting } = greetingFrom("orders-0");
  await messenger.greet(MEMBER, greeting, 100);
  expect(messenger.peers.get("orders-1")?.reply).toEqual(REPLY);
  expect(trips).toEqual(["orders-1 true"]);
  answer = { from: "orders-9", info: INFO, reply: { ...REPLY, copy: "empty" } };
  await messenger.greet(MEMBER, greeting, 100);
  answer = { error: "this member has not looked at its volume yet" };
  await messenger.greet(MEMBER, greeting, 100);
  expect(messenger.peers.get("orders-1")?.reply).toEqual(REPLY);
  expect(trips).toEqual(["orders-1 true"]);
});
