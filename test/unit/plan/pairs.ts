// Two changes at once: the second begins at any step of the first. Whatever the order, it ends as both ask, safely all the way
// (the simulator checks every step), and then nothing moves any more.
import { HookName } from "../../../src/api/agent-wire.ts";
import { canonicalJson, isSameJson } from "../../../src/build/hash.ts";
import { hookedEngine } from "./fixture.ts";
import type { Measured } from "../../../src/plan/observation.ts";
import type { BudgetState } from "../../../src/slo/budget.ts";
import { evict, healNode, loseNode } from "./faults.ts";
import { type Choose, Simulator } from "./simulator.ts";
import type { Child } from "./views.ts";

/** Something that happens to a cluster. */
interface Change {
  /** What it wants of the spec. */
  readonly spec?: object;
  readonly begin?: (world: Simulator) => void;
  /** Mends what must be mended before the cluster can come to rest. */
  readonly end?: (world: Simulator) => void;
  /** What the spec wants afterwards, where that is something else. */
  readonly finally?: object;
}

const BASE = { members: 3, update: { minReadySeconds: 1, progressDeadlineSeconds: 60 } };

function leaderNode(world: Simulator): string {
  return world.pods.get(world.leader ?? "")?.node ?? "node-a";
}

/** The budget of a cluster that is measured, and how it burns. */
function measuredWith(alert: BudgetState["alert"]): Measured {
  const budgets = [{ name: "Availability", remaining: 0.9, burns: [], alert }] as const;
  return { budgets, missing: "", record: undefined, trial: undefined };
}

/** A follower's node is deleted, and its volume was on that node alone. */
function loseVolume(world: Simulator): void {
  const name = [...world.pods.keys()].findLast((member) => member !== world.leader);
  const volume = world.volumes.get(name ?? "");
  const node = world.pods.get(name ?? "")?.node;
  if (name === undefined || volume === undefined || node === undefined) return;
  volume.homes = [{ node, gone: "Deleted" }];
  world.kill(name);
  Object.assign(world.pods.get(name) ?? {}, { works: false });
}

function healAll(world: Simulator): void {
  for (const node of world.nodes.keys()) healNode(world, node);
}

/** Everything that the interlock orders, and what it must live with. */
export const CHANGES = {
  Failover: { begin: (world) => world.kill(world.leader ?? "orders-0") },
  NodeLoss: { begin: (world) => loseNode(world, leaderNode(world)), end: healAll },
  FollowerLoss: { begin: (world) => loseNode(world, world.pods.get("orders-2")?.node ?? "node-c"), end: healAll },
  Drain: {
    begin: (world) => {
      const node = leaderNode(world);
      const { leader } = world;
      world.nodes.set(node, { ready: true, unschedulable: true });
      if (leader !== undefined) evict(world, leader);
    },
    end: healAll,
  },
  Rollout: { spec: { engine: { name: "example", version: "2" } } },
  Canary: {
    spec: { engine: { name: "example", version: "2" }, update: { strategy: "Canary", canary: { bakeSeconds: 60 } } },
  },
  BadImage: {
    begin: (world) => void world.broken.add("example/bad"),
    spec: { engine: { name: "example", image: "example/bad" } },
  },
  BadConfig: { begin: (world) => void world.broken.add("bad"), spec: { parameters: { size: "bad" } } },
  Resize: { spec: { resources: { requests: { memory: "2Gi" } } } },
  VolumeGrowth: { spec: { storage: { data: { size: "20Gi" } } } },
  Reload: { spec: { parameters: { verbosity: "7" } } },
  ScaleOut: { spec: { members: 5 } },
  ScaleIn: { spec: { members: 2 } },
  StopAndStart: { spec: { stopped: true }, finally: { stopped: false } },
  Restart: { begin: (world) => world.operate("restart", { type: "Restart" }) },
  Switchover: { begin: (world) => world.operate("switchover", { type: "Switchover" }) },
  Rebuild: { begin: (world) => world.operate("rebuild", { type: "Rebuild", member: "orders-1" }) },
  FailingHooks: {
    begin: (world) => {
      for (const hook of HookName.options) world.hookAnswers.set(hook, "Failed");
    },
    end: (world) => world.hookAnswers.clear(),
  },
  Repair: { begin: (world) => void world.children.delete("Service/orders-rw") },
  OperatorUpgrade: { begin: (world) => void (world.agentImage = "quorate/agent:2") },
  Pause: { spec: { paused: true }, finally: { paused: false } },
  Abort: { begin: (world) => world.operate("abort", { type: "Abort" }) },
  BudgetBurn: {
    spec: { slo: {} },
    begin: (world) => void (world.measured = measuredWith("Page")),
    end: (world) => void (world.measured = measuredWith("None")),
  },
  VolumeGone: {
    spec: { disruption: { deadNode: "Replace" } },
    begin: loseVolume,
  },
} as const satisfies Record<string, Change>;
export type ChangeName = keyof typeof CHANGES;
const NAMES = Object.keys(CHANGES) as ChangeName[];

