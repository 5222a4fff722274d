/** How the world moves: one item of work is carried out, an agent takes in an event, and its effects become new work. */
import type { Effect, EventBody } from "../../src/agent/protocol/exchange.ts";
import type { LeaseContent } from "../../src/agent/protocol/types.ts";
import { comparePositions, type Position } from "../../src/agent/protocol/position.ts";
import { confirmedLength, isPrefix, positionOf } from "./engine-model.ts";
import { checkAck, checkEpoch, checkPromotion } from "./oracles.ts";
import { isLinked, nodeOf, probeOf, withEngine, withNode, type Item, type Protocol, type World } from "./world.ts";

/** Whether the copy at `own` holds something that a leader at `leader` does not: an engine may not receive then. */
function hasTail(own: Position, leader: Position): boolean {
  const order = comparePositions(own, leader);
  return order === "older" || order === "newer" || order === "incomparable";
}

/** Appends work. */
export function enqueue(world: World, ...items: readonly Item[]): World {
  return { ...world, queue: [...world.queue, ...items] };
}

function tell(world: World, to: string, boot: number, body: EventBody): World {
  return enqueue(world, { type: "event", to, boot, body });
}

/** Hands an event to an agent, and turns its effects into work. */
export function deliver(protocol: Protocol, world: World, to: string, body: EventBody): World {
  const node = nodeOf(world, to);
  if (node.state === null) return world;
  const { state, effects } = protocol.transition(node.state, { ...body, nowMs: node.clockMs });
  return effects.reduce((next, effect) => begin(next, to, effect), withNode(world, to, { state }));
}

function begin(world: World, name: string, effect: Effect): World {
  const { boot } = nodeOf(world, name);
  switch (effect.type) {
    case "Persist":
      return withNode(world, name, { record: effect.record });
    case "ReadLease":
      return enqueue(world, { type: "read", to: name, boot, readId: effect.readId });
    case "WriteLease": {
      const { attemptId, casResourceVersion: cas, content } = effect;
      return enqueue(world, { type: "write", to: name, boot, attemptId, cas, content, ghost: false });
    }
    case "SendMessage":
      return enqueue(world, {
        type: "request",
        to: effect.to,
        from: name,
        boot,
        sendId: effect.sendId,
        message: effect.message,
      });
    case "Reply": {
      const [to = "", asked = "", sendId = ""] = effect.requestId.split("/");
      if (asked === "") return world;
      return enqueue(world, {
        type: "reply",
        to,
        from: name,
        boot: Number(asked),
        sendId: Number(sendId),
        reply: effect.reply,
      });
    }
    case "ExtendFence": {
      const { fenceAtMs } = nodeOf(world, name);
      return withNode(world, name, { fenceAtMs: Math.max(effect.deadlineMs, fenceAtMs ?? 0) });
    }
    case "DisarmFence":
      return withNode(world, name, { fenceAtMs: null });
    case "Route":
      return effect.ready ? { ...world, ledger: { ...world.ledger, served: effect.epoch } } : world;
    case "WakeAt":
    case "Report":
    case "SwitchoverResult":
      return world;
    case "Exit":
      return withNode(killEngine(world, name), name, {
        state: null,
        up: false,
        restartAtMs: nodeOf(world, name).clockMs + 1_500,
      });
    case "ProbePeer":
      return enqueue(world, { type: "action", to: name, boot, effect });
    default:
      return enqueue(endActions(world, name), { type: "action", to: name, boot, effect });
  }
}

/** A stop, and an action that replaces another, end what was in flight: it will not be carried out later. */
function endActions(world: World, name: string): World {
  const isOther = (item: Item): boolean =>
    item.type !== "action" || item.to !== name || item.effect.type === "ProbePeer";
  return { ...world, queue: world.queue.filter(isOther), held: world.held.filter(({ item }) => isOther(item)) };
}

