/**
 * The plain schedule: work is done in the order in which it came, then time passes. Exploration is about leaving it at a
 * bounded number of places; after a while without a deviation, everything broken is repaired.
 */
import { violate } from "./oracles.ts";
import { enqueue, killEngine, perform, spread, tickItems, writeRow } from "./step.ts";
import { bootAgent, withNode, type Item, type Protocol, type World } from "./world.ts";

const MAX_BUSY = 1_000;

/** One tick of every clock. */
export const TICK_MS = 500;

/** Ticks without a deviation after which everything is repaired. */
export const HEAL_TICKS = 20;

/** Ticks without a deviation after which somebody must serve. */
export const PROGRESS_TICKS = 90;

/** The place in the queue of the item that is next; -1 when only time can pass. */
export function nextIndex(world: World): number {
  return world.queue.findIndex((item) => !isWaiting(world, item));
}

/** Whether the item is for an agent that is stopped just now. */
export function isWaiting(world: World, item: Item): boolean {
  return (
    item.type === "event" && world.nodes.some((node) => node.name === item.to && node.paused && node.boot === item.boot)
  );
}

/** The world without the item at that place. */
export function without(world: World, index: number): World {
  return { ...world, queue: world.queue.filter((_, at) => at !== index) };
}

/** Carries out the item at that place. */
export function take(protocol: Protocol, world: World, index: number): World {
  const item = world.queue[index];
  if (item === undefined) return world;
  const next = perform(protocol, { ...without(world, index), busy: world.busy + 1 }, item);
  return next.busy > MAX_BUSY ? violate(next, "members spin without time passing") : next;
}

/** One step of the plain schedule. */
export function plainStep(protocol: Protocol, world: World): World {
  const index = nextIndex(world);
  return index === -1 ? passTime(protocol, world) : take(protocol, world, index);
}

/** Half a second passes everywhere: fences fire, what crashed comes back, clients write, agents look around. */
export function passTime(protocol: Protocol, world: World): World {
  const calmTicks = Math.min(world.calmTicks + 1, PROGRESS_TICKS + 1);
  let next = release(calmTicks === HEAL_TICKS ? heal(world) : world);
  next = {
    ...next,
    calmTicks,
    busy: 0,
    nodes: next.nodes.map((node) => ({ ...node, clockMs: node.clockMs + TICK_MS })),
  };
  for (const { name } of next.nodes) next = comeBack(protocol, fence(protocol, next, name), name);
  const newest = next.ledger.epochs.reduce((max, one) => Math.max(max, one.epoch), 0);
  for (const { name, engine } of next.nodes) {
    // Clients go on at a leader that was replaced: it must never confirm them.
    const limit = engine.epoch < newest ? 4 : 2;
    const rows = engine.log.filter((entry) => entry.epoch === engine.epoch && !entry.mark).length;
    if (engine.mode === "writable" && rows < limit) next = writeRow(next, name);
  }
  next = spread(next);
  for (const { name, state, paused } of next.nodes) {
    if (state !== null && !paused) next = enqueue(next, ...tickItems(next, name));
  }
  return next;
}

function release(world: World): World {
  if (world.held.length === 0) return world;
  const held = world.held.map(({ item, ticks }) => ({ item, ticks: ticks - 1 }));
  const freed = held.flatMap(({ item, ticks }) => (ticks <= 0 ? [item] : []));
  return enqueue({ ...world, held: held.filter(({ ticks }) => ticks > 0) }, ...freed);
}

/** Ends every lasting fault. */
export function heal(world: World): World {
  const held = world.held.map(({ item }) => ({ item, ticks: 0 }));
  const nodes = world.nodes.map((node) => ({
    ...node,
    paused: false,
    restartAtMs: Math.min(node.restartAtMs, node.clockMs),
  }));
  return { ...world, cut: [], held, nodes };
}

function fence(protocol: Protocol, world: World, name: string): World {
  const node = world.nodes.find((one) => one.name === name);
  if (!world.fences || node === undefined || node.fenceAtMs === null || node.clockMs < node.fenceAtMs) return world;
  return bootAgent(protocol, withNode(killEngine(world, name), name, { fenceAtMs: null, state: null }), name);
}

function comeBack(protocol: Protocol, world: World, name: string): World {
  const node = world.nodes.find((one) => one.name === name);
  if (node === undefined || node.state !== null || node.clockMs < node.restartAtMs) return world;
  return bootAgent(protocol, withNode(world, name, { up: true }), name);
}

/** Runs the plain schedule for a number of ticks. */
export function runPlain(protocol: Protocol, world: World, ticks: number): World {
  let next = world;
  for (let left = ticks; left >= 0; ) {
    if (nextIndex(next) === -1) left -= 1;
    if (left < 0) break;
    next = plainStep(protocol, next);
  }
  return next;
}