/** One schedule: which changes, when the second begins, and the seed of all disorder. */
export interface Schedule {
  readonly first: ChangeName;
  readonly second: ChangeName;
  /** Turns of operator and world between the two. */
  readonly at: number;
  readonly seed: number;
  /** The world moves between looking and acting. */
  readonly stale: boolean;
}

/** Runs one schedule from its beginning. @throws {Error} at the first thing that is not as it must be. */
export function runSchedule({ first, second, at, seed, stale }: Schedule): Simulator {
  const way = new Way(seed, stale);
  way.begin(first);
  way.go(at);
  return way.end(second);
}

/** How far a schedule has come. Those that begin alike have this part of their way in common. */
class Way {
  readonly #world: Simulator;
  readonly #stale: boolean;
  readonly #names: ChangeName[] = [];
  /** The revision of the beginning, which works. */
  readonly #good: string | undefined;
  #spec: object = BASE;

  /** A cluster that has come to rest. @param from - Instead of one that begins anew. */
  constructor(seed: number, stale: boolean, from?: Way) {
    this.#stale = stale;
    if (from === undefined) {
      this.#world = new Simulator(BASE, lottery(seed));
      this.#world.engine = hookedEngine;
      this.#world.looksWhenTold = true;
      this.#world.settle();
    } else {
      this.#world = from.#world.fork();
      this.#names.push(...from.#names);
      this.#spec = from.#spec;
    }
    this.#good = from === undefined ? this.#world.pods.get("orders-0")?.templateHash : from.#good;
  }

  /** Another one from here on. */
  fork(stale = this.#stale): Way {
    return new Way(0, stale, this);
  }