/** Carries out one item. */
export function perform(protocol: Protocol, world: World, item: Item): World {
  switch (item.type) {
    case "event":
      return nodeOf(world, item.to).boot === item.boot ? deliver(protocol, world, item.to, item.body) : world;
    case "request":
      return performRequest(protocol, world, item);
    case "reply": {
      const isLost = !isLinked(world, item.from, item.to);
      const { sendId, from, reply } = item;
      const failed = { type: "MessageFailed", sendId, to: from, cause: "timeout" } as const;
      return tellNow(protocol, world, item, isLost ? failed : { type: "MessageReply", sendId, from, reply });
    }
    case "read": {
      const { readId } = item;
      if (!isLinked(world, item.to, "api")) return tellNow(protocol, world, item, { type: "LeaseReadFailed", readId });
      return tellNow(protocol, world, item, { type: "LeaseObserved", readId, lease: world.register });
    }
    case "write":
      return performWrite(protocol, world, item);
    case "action":
      return nodeOf(world, item.to).boot === item.boot ? performAction(protocol, world, item) : world;
    case "replicate":
      return replicate(world, item.to);
    default:
      return item satisfies never;
  }
}

function tellNow(
  protocol: Protocol,
  world: World,
  to: { readonly to: string; readonly boot: number },
  body: EventBody,
): World {
  const node = nodeOf(world, to.to);
  if (node.boot !== to.boot) return world;
  return node.paused ? tell(world, to.to, to.boot, body) : deliver(protocol, world, to.to, body);
}

function performRequest(protocol: Protocol, world: World, item: Extract<Item, { type: "request" }>): World {
  const target = nodeOf(world, item.to);
  const { sendId, from, boot, message } = item;
  const asker = { to: from, boot };
  const failed = (cause: "timeout" | "refused"): EventBody => ({ type: "MessageFailed", sendId, to: item.to, cause });
  if (!isLinked(world, from, item.to)) return tellNow(protocol, world, asker, failed("timeout"));
  if (!target.up || target.state === null) return tellNow(protocol, world, asker, failed("refused"));
  const body: EventBody = { type: "MessageReceived", from, requestId: `${from}/${boot}/${sendId}`, message };
  if (!target.paused) return deliver(protocol, world, item.to, body);
  return tellNow(protocol, tell(world, item.to, target.boot, body), asker, failed("timeout"));
}

/** The register: a compare-and-swap by resourceVersion. Everybody linked sees a change by watch. */
function performWrite(protocol: Protocol, world: World, item: Extract<Item, { type: "write" }>): World {
  const { attemptId, cas, content } = item;
  if (!isLinked(world, item.to, "api") && !item.ghost) {
    return tellNow(protocol, world, item, {
      type: "LeaseWriteResult",
      attemptId,
      result: "indeterminate",
      resourceVersion: null,
    });
  }
  const isMatch = world.register.resourceVersion === cas;
  const next = isMatch ? setRegister(world, content) : world;
  if (item.ghost) return next;
  const resourceVersion = isMatch ? next.register.resourceVersion : null;
  const result = isMatch ? "ok" : "conflict";
  return tellNow(protocol, next, item, { type: "LeaseWriteResult", attemptId, result, resourceVersion });
}

/** Puts content into the register, and tells the watches. */
export function setRegister(world: World, content: LeaseContent): World {
  const register = { resourceVersion: String(world.nextVersion), content };
  const past = [...world.past, world.register.content].slice(-6);
  const next = { ...world, register, past, nextVersion: world.nextVersion + 1 };
  return next.nodes
    .filter((node) => isLinked(world, node.name, "api"))
    .reduce<World>(
      (told, node) => tell(told, node.name, node.boot, { type: "LeaseObserved", readId: null, lease: register }),
      next,
    );
}

// ------------------------------------------------------------------------------------------------------------------ engines

