// Each safety rule as one story: a cluster of three that runs, something happens, and what each member asks for.
import { describe, expect, test } from "vitest";
import { restartsInPlace } from "../../../src/agent/protocol/office.ts";
import { PROFILES } from "../../../src/agent/protocol/profile.ts";
import { initialState } from "../../../src/agent/protocol/state.ts";
import { transition } from "../../../src/agent/protocol/transition.ts";
import type { Effect, EventBody } from "../../../src/agent/protocol/exchange.ts";
import type { Intent } from "../../../src/agent/protocol/types.ts";
import { positionOf } from "../../model/engine-model.ts";
import { runPlain } from "../../model/schedule.ts";
import { deliver, killEngine } from "../../model/step.ts";
import { linkOf, newIntent, newWorld, nodeOf, withNode, type Protocol, type World } from "../../model/world.ts";

/** An effect, and what happened that asked for it. */
type Asked = { readonly member: string; readonly atMs: number; readonly effect: Effect; readonly event: EventBody };

const sealOf = (epoch: number): EventBody => ({
  type: "MessageReceived",
  from: "b",
  requestId: "1",
  message: { type: "Seal", epoch, base: { sync: { epoch: 1, version: 1 }, recover: false } },
});

function actionOf<T extends Effect["type"]>(
  asked: readonly Asked[],
  member: string,
  type: T,
): Extract<Effect, { type: T }> {
  const one = asked.find((candidate) => candidate.member === member && candidate.effect.type === type);
  if (one === undefined) throw new Error(`${member} was not asked for ${type}`);
  return one.effect as Extract<Effect, { type: T }>;
}

/** A running cluster, with a note of every effect asked from then on. */
function running(change: Partial<Intent> = {}): { world: World; protocol: Protocol; asked: Asked[] } {
  const asked: Asked[] = [];
  const protocol: Protocol = {
    initialState,
    transition: (state, event) => {
      const next = transition(state, event);
      for (const effect of next.effects)
        asked.push({ member: state.identity.member, atMs: event.nowMs, effect, event });
      return next;
    },
  };
  const world = runPlain(protocol, newWorld(protocol, PROFILES.Fast, newIntent(3, change), true), 20);
  asked.length = 0;
  return { world, protocol, asked };
}

const types = (asked: readonly Asked[], member: string): string[] =>
  asked.filter((one) => one.member === member).map(({ effect }) => effect.type);

const tell = (protocol: Protocol, world: World, to: string, body: EventBody): World =>
  deliver(protocol, world, to, body);

