/** The world around the members: a register, a network, clocks, engines; plain data, changed by copying. */
import type { Profile } from "../../src/agent/protocol/profile.ts";
import type { State } from "../../src/agent/protocol/state.ts";
import type { Effect, Event, EventBody, Message, ReplyMessage } from "../../src/agent/protocol/exchange.ts";
import type {
  BootFindings,
  Identity,
  Intent,
  LeaseContent,
  LeaseView,
  PersistedRecord,
} from "../../src/agent/protocol/types.ts";
import { EMPTY_ENGINE, positionOf, type ModelEngine } from "./engine-model.ts";

/** The code under test, loaded from src or from a mutated copy. */
export interface Protocol {
  readonly initialState: (
    identity: Identity,
    profile: Profile,
    boot: BootFindings & { readonly nowMs: number },
  ) => State;
  readonly transition: (state: State, event: Event) => { readonly state: State; readonly effects: readonly Effect[] };
}

/** One member: its agent (state null: not running), its volume, its node's clock and its fence. */
export interface Node {
  readonly name: string;
  readonly state: State | null;
  readonly boot: number;
  readonly pod: number;
  readonly clockMs: number;
  readonly paused: boolean;
  readonly up: boolean;
  readonly record: PersistedRecord | null;
  readonly engine: ModelEngine;
  readonly fenceAtMs: number | null;
  readonly restartAtMs: number;
}

/** Work on its way. `boot` is the boot that asked; answers to an earlier boot are lost, its lease writes are not. */
export type Item =
  | { readonly type: "event"; readonly to: string; readonly boot: number; readonly body: EventBody }
  | {
      readonly type: "request";
      readonly to: string;
      readonly from: string;
      readonly boot: number;
      readonly sendId: number;
      readonly message: Message;
    }
  | {
      readonly type: "reply";
      readonly to: string;
      readonly from: string;
      readonly boot: number;
      readonly sendId: number;
      readonly reply: ReplyMessage;
    }
  | { readonly type: "read"; readonly to: string; readonly boot: number; readonly readId: number }
  | {
      readonly type: "write";
      readonly to: string;
      readonly boot: number;
      readonly attemptId: number;
      readonly cas: string;
      readonly content: LeaseContent;
      /** The sender was told “indeterminate” already; it may still be applied. */
      readonly ghost: boolean;
    }
  | { readonly type: "action"; readonly to: string; readonly boot: number; readonly effect: Effect }
  | { readonly type: "replicate"; readonly to: string };

/** An item delayed by the schedule, for that many ticks. */
export interface HeldItem {
  readonly item: Item;
  readonly ticks: number;
}

/** What has been promised to clients and seen by the oracles. */
export interface Ledger {
  readonly acked: readonly { readonly id: number; readonly epoch: number; readonly by: string }[];
  readonly nextEntry: number;
  readonly epochs: readonly { readonly epoch: number; readonly by: string }[];
  readonly violation: string | null;
  /** The register went back at least once. */
  readonly regressed: boolean;
  readonly served: number;
}

/** Everything. `cut` holds "a|b" for broken links, a member and "api" included. */
export interface World {
  readonly nodes: readonly Node[];
  readonly queue: readonly Item[];
  readonly held: readonly HeldItem[];
  readonly cut: readonly string[];
  readonly register: LeaseView;
  readonly past: readonly LeaseContent[];
  readonly nextVersion: number;
  readonly ledger: Ledger;
  readonly intent: Intent;
  readonly profile: Profile;
  /** Whether init's fence works in time. Quorum must be safe without it; Async is safe only with it. */
  readonly fences: boolean;
  /** Ticks since the last deviation from the plain schedule. */
  readonly calmTicks: number;
  /** Items carried out since time last passed: too many mean that members spin. */
  readonly busy: number;
}

/** The names that models use. */
export const NAMES = ["a", "b", "c", "d", "e"] as const;