function performAction(protocol: Protocol, world: World, item: Extract<Item, { type: "action" }>): World {
  const { effect, to } = item;
  if (effect.type === "StopEngine") {
    return tellNow(protocol, killEngine(world, to), item, { type: "EngineGone" });
  }
  if (effect.type === "ProbePeer") {
    const { member } = effect;
    const result = !isLinked(world, to, member) ? "timeout" : nodeOf(world, member).up ? "accepted" : "refused";
    return tellNow(protocol, world, item, { type: "PeerProbed", member, result });
  }
  if (!("actionId" in effect)) return world;
  const { actionId } = effect;
  if (effect.type === "SetSyncSet" && effect.verify) return beginVerify(protocol, world, item, effect);
  const outcome = runAction(world, to, effect);
  if (typeof outcome === "string") {
    const cause = outcome === "diverged" ? "diverged" : "error";
    return tellNow(protocol, world, item, { type: "ActionFailed", actionId, cause, message: outcome });
  }
  const isPositioned = effect.type === "Seal" || effect.type === "Promote";
  const position = isPositioned ? positionOf(nodeOf(outcome, to).engine) : null;
  return tellNow(protocol, spread(outcome), item, { type: "ActionDone", actionId, position });
}

/** The engine's processes are gone; what waited for a confirmation never answers its client. */
export function killEngine(world: World, name: string): World {
  return withEngine(disconnect(world, name), name, { mode: "stopped", upstream: null, verify: null, flushed: {} });
}

/** The member receives from nobody; who sent to it forgets how far it was. */
function disconnect(world: World, name: string): World {
  const { upstream } = nodeOf(world, name).engine;
  if (upstream === null) return world;
  const { [name]: _, ...flushed } = nodeOf(world, upstream).engine.flushed;
  return withEngine(withEngine(world, upstream, { flushed }), name, { upstream: null });
}

type ActionEffect = Extract<Effect, { readonly actionId: number }>;

function runAction(world: World, name: string, effect: ActionEffect): World | string {
  const { engine } = nodeOf(world, name);
  switch (effect.type) {
    case "StartEngine":
      if (engine.volume !== "data" || engine.mode !== "stopped") return "cannot start";
      return withEngine(world, name, { mode: "follower", upstream: null });
    case "Initialize":
      return engine.mode === "stopped" ? withEngine(world, name, { volume: "data", log: [] }) : "running";
    case "Seal":
      return engine.mode === "follower" ? disconnect(world, name) : "not a follower";
    case "Follow": {
      const own = positionOf(engine);
      if (engine.mode !== "follower" || own === null) return "not a follower";
      if (hasTail(own, effect.position)) return "diverged";
      return engine.upstream === effect.leader
        ? world
        : withEngine(disconnect(world, name), name, { upstream: effect.leader });
    }
    case "Promote":
      return promote(world, name, effect.epoch);
    case "SetSyncSet":
      return acknowledge(withEngine(world, name, { names: effect.names, ack: effect.ack, verify: null }), name);
    case "Clone":
    case "Rejoin": {
      const source = nodeOf(world, effect.from).engine;
      if (engine.mode !== "stopped") return "running";
      if (!isLinked(world, name, effect.from) || source.mode !== "writable") return "no source";
      return withEngine(world, name, { volume: "data", log: source.log });
    }
    case "PrepareHandover":
      return world;
    default:
      return effect satisfies never;
  }
}

function promote(world: World, name: string, epoch: number): World | string {
  const { engine, boot } = nodeOf(world, name);
  if (engine.mode === "stopped") return "not running";
  const checked = checkEpoch(world, epoch, `${name}/${boot}`);
  if (engine.mode === "writable") return withEngine(checked, name, { epoch });
  const id = checked.ledger.nextEntry;
  const marked = { ...checked, ledger: { ...checked.ledger, nextEntry: id + 1 } };
  const log = [...engine.log, { id, epoch, mark: true }];
  const next = withEngine(marked, name, {
    mode: "writable",
    epoch,
    log,
    upstream: null,
    acked: engine.log.length,
  });
  return checkPromotion(next, name);
}