describe("safety rules", () => {
  test("being named in the Lease makes nobody leader: a new container starts as a follower", () => {
    const { world, protocol, asked } = running();
    const dead = withNode(killEngine(world, "a"), "a", { state: null, up: false, fenceAtMs: null, restartAtMs: 0 });
    const back = runPlain(protocol, { ...dead, cut: [linkOf("a", "api"), linkOf("a", "b"), linkOf("a", "c")] }, 6);
    expect(types(asked, "a")).toContain("StartEngine");
    expect(types(asked, "a")).not.toContain("Promote");
    expect(nodeOf(back, "a").engine.mode).toBe("follower");
  });

  test("a dead container is replaced at once, with a higher epoch, after a seal", () => {
    const { world, protocol, asked } = running();
    let dead = withNode(killEngine(world, "a"), "a", { state: null, up: false, restartAtMs: 600_000 });
    for (const to of ["b", "c"])
      dead = tell(protocol, dead, to, { type: "PeerProbed", member: "a", result: "refused" });
    const next = runPlain(protocol, dead, 1);
    const order = asked.map(({ effect }) => effect.type).filter((type) => ["Seal", "Promote", "Route"].includes(type));
    expect(order.indexOf("Seal")).toBeLessThan(order.indexOf("Promote"));
    expect(order.indexOf("Promote")).toBeLessThan(order.indexOf("Route"));
    expect(next.register.content.epoch).toBe(2);
  });

  test("after a planned change the route waits for no heartbeat: the others persist the epoch during the promotion", () => {
    const { world, protocol, asked } = running();
    const switchover = { id: "s", from: "a", to: "b" };
    let next = world;
    for (const member of ["a", "b", "c"])
      next = tell(protocol, next, member, { type: "IntentChanged", intent: { ...next.intent, switchover } });
    runPlain(protocol, next, 8);
    const route = asked.find(({ member, effect }) => member === "b" && effect.type === "Route" && effect.ready);
    const promotion = asked.find(({ member, effect }) => member === "b" && effect.type === "Promote");
    expect(promotion?.effect).toMatchObject({ epoch: 2 });
    expect(route?.effect).toMatchObject({ epoch: 2 });
    // The engine of this world is promoted in no time, so the answer to what was sent before it comes after it.
    expect(route?.event).toMatchObject({ type: "MessageReply", reply: { type: "ActivatedReply" } });
  });

  test.each([
    { copy: "where the new leader's was sealed", ahead: 0, early: true },
    { copy: "ahead of the new leader's", ahead: 1, early: false },
    {
      copy: "ahead of the new leader's, of which a slow probe says how far it was before",
      ahead: 1,
      slow: 1,
      early: false,
    },
  ])("a copy $copy is connected while that is promoted: $early", ({ ahead, slow = 0, early }) => {
    const { world, protocol, asked } = running();
    const told = tell(protocol, world, "c", sealOf(2));
    const { actionId } = actionOf(asked, "c", "Seal");
    const { engine } = nodeOf(told, "c");
    const position = positionOf({ ...engine, upstream: null });
    if (position === null) throw new Error("c has no copy");
    const value = String(Number(position.value) - ahead);
    const sealed = tell(protocol, told, "c", { type: "ActionDone", actionId, position });
    const probed = { ...position, value: String(Number(position.value) - slow) };
    const observed = tell(protocol, sealed, "c", {
      type: "EngineState",
      writable: false,
      position: probed,
      standbys: [],
    });
    tell(protocol, observed, "c", {
      type: "MessageReceived",
      from: "b",
      requestId: "2",
      message: {
        type: "Activated",
        epoch: 2,
        sync: { epoch: 2, version: 1 },
        position: { ...position, value },
        lineage: [1, 2],
      },
    });
    expect(types(asked, "c").includes("Follow")).toBe(early);
  });

  test("no write waits for a learner, whose clone takes as long as there is data", () => {
    const { world, protocol } = running({ learners: ["b", "c"] });
    expect(nodeOf(world, "b").engine.mode).toBe("follower");
    expect(world.register.content.sync).toMatchObject({ names: [], ack: 0 });
    const { intent: now } = world;
    const one = tell(protocol, world, "a", { type: "IntentChanged", intent: { ...now, learners: ["c"] } });
    const confirming = runPlain(protocol, one, 6);
    expect(confirming.register.content.sync).toMatchObject({ names: ["b"], ack: 1 });
    const all = tell(protocol, confirming, "a", { type: "IntentChanged", intent: { ...now, learners: [] } });
    expect(runPlain(protocol, all, 6).register.content.sync).toMatchObject({ names: ["b", "c"], ack: 1 });
  });

  test.each([2, 3, 4, 5])("a leader among %i members stops waiting for the one that leaves", (count) => {
    const members = ["a", "b", "c", "d", "e"].slice(0, count);
    const { world, protocol } = running({ members });
    const rest = members.slice(0, -1);
    const told = tell(protocol, world, "a", { type: "IntentChanged", intent: { ...world.intent, members: rest } });
    const { sync } = runPlain(protocol, told, 8).register.content;
    expect(sync).toMatchObject({ names: rest.slice(1), ack: Math.ceil((rest.length - 1) / 2) });
  });

  test("mere silence is waited out for a whole lease", () => {
    const { world, protocol, asked } = running();
    const cut = { ...world, cut: [linkOf("a", "api"), linkOf("a", "b"), linkOf("a", "c")] };
    const startMs = nodeOf(world, "b").clockMs;
    runPlain(protocol, cut, 30);
    const write = asked.find(({ member, effect }) => member !== "a" && effect.type === "WriteLease");
    expect(write?.atMs).toBeGreaterThan(startMs + PROFILES.Fast.leaseMs - PROFILES.Fast.periodMs);
  });

  test("the API server away: the leader stays on promises, nobody is demoted", () => {
    const { world, protocol, asked } = running();
    const away = { ...world, cut: ["a", "b", "c"].map((member) => linkOf(member, "api")) };
    const later = runPlain(protocol, { ...away, calmTicks: -200 }, 120);
    expect(nodeOf(later, "a").engine.mode).toBe("writable");
    expect(types(asked, "a")).not.toContain("StopEngine");
    expect(types(asked, "a")).toContain("ExtendFence");
  });

  test("API server and peers away: the leader stops within its deadline", () => {
    const { world, protocol } = running();
    const alone = { ...world, cut: [linkOf("a", "api"), linkOf("a", "b"), linkOf("a", "c")] };
    expect(nodeOf(runPlain(protocol, alone, 12), "a").engine.mode).not.toBe("writable");
  });

  test("SIGTERM at the leader: routes closed, engine gone, then released to the follower that takes over", () => {
    const { world, protocol, asked } = running();
    runPlain(protocol, tell(protocol, world, "a", { type: "TermRequested", graceMs: null }), 1);
    const order = types(asked, "a").filter((type) =>
      ["Route", "StopEngine", "DisarmFence", "WriteLease"].includes(type),
    );
    expect(order.slice(0, 4)).toEqual(["Route", "StopEngine", "DisarmFence", "WriteLease"]);
    const release = asked.find(({ effect }) => effect.type === "WriteLease")?.effect;
    expect(release).toMatchObject({ content: { holder: "", handover: "b" } });
    expect(types(asked, "b")).toContain("Promote");
  });

  test.each([
    ["Quorum", ["StopEngine fast", "StopEngine kill"]],
    ["Async", ["StopEngine fast"]],
  ] as const)("SIGTERM with two seconds left, %s: nothing is prepared, and half of them are waited", (mode, stops) => {
    const { world } = running({ durability: { mode, whenDegraded: "Block" } });
    let { state } = nodeOf(world, "a");
    const asked: string[] = [];
    const step = (atMs: number, body: EventBody): void => {
      if (state === null) throw new Error("the leader runs");
      const next = transition(state, { ...body, nowMs: nodeOf(world, "a").clockMs + atMs });
      state = next.state;
      for (const effect of next.effects) {
        if (effect.type === "StopEngine") asked.push(`${effect.type} ${effect.mode}`);
        if (effect.type === "PrepareHandover") asked.push(effect.type);
      }
    };
    step(0, { type: "TermRequested", graceMs: 2000 });
    for (let atMs = 100; atMs < 2000; atMs += 100) step(atMs, { type: "Tick" });
    expect(asked).toEqual(stops);
  });

  test("a write of the Lease without an answer: no vote and no promise until a read decides", () => {
    const { world, protocol, asked } = running();
    let state = tell(protocol, world, "b", { type: "PeerProbed", member: "a", result: "refused" });
    const node = nodeOf(state, "b");
    const write = { kind: "acquire", attemptId: 1, casResourceVersion: "1", content: world.register.content } as const;
    const pending = { ...write, firstSentAtMs: node.clockMs, status: "unresolved", doubtful: true } as const;
    state = withNode(state, "b", { state: node.state === null ? null : { ...node.state, write: pending } });
    asked.length = 0;
    tell(protocol, state, "b", {
      type: "MessageReceived",
      from: "a",
      requestId: "a/1/1",
      message: { type: "Promise", epoch: 1 },
    });
    const reply = asked.find(({ effect }) => effect.type === "Reply")?.effect;
    expect(reply).toMatchObject({ reply: { type: "PromiseReply", granted: false } });
  });

  test.each([
    ["Quorum", 3000],
    ["Async", Number.POSITIVE_INFINITY],
  ] as const)("SIGTERM at a leader whom the register refuses, %s: the others take its word", (mode, limitMs) => {
    const { world, protocol, asked } = running({ durability: { mode, whenDegraded: "Block" } });
    const startMs = nodeOf(world, "b").clockMs;
    const refused = { ...world, cut: [linkOf("a", "api")] };
    const told = tell(protocol, refused, "a", { type: "TermRequested", graceMs: 2000 });
    const later = runPlain(protocol, { ...told, calmTicks: -200 }, 8);
    const promoted = asked.find(({ member, effect }) => member !== "a" && effect.type === "Promote");
    expect(nodeOf(later, "a").engine.mode).toBe("stopped");
    expect((promoted?.atMs ?? Number.POSITIVE_INFINITY) - startMs).toBeLessThanOrEqual(limitMs);
    expect(promoted === undefined).toBe(mode === "Async");
  });

  test.each([
    ["Async", true],
    ["Quorum", false],
  ] as const)("the engine of a leader ends by itself, %s: whether it waits for a successor", (mode, inPlace) => {
    const { world } = running({ durability: { mode, whenDegraded: "Block" } });
    const starts: boolean[] = [];
    const watching: Protocol = {
      initialState,
      transition: (state, event) => {
        const next = transition(state, event);
        const isStart = state.identity.member === "a" && next.effects.some(({ type }) => type === "StartEngine");
        if (isStart) starts.push(restartsInPlace(next.state));
        return next;
      },
    };
    const ended = deliver(watching, killEngine(world, "a"), "a", { type: "EngineExited" });
    const later = runPlain(watching, ended, 8);
    expect(starts).toEqual([inPlace]);
    expect(later.register.content).toMatchObject({ leader: inPlace ? "a" : "b", epoch: 2 });
  });

  test("a set that is on its way into the Lease is in force until it is known not to be: nothing weaker meanwhile", () => {
    const { world, protocol, asked } = running({ durability: { mode: "Quorum", whenDegraded: "Async" } });
    const { state, clockMs } = nodeOf(world, "a");
    const { sync } = world.register.content;
    if (state?.role.kind !== "leader" || state.hold === null || sync === null) throw new Error("a leads");
    // Between nobody and b the Lease holds the joint set; that of b alone was sent, and nobody knows whether it arrived.
    const joint = { ...sync, names: ["b"], ack: 0 };
    const narrowed = { ...joint, ack: 1, version: joint.version + 1 };
    const content = { ...world.register.content, sync: narrowed };
    const sent = { kind: "renew", attemptId: 1, casResourceVersion: "1", content } as const;
    const write = { ...sent, firstSentAtMs: clockMs, status: "unresolved", doubtful: true } as const;
    const role = {
      ...state.role,
      change: { target: { mode: "Quorum", names: ["b"], ack: 1 }, stage: "narrowing" },
    } as const;
    const peers = Object.fromEntries(
      Object.entries(state.peers).map(([name, peer]) => [name, { ...peer, dead: true }]),
    );
    const inDoubt = { ...state, role, write, peers, hold: { ...state.hold, sync: joint } };
    tell(protocol, withNode(world, "a", { state: inDoubt }), "a", { type: "Tick" });
    expect(types(asked, "a")).not.toContain("SetSyncSet");
    asked.length = 0;
    tell(protocol, withNode(world, "a", { state: { ...inDoubt, write: null } }), "a", { type: "Tick" });
    expect(types(asked, "a")).toContain("SetSyncSet");
  });

  test("a promise is durable before it is given, and binds after a restart", () => {
    const { world, protocol, asked } = running();
    const promise: EventBody = {
      type: "MessageReceived",
      from: "a",
      requestId: "a/1/1",
      message: { type: "Promise", epoch: 1 },
    };
    const bound = tell(protocol, world, "b", promise);
    expect(types(asked, "b").slice(0, 2)).toEqual(["Persist", "Reply"]);
    const record = nodeOf(bound, "b").record;
    const boot = { volume: "data", engine: "stopped", persisted: record, nowMs: 5_000 } as const;
    const state = initialState({ member: "b", holder: "b-0/uid1/9" }, PROFILES.Fast, boot);
    expect(state.quarantineAtMs).toBeGreaterThanOrEqual(5_000 + PROFILES.Fast.leaseMs);
  });

  test("a lost standby is narrowed away: engine first, then the Lease", () => {
    const { world, protocol, asked } = running();
    const dead = withNode(killEngine(world, "c"), "c", { state: null, up: false, restartAtMs: 600_000 });
    const next = runPlain(
      protocol,
      tell(protocol, dead, "a", { type: "PeerProbed", member: "c", result: "refused" }),
      2,
    );
    const order = asked.flatMap(({ member, effect }) => (member === "a" ? [effect] : []));
    const engine = order.findIndex((effect) => effect.type === "SetSyncSet" && effect.names.join() === "b");
    const lease = order.findIndex(
      (effect) => effect.type === "WriteLease" && effect.content.sync?.names.join() === "b",
    );
    expect(engine).toBeGreaterThanOrEqual(0);
    expect(lease).toBeGreaterThan(engine);
    expect(next.register.content.sync?.names).toEqual(["b"]);
  });

  test("with whenDegraded Block the set never falls below W", () => {
    const { world, protocol } = running();
    let dead = world;
    for (const name of ["b", "c"])
      dead = withNode(killEngine(dead, name), name, { state: null, up: false, restartAtMs: 600_000 });
    for (const member of ["b", "c"])
      dead = tell(protocol, dead, "a", { type: "PeerProbed", member, result: "refused" });
    expect(runPlain(protocol, dead, 10).register.content.sync?.ack).toBe(1);
  });

  test("the register goes back: the running leader asserts it anew, above every epoch", () => {
    const { world, protocol } = running();
    const older = { ...world.register.content, epoch: 0, holder: "", sync: null };
    const back = { ...world, register: { resourceVersion: "900", content: older }, nextVersion: 901 };
    const next = runPlain(protocol, back, 10);
    expect(next.register.content).toMatchObject({ epoch: 2, leader: "a" });
    expect(nodeOf(next, "a").engine.mode).toBe("writable");
    expect(next.ledger.violation).toBeNull();
  });

  test("the Lease is gone: not renewed, never created; the leader stays on promises", () => {
    const { world, protocol, asked } = running();
    for (const to of ["a", "b", "c"]) tell(protocol, world, to, { type: "LeaseGone", readId: null });
    expect(asked.some(({ effect }) => effect.type === "WriteLease")).toBe(false);
    expect(asked.some(({ effect }) => effect.type === "SendMessage" && effect.message.type === "Promise")).toBe(true);
  });

  test("an agent restarted under a running leader takes a new epoch and does not touch the engine", () => {
    const { world, protocol, asked } = running();
    const gone = withNode(world, "a", { state: null, restartAtMs: 0 });
    const next = runPlain(protocol, gone, 4);
    expect(types(asked, "a")).not.toContain("StopEngine");
    expect(next.register.content).toMatchObject({ epoch: 2, leader: "a" });
    expect(nodeOf(next, "a").engine.mode).toBe("writable");
  });
});