/** What the operator says of a new cluster of so many members: the first may initialise. */
export function newIntent(members: number, change: Partial<Intent> = {}): Intent {
  return {
    members: NAMES.slice(0, members),
    learners: [],
    durability: { mode: "Quorum", whenDegraded: "Block" },
    maxLag: "100",
    paused: false,
    bootstrapMember: NAMES[0],
    switchover: null,
    forced: null,
    ...change,
  };
}

/** A cluster before its first start; `a` may initialise. */
export function newWorld(protocol: Protocol, profile: Profile, intent: Intent, fences: boolean): World {
  const content: LeaseContent = {
    holder: "",
    epoch: 0,
    leader: "",
    handover: "",
    attempt: 0,
    failovers: 0,
    sync: null,
  };
  const world: World = {
    nodes: intent.members.map((name) => ({
      name,
      state: null,
      boot: 0,
      pod: 1,
      clockMs: 0,
      paused: false,
      up: true,
      record: null,
      engine: EMPTY_ENGINE,
      fenceAtMs: null,
      restartAtMs: 0,
    })),
    queue: [],
    held: [],
    cut: [],
    register: { resourceVersion: "1", content },
    past: [],
    nextVersion: 2,
    ledger: { acked: [], nextEntry: 1, epochs: [], violation: null, regressed: false, served: 0 },
    intent,
    profile,
    fences,
    calmTicks: 0,
    busy: 0,
  };
  return intent.members.reduce((next, name) => bootAgent(protocol, next, name), world);
}

/** The member's record in the world. */
export function nodeOf(world: World, name: string): Node {
  const node = world.nodes.find((one) => one.name === name);
  if (node === undefined) throw new Error(`no member ${name}`);
  return node;
}

/** The world with one member changed. */
export function withNode(world: World, name: string, change: Partial<Node>): World {
  return { ...world, nodes: world.nodes.map((node) => (node.name === name ? { ...node, ...change } : node)) };
}

/** The world with one member's engine changed. */
export function withEngine(world: World, name: string, change: Partial<ModelEngine>): World {
  const { engine } = nodeOf(world, name);
  return withNode(world, name, { engine: { ...engine, ...change } });
}

/** Whether two ends can reach each other. */
export function isLinked(world: World, a: string, b: string): boolean {
  return !world.cut.includes(linkOf(a, b));
}

/** The name of a link. */
export function linkOf(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}

/** Starts an agent anew in a running container: it knows what was persisted, and finds the engine as it is. */
export function bootAgent(protocol: Protocol, world: World, name: string): World {
  const node = nodeOf(world, name);
  const boot = node.boot + 1;
  const identity = { member: name, holder: `${name}-0/uid${node.pod}/${boot}` };
  const { volume, mode } = node.engine;
  const findings = { volume, engine: mode, persisted: node.record, nowMs: node.clockMs };
  const state = protocol.initialState(identity, world.profile, findings);
  const next = withEngine(withNode(world, name, { state, boot, paused: false }), name, { verify: null });
  const events: EventBody[] = [{ type: "IntentChanged", intent: world.intent }, ...probeOf(next, name)];
  return {
    ...next,
    queue: [...next.queue, ...events.map((body) => ({ type: "event", to: name, boot, body }) as const)],
  };
}

/** What a probe of the running engine shows; nothing when it does not run. */
export function probeOf(world: World, name: string): readonly EventBody[] {
  const { engine } = nodeOf(world, name);
  if (engine.mode === "stopped") return [];
  const standbys = world.nodes
    .filter((node) => isStreaming(world, node, name))
    .map((node) => ({ member: node.name, streaming: true, flushed: String(engine.flushed[node.name] ?? 0) }));
  return [{ type: "EngineState", writable: engine.mode === "writable", position: positionOf(engine), standbys }];
}

function isStreaming(world: World, node: Node, leader: string): boolean {
  const { mode, upstream } = node.engine;
  return (
    mode === "follower" && upstream === leader && isLinked(world, node.name, leader) && node.engine.volume === "data"
  );
}
