// Two changes at once: the second begins at any step of the first. Whatever the order, it ends as both ask, safely all the way
// (the simulator checks every step), and then nothing moves any more.
import { HookName } from "../../../src/api/agent-wire.ts";
import { canonicalJson } from "../../../src/build/hash.ts";
import { hookedEngine } from "./fixture.ts";
import type { Measured } from "../../../src/plan/observation.ts";
import type { BudgetState } from "../../../src/slo/budget.ts";
import { evict, healNode, loseNode } from "./faults.ts";
import { Simulator } from "./simulator.ts";

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

/** Runs one schedule. @throws {Error} at the first thing that is not as it must be. */
export function runSchedule({ first, second, at, seed, stale }: Schedule): void {
  const world = new Simulator(BASE, lottery(seed));
  world.engine = hookedEngine;
  world.settle();
  const good = world.pods.get("orders-0")?.templateHash;
  let spec: object = BASE;
  const begin = (name: ChangeName): void => {
    const change: Change = CHANGES[name];
    change.begin?.(world);
    if (change.spec === undefined) return;
    spec = merged(spec, change.spec);
    world.change(spec);
  };
  const turns = (count: number): void => {
    for (let turn = 0; turn < count; turn += 1) {
      if (stale) world.pass(() => world.move());
      else world.pass();
      world.move();
      world.nowMs += 1_000;
    }
  };
  begin(first);
  turns(at);
  begin(second);
  turns(30);
  const names = [first, second];
  for (const name of names) {
    const change: Change = CHANGES[name];
    change.end?.(world);
    if (change.finally !== undefined) world.change((spec = merged(spec, change.finally)));
  }
  world.settle(1_500);
  world.nowMs += 300_000; // an operation that nobody can answer any more ends at its deadline
  world.settle(1_500);
  if (names.some(isGivenUp)) retry(world);
  assertAtRest(world, spec, { good, names });
}

/** What a person or a budget gave up is not tried again by itself: the command that status names tries it once more. */
function retry(world: Simulator): void {
  const block = world.status.blocked?.find(({ guard }) => guard === "RevisionFailed");
  const [, annotation = "", value = ""] = /(quorate\.io\/retry-revision)=(\S+)/.exec(block?.override ?? "") ?? [];
  if (annotation === "") return;
  world.annotations = { ...world.annotations, [annotation]: value };
  world.settle(1_500);
}

/** Takes `change` over into `spec`, field by field. */
function merged(spec: object, change: object): object {
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
  const before = canonicalJson([world.trace, world.status]);
  for (let resync = 0; resync < 3; resync += 1) {
    world.nowMs += 600_000;
    world.pass();
  }
  check(canonicalJson([world.trace, world.status]) === before, "it writes although nothing changes");
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
  const fresh = new Simulator(spec);
  fresh.engine = world.engine;
  fresh.settle();
  for (const [key, child] of fresh.children) {
    if (!/^(StatefulSet|Service|PodDisruptionBudget|NetworkPolicy|Role)\//.test(key)) continue;
    const here = world.children.get(key)?.manifest["spec"];
    check(canonicalJson(here) === canonicalJson(child.manifest["spec"]), `${key} is not as in a new cluster`);
  }
}

function equal(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

/** A repeatable sequence of choices. */
export function lottery(seed: number): (count: number) => number {
  let state = seed >>> 0;
  return (count) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * count);
  };
}

/** Every pair in both orders once, the second at a step of the first that is drawn for it; every other one with stale views. */
export function* drawnSchedules(steps: number): Generator<Schedule> {
  const names = Object.keys(CHANGES) as ChangeName[];
  const draw = lottery(steps);
  let count = 0;
  for (const first of names) {
    for (const second of names) {
      count += 1;
      yield { first, second, at: draw(steps), seed: count, stale: count % 2 === 0 };
    }
  }
}

/** Every pair in both orders, the second at each of `steps` steps of the first; every other schedule with stale views. */
export function* schedules(steps: number, seeds: number): Generator<Schedule> {
  const names = Object.keys(CHANGES) as ChangeName[];
  let count = 0;
  // Steps outside: a run that is cut short has tried every pair at the earlier ones.
  for (let at = 0; at < steps; at += 1) {
    for (const first of names) {
      for (const second of names) {
        for (let draw = 0; draw < seeds; draw += 1) {
          count += 1;
          yield { first, second, at, seed: count, stale: count % 2 === 0 };
        }
      }
    }
  }
}
