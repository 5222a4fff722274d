/** Ways to leave the plain schedule: what can be lost, delayed, broken, stopped or killed at this point. */
import type { EventBody } from "../../src/agent/protocol/exchange.ts";
import type { LeaseContent } from "../../src/agent/protocol/types.ts";
import { nextIndex, without } from "./schedule.ts";
import { enqueue, killEngine, setRegister, writeRow } from "./step.ts";
import { linkOf, withNode, type HeldItem, type Item, type World } from "./world.ts";

/** Classes of deviations, to choose from. */
export const KINDS = ["delay", "lease", "crash", "pause", "cut", "clock", "regress", "row", "change"] as const;

/** One class of deviations. */
export type Kind = (typeof KINDS)[number];

/** A way to go on, with a name for traces. */
export interface Deviation {
  readonly label: string;
  readonly world: World;
}

/** Every deviation of the given kinds from here. */
export function deviationsFrom(world: World, kinds: ReadonlySet<Kind>): readonly Deviation[] {
  const found: Deviation[] = [];
  const add = (label: string, next: World): void => {
    found.push({ label, world: { ...next, calmTicks: 0 } });
  };
  const index = nextIndex(world);
  const item = world.queue[index];
  if (item !== undefined) deviateItem(without(world, index), item, kinds, add);
  // What breaks by itself breaks between two pieces of work; while agents only look around it makes no difference when.
  if (item === undefined || item.type !== "event" || item.body.type !== "EngineState") deviateNodes(world, kinds, add);
  return found;
}

type Add = (label: string, next: World) => void;

const LONG_TICKS = 16;
/** What the kubelet leaves a pod that is deleted by force. */
const FORCED_GRACE_MS = 2000;

function deviateItem(rest: World, item: Item, kinds: ReadonlySet<Kind>, add: Add): void {
  const hold = (ticks: number, ...told: readonly Item[]): World => {
    const held: HeldItem = { item, ticks };
    return enqueue({ ...rest, held: [...rest.held, held] }, ...told);
  };
  if (item.type === "write" && !item.ghost && kinds.has("lease")) {
    const { to, boot, attemptId } = item;
    const body: EventBody = { type: "LeaseWriteResult", attemptId, result: "indeterminate", resourceVersion: null };
    const told = { type: "event", to, boot, body } as const;
    const ghost: Item = { ...item, ghost: true };
    add("write applied, answer lost", { ...rest, queue: [ghost, told, ...rest.queue] });
    add(
      "write delayed, told indeterminate",
      enqueue({ ...rest, held: [...rest.held, { item: ghost, ticks: 2 }] }, told),
    );
    add("write lost, told indeterminate", enqueue(rest, told));
  }
  if (!kinds.has("delay")) return;
  const isWatch = item.type === "event" && item.body.type === "LeaseObserved";
  if (item.type === "request" || item.type === "reply") {
    const [to, peer] = item.type === "request" ? [item.from, item.to] : [item.to, item.from];
    const body: EventBody = { type: "MessageFailed", sendId: item.sendId, to: peer, cause: "timeout" };
    const told: Item = { type: "event", to, boot: item.boot, body };
    const name = item.type === "request" ? item.message.type : item.reply.type;
    add(`${name} lost`, enqueue(rest, told));
    add(`${name} late`, hold(LONG_TICKS, told));
  } else if (item.type === "action" || item.type === "replicate" || isWatch) {
    const name =
      item.type === "action" ? item.effect.type : item.type === "replicate" ? `replicate ${item.to}` : "watch";
    add(`${name} delayed`, hold(2));
    add(`${name} late`, hold(LONG_TICKS));
  }
}