function beginVerify(
  protocol: Protocol,
  world: World,
  item: Extract<Item, { type: "action" }>,
  effect: Extract<Effect, { type: "SetSyncSet" }>,
): World {
  const { engine, boot } = nodeOf(world, item.to);
  const { actionId, names, ack } = effect;
  if (engine.mode !== "writable") {
    return tellNow(protocol, world, item, { type: "ActionFailed", actionId, cause: "error", message: "not writable" });
  }
  const verify = { actionId, boot, index: engine.log.length };
  return acknowledge(withEngine(world, item.to, { names, ack, verify }), item.to);
}

/** A client's row at a writable engine; it is answered when enough standbys have it. */
export function writeRow(world: World, name: string): World {
  const { engine } = nodeOf(world, name);
  const id = world.ledger.nextEntry;
  const log = [...engine.log, { id, epoch: engine.epoch, mark: false }];
  const next = { ...world, ledger: { ...world.ledger, nextEntry: id + 1 } };
  return spread(acknowledge(withEngine(next, name, { log }), name));
}

/** Answers the clients whose rows are confirmed, in log order, and ends a verification that has come true. */
function acknowledge(world: World, name: string): World {
  const { engine } = nodeOf(world, name);
  if (engine.mode !== "writable") return world;
  const confirmed = confirmedLength(engine);
  let next = world;
  for (const entry of engine.log.slice(engine.acked, confirmed)) {
    if (!entry.mark) next = checkAck(next, name, entry);
  }
  next = withEngine(next, name, { acked: Math.max(engine.acked, confirmed) });
  const { verify } = engine;
  if (verify === null || confirmed < verify.index) return next;
  const body: EventBody = { type: "ActionDone", actionId: verify.actionId, position: null };
  return tell(withEngine(next, name, { verify: null }), name, verify.boot, body);
}

/** Adds a replication step for every standby that has something to receive. */
export function spread(world: World): World {
  const waiting = new Set(world.queue.flatMap((item) => (item.type === "replicate" ? [item.to] : [])));
  const items = world.nodes
    .filter((node) => !waiting.has(node.name) && canReceive(world, node.name))
    .map((node) => ({ type: "replicate", to: node.name }) as const);
  return items.length === 0 ? world : enqueue(world, ...items);
}

function canReceive(world: World, name: string): boolean {
  const { engine } = nodeOf(world, name);
  const { upstream } = engine;
  if (engine.mode !== "follower" || upstream === null || !isLinked(world, name, upstream)) return false;
  const leader = nodeOf(world, upstream).engine;
  // A follower passes on what it has, and goes on with the same connections when it is promoted.
  if (leader.mode === "stopped" || (leader.mode === "writable" && !isPrefix(engine.log, leader.log))) return false;
  return engine.log.length < leader.log.length || (leader.flushed[name] ?? -1) < engine.log.length;
}

function replicate(world: World, name: string): World {
  if (!canReceive(world, name)) return world;
  const { engine } = nodeOf(world, name);
  const leader = engine.upstream ?? "";
  const source = nodeOf(world, leader).engine;
  // A receiver that is ahead says how far it is before it is refused.
  const log = isPrefix(engine.log, source.log) ? source.log.slice(0, engine.log.length + 1) : engine.log;
  const received = withEngine(world, name, { log });
  const flushed = { ...source.flushed, [name]: log.length };
  return spread(acknowledge(withEngine(received, leader, { flushed }), leader));
}

/** One tick at a member: the runtime's probe, then the Tick. */
export function tickItems(world: World, name: string): readonly Item[] {
  const { boot } = nodeOf(world, name);
  const bodies: readonly EventBody[] = [...probeOf(world, name), { type: "Tick" }];
  return bodies.map((body) => ({ type: "event", to: name, boot, body }));
}