  begin(name: ChangeName): void {
    const change: Change = CHANGES[name];
    this.#names.push(name);
    change.begin?.(this.#world);
    this.#world.touch();
    if (change.spec === undefined) return;
    this.#spec = merged(this.#spec, change.spec);
    this.#world.change(this.#spec);
  }

  /** Operator and world take so many turns. */
  go(turns: number): void {
    const world = this.#world;
    for (let turn = 0; turn < turns; turn += 1) {
      if (this.#stale) world.pass(() => world.move());
      else world.pass();
      world.move();
      world.nowMs += 1_000;
    }
  }

  /** The second change begins, and everything comes to rest. */
  end(second: ChangeName): Simulator {
    const world = this.#world;
    this.begin(second);
    this.go(30);
    for (const name of this.#names) {
      const change: Change = CHANGES[name];
      change.end?.(world);
      world.touch();
      if (change.finally !== undefined) world.change((this.#spec = merged(this.#spec, change.finally)));
    }
    world.settle(1_500);
    world.nowMs += 300_000; // an operation that nobody can answer any more ends at its deadline
    world.settle(1_500);
    if (this.#names.some(isGivenUp)) retry(world);
    assertAtRest(world, this.#spec, { good: this.#good, names: this.#names });
    return world;
  }
}

/** What a person or a budget gave up is not tried again by itself: the command that status names tries it once more. */
function retry(world: Simulator): void {
  const block = world.status.blocked?.find(({ guard }) => guard === "RevisionFailed");
  const [, annotation = "", value = ""] = /(quorate\.io\/retry-revision)=(\S+)/.exec(block?.override ?? "") ?? [];
  if (annotation === "") return;
  world.annotations = { ...world.annotations, [annotation]: value };
  world.touch();
  world.settle(1_500);
}

/** Takes `change` over into `spec`, field by field. */
export function merged(spec: object, change: object): object {
  const result: Record<string, unknown> = { ...spec };
  for (const [field, value] of Object.entries(change)) {
    const before = result[field];
    const isInner = typeof before === "object" && before !== null && typeof value === "object" && value !== null;
    result[field] = isInner ? merged(before, value as object) : value;
  }
  return result;
}

interface Expected {
  readonly good: string | undefined;
  readonly names: readonly ChangeName[];
}

function assertAtRest(world: Simulator, spec: object, { good, names }: Expected): void {
  const isBroken = [...world.broken].some((text) => JSON.stringify(spec).includes(`"${text}"`));
  const { members } = world.spec;
  const wanted = Array.from({ length: members }, (_, n) => `orders-${n}`);
  check(equal([...world.pods.keys()].toSorted(), wanted), "the members are not those that are wanted");
  check(world.leader !== undefined, "nobody leads");
  check(
    [...world.pods.values()].every((pod) => pod.ready),
    "a member is not ready",
  );
  check(
    [...world.operations.values()].every((o) => o.status.completionTime !== undefined),
    "an operation has not ended",
  );
  check(world.plan().steps.length === 0, "there is still something to do");
  const { status } = world;
  const steps = world.trace.length;
  for (let resync = 0; resync < 3; resync += 1) {
    world.nowMs += 600_000;
    world.pass();
  }
  check(world.trace.length === steps && isSameJson(world.status, status), "it writes although nothing changes");
  const hashes = new Set([...world.pods.values()].map((pod) => pod.templateHash));
  const isReady = world.status.conditions?.find((c) => c.type === "Ready")?.status === "True";
  if (isBroken) {
    check(hashes.size === 1, "members are at several revisions");
    check(names.some(isRevision) || hashes.has(good ?? ""), "members are not at the last revision that worked");
    check(world.status.blocked?.some((b) => b.guard === "RevisionFailed") === true, "it does not say what failed");
    const mended = merged(spec, { engine: { name: "example", image: undefined }, parameters: { size: "11" } });
    world.change(mended);
    world.settle(1_500);
    assertAtRest(world, mended, { good, names });
  } else {
    check(isReady, `it is not Ready: ${canonicalJson(world.status.conditions)}`);
    if (!names.includes("OperatorUpgrade")) assertLikeFresh(world, spec);
  }
}

/** Whether the change ends the try of whatever is rolled out. */
function isGivenUp(name: ChangeName): boolean {
  return name === "Abort" || name === "BudgetBurn";
}

const REVISIONS: readonly ChangeName[] = ["Rollout", "Canary", "Resize"];
function isRevision(name: ChangeName): boolean {
  return REVISIONS.includes(name);
}

/** The way does not matter: what is there is what a new cluster with this spec has. */
function assertLikeFresh(world: Simulator, spec: object): void {
  for (const [key, { manifest }] of freshChildren(spec)) {
    const here = world.children.get(key)?.manifest["spec"];
    check(isSameJson(here, manifest["spec"]), `${key} is not as in a new cluster`);
  }
}

const fresh = new Map<string, readonly (readonly [string, Child])[]>();

/** What a new cluster with this spec comes to have. */
function freshChildren(spec: object): readonly (readonly [string, Child])[] {
  const key = canonicalJson(spec);
  const known = fresh.get(key);
  if (known !== undefined) return known;
  const world = new Simulator(spec);
  world.engine = hookedEngine;
  world.settle();
  const kinds = /^(StatefulSet|Service|PodDisruptionBudget|NetworkPolicy|Role)\//;
  const children = [...world.children].filter(([name]) => kinds.test(name));
  fresh.set(key, children);
  return children;
}

function equal(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

/** A repeatable sequence of choices. */
export function lottery(seed: number): Choose {
  let state = seed >>> 0;
  const choose = (count: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * count);
  };
  return Object.assign(choose, { fork: () => lottery(state) });
}

/** Every pair in both orders once, the second at a step of the first that is drawn for it; every other one with stale views. */
export function* drawnSchedules(steps: number): Generator<Schedule> {
  const draw = lottery(steps);
  let count = 0;
  for (const first of NAMES) {
    for (const second of NAMES) {
      count += 1;
      yield { first, second, at: draw(steps), seed: count, stale: count % 2 === 0 };
    }
  }
}

/** A schedule, and how it is run. */
export interface Run {
  readonly schedule: Schedule;
  /** @throws {Error} at the first thing that is not as it must be. */
  readonly run: () => Simulator;
}

/**
 * Every pair in both orders, the second at each of `steps` steps of the first, with and without stale views, for each of `seeds`.
 *
 * What schedules have in common is run once: the start of the cluster for all of a seed, the first change up to a step for all
 * that begin another there. Each comes out as by `runSchedule`. `firsts`: only those that begin with one of these.
 */
export function* schedules(
  steps: number,
  seeds: Iterable<number>,
  firsts: readonly ChangeName[] = NAMES,
): Generator<Run> {
  for (const seed of seeds) {
    const start = new Way(seed, false);
    const ways = [false, true].flatMap((stale) => firsts.map((first) => begun(start, first, stale)));
    // Steps outside: a run that is cut short has tried every pair at the earlier ones.
    for (let at = 0; at < steps; at += 1) {
      for (const { first, stale, take, go } of ways) {
        for (const second of NAMES) {
          yield { schedule: { first, second, at, seed, stale }, run: () => take().end(second) };
        }
        go();
      }
    }
  }
}

/** A way that goes on step by step, for others to begin from. What went wrong on it went wrong on all of them. */
function begun(start: Way, first: ChangeName, stale: boolean) {
  const way = start.fork(stale);
  let failure: unknown;
  const attempt = (act: () => void): void => {
    if (failure !== undefined) return;
    try {
      act();
    } catch (error) {
      failure = error;
    }
  };
  attempt(() => way.begin(first));
  return {
    first,
    stale,
    go: () => attempt(() => way.go(1)),
    take: (): Way => {
      if (failure !== undefined) throw failure;
      return way.fork();
    },
  };
}