function deviateNodes(world: World, kinds: ReadonlySet<Kind>, add: Add): void {
  for (const node of world.nodes) {
    const { name, state, paused, engine, clockMs } = node;
    if (kinds.has("crash")) {
      if (state !== null)
        add(`${name}: agent dies`, withNode(world, name, { state: null, paused: false, restartAtMs: clockMs }));
      if (node.up) add(`${name}: container dies`, crashContainer(world, name, 1_000));
      if (node.up) add(`${name}: container dies for long`, crashContainer(world, name, 60_000));
      if (engine.mode !== "stopped") add(`${name}: engine dies`, crashEngine(world, name));
    }
    if (kinds.has("pause") && state !== null && !paused)
      add(`${name}: agent stopped`, withNode(world, name, { paused: true }));
    if (kinds.has("cut")) {
      const api = linkOf(name, "api");
      const peers = world.nodes.filter((other) => other.name !== name).map((other) => linkOf(name, other.name));
      if (!world.cut.includes(api)) add(`${name}: cut from the API`, cutLinks(world, [api]));
      if (peers.some((link) => !world.cut.includes(link))) add(`${name}: cut from peers`, cutLinks(world, peers));
      add(`${name}: isolated`, cutLinks(world, [api, ...peers]));
    }
    if (kinds.has("clock")) add(`${name}: clock jumps`, withNode(world, name, { clockMs: clockMs + 7_000 }));
    if (kinds.has("row") && engine.mode === "writable") add(`${name}: row`, writeRow(world, name));
  }
  if (kinds.has("cut"))
    add(
      "API away",
      cutLinks(
        world,
        world.nodes.map((node) => linkOf(node.name, "api")),
      ),
    );
  if (kinds.has("regress"))
    world.past.forEach((content, age) => add(`register back to ${age}`, turnBack(world, content)));
  if (kinds.has("change")) deviateIntent(world, add);
}

function deviateIntent(world: World, add: Add): void {
  for (const leader of world.nodes) {
    if (leader.engine.mode !== "writable" || leader.state === null) continue;
    for (const graceMs of [null, FORCED_GRACE_MS]) {
      const body = { type: "TermRequested", graceMs } as const;
      add(
        `${leader.name}: TERM${graceMs === null ? "" : " by force"}`,
        enqueue(world, { type: "event", to: leader.name, boot: leader.boot, body }),
      );
    }
    for (const other of world.nodes) {
      if (other.name === leader.name) continue;
      const switchover = { id: `s${leader.engine.epoch}`, from: leader.name, to: other.name };
      const intent = { ...world.intent, switchover };
      const told = world.nodes.map(
        ({ name: to, boot }) => ({ type: "event", to, boot, body: { type: "IntentChanged", intent } }) as const,
      );
      add(`switchover ${leader.name} to ${other.name}`, enqueue({ ...world, intent }, ...told));
    }
  }
}

function turnBack(world: World, content: LeaseContent): World {
  return setRegister({ ...world, ledger: { ...world.ledger, regressed: true } }, content);
}

function cutLinks(world: World, links: readonly string[]): World {
  return { ...world, cut: [...new Set([...world.cut, ...links])].toSorted() };
}

/** The member's container is gone for that long, and whoever looks at it sees that. */
export function crashContainer(world: World, name: string, downMs: number): World {
  const dead = killEngine(world, name);
  const { clockMs } = dead.nodes.find((node) => node.name === name) ?? { clockMs: 0 };
  const down = withNode(dead, name, {
    state: null,
    up: false,
    paused: false,
    fenceAtMs: null,
    restartAtMs: clockMs + downMs,
  });
  const watchers = down.nodes.filter((node) => node.state !== null && !down.cut.includes(linkOf(node.name, name)));
  const body: EventBody = { type: "PeerProbed", member: name, result: "refused" };
  return enqueue(down, ...watchers.map(({ name: to, boot }) => ({ type: "event", to, boot, body }) as const));
}

function crashEngine(world: World, name: string): World {
  const { boot } = world.nodes.find((node) => node.name === name) ?? { boot: 0 };
  return enqueue(killEngine(world, name), { type: "event", to: name, boot, body: { type: "EngineExited" } });
}
