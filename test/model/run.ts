/**
 * Runs the model checker: `node test/model/run.ts [--protocol DIR] [--scenario NAME] [--walks N] [--json]`.
 * Prints states, depth and rate of every part; exits 1 with the schedule of the first broken promise.
 */
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { PROFILES } from "../../src/agent/protocol/profile.ts";
import type { Intent } from "../../src/agent/protocol/types.ts";
import { crashContainer, KINDS, type Kind } from "./deviations.ts";
import { explore, walk, type Bounds, type Outcome } from "./explore.ts";
import { violate } from "./oracles.ts";
import { plainStep, runPlain, without as withoutItem } from "./schedule.ts";
import { linkOf, newIntent, newWorld, nodeOf, withNode, type Protocol, type World } from "./world.ts";

interface Scenario {
  readonly name: string;
  readonly members: number;
  /** Members that were added and have not been in sync yet. */
  readonly learners?: readonly string[];
  readonly mode: Intent["durability"]["mode"];
  readonly whenDegraded: Intent["durability"]["whenDegraded"];
  readonly fences: boolean;
  readonly kinds: readonly Kind[];
  readonly budget: number;
  readonly window: number;
  /** The leader's agent is stopped, and its last heartbeat to `b` arrives that many ticks later, when followers elect another
   *  leader; the exploration begins shortly before. Absent: a healthy start. */
  readonly staleTicks?: number;
  /** An order to promote `c` by force, given while `down` are dead and `apart` live, but cut off from `c` and the register. */
  readonly forced?: {
    readonly lost: readonly string[];
    readonly down: readonly string[];
    readonly apart: readonly string[];
  };
}

function without(kinds: readonly Kind[]): readonly Kind[] {
  return KINDS.filter((kind) => !kinds.includes(kind));
}

const base = { members: 3, mode: "Quorum", whenDegraded: "Block", fences: false, window: 24 } as const;

const BREAKS = ["crash", "cut", "pause", "lease"] as const;

/** The exhaustive parts; `--budget 2` and more deepen any of them, in minutes to hours. */
const SCENARIOS: readonly Scenario[] = [
  { ...base, name: "one", kinds: KINDS, budget: 1 },
  // Async stands on clocks and the fence: they are given, and a register that went back is beyond what it promises.
  { ...base, name: "one-async", mode: "Async", fences: true, kinds: without(["regress", "clock"]), budget: 1 },
  { ...base, name: "one-all", mode: "All", kinds: KINDS, budget: 1 },
  // Without the majority rule (docs/failover.md) a register that goes back may find nobody who knows better.
  { ...base, name: "one-degraded", whenDegraded: "Async", kinds: without(["regress"]), budget: 1 },
  { ...base, name: "one-pair", members: 2, kinds: KINDS, budget: 1 },
  { ...base, name: "one-five", members: 5, kinds: without(["delay"]), budget: 1 },
  { ...base, name: "one-learner", learners: ["c"], kinds: KINDS, budget: 1 },
  { ...base, name: "two-broken", kinds: BREAKS, budget: 2, window: 4 },
  ...[13, 14, 15].map((staleTicks) => ({
    ...base,
    name: `stale-${staleTicks}`,
    kinds: ["crash", "delay"] as const,
    budget: 1,
    window: 4,
    staleTicks,
  })),
  { ...base, name: "forced", kinds: BREAKS, budget: 1, forced: { lost: ["a", "b"], down: ["a", "b"], apart: [] } },
  { ...base, name: "forced-apart", kinds: BREAKS, budget: 1, forced: { lost: ["a"], down: [], apart: ["a", "b"] } },
  // Named for lost against the truth: found out as long as `c` hears it speak.
  { ...base, name: "forced-lie", kinds: ["lease"], budget: 1, forced: { lost: ["a", "b"], down: [], apart: ["a"] } },
];

/** Loads the protocol from a folder. */
async function loadProtocol(folder: string): Promise<Protocol> {
  const load = async (file: string): Promise<unknown> => import(pathToFileURL(join(folder, file)).href);
  const { transition } = (await load("transition.ts")) as Pick<Protocol, "transition">;
  const { initialState } = (await load("state.ts")) as Pick<Protocol, "initialState">;
  return { transition, initialState };
}

/** A cluster that has started and serves. */
function steadyWorld(protocol: Protocol, scenario: Scenario): World {
  const intent = newIntent(scenario.members, {
    learners: scenario.learners ?? [],
    durability: { mode: scenario.mode, whenDegraded: scenario.whenDegraded },
  });
  const world = runPlain(protocol, newWorld(protocol, PROFILES.Fast, intent, scenario.fences), 12);
  const started = { ...intent, bootstrapMember: null };
  const told = { ...world, intent: started, queue: [...world.queue, ...tellings(world, started)] };
  const steady = runPlain(protocol, told, 10);
  if (scenario.forced !== undefined) return withForcedPromotion(protocol, steady, scenario.forced);
  return scenario.staleTicks === undefined ? steady : withStaleHeartbeat(protocol, steady, scenario.staleTicks);
}

function withForcedPromotion(
  protocol: Protocol,
  steady: World,
  { lost, down, apart }: NonNullable<Scenario["forced"]>,
): World {
  const broken = down.reduce((world, name) => crashContainer(world, name, 60_000), steady);
  const forced = { member: "c", epoch: steady.register.content.sync?.epoch ?? 0, lost };
  // The operator makes learners of the lost in the same write: no acknowledgement waits for them.
  const intent: Intent = { ...steady.intent, forced, learners: lost };
  const cut = apart.flatMap((name) => [linkOf(name, "api"), linkOf(name, "c")]).toSorted();
  const heard = { ...broken, nodes: broken.nodes.filter(({ name }) => name === "c") };
  const start: World = { ...broken, intent, cut, queue: [...broken.queue, ...tellings(heard, intent)] };
  const isLed = nodeOf(runPlain(protocol, start, 18), "c").engine.mode === "writable";
  if (isLed === down.length > 0) return start;
  return violate(start, isLed ? "c leads by an order whose terms are not met" : "c does not lead as ordered");
}

function tellings(world: World, intent: Intent): World["queue"] {
  return world.nodes.map(
    ({ name: to, boot }) => ({ type: "event", to, boot, body: { type: "IntentChanged", intent } }) as const,
  );
}

function withStaleHeartbeat(protocol: Protocol, steady: World, ticks: number): World {
  let world = steady;
  const find = (): number =>
    world.queue.findIndex((item) => item.type === "request" && item.message.type === "Heartbeat" && item.to === "b");
  while (find() === -1) world = plainStep(protocol, world);
  const item = world.queue[find()];
  if (item === undefined) return world;
  const stale = withNode({ ...withoutItem(world, find()), held: [...world.held, { item, ticks }] }, "a", {
    paused: true,
  });
  return { ...runPlain(protocol, stale, 12), calmTicks: 0 };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(name: string, outcome: Outcome, seconds: number): void {
  const rate = Math.round(outcome.steps / seconds);
  const bound = outcome.complete ? "complete" : "stopped";
  print(
    `${name}: ${outcome.states} states, ${outcome.steps} steps, depth ${outcome.depth}, ${seconds.toFixed(1)} s, ${rate} steps/s, ${bound}`,
  );
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      protocol: { type: "string", default: join(import.meta.dirname, "../../src/agent/protocol") },
      scenario: { type: "string", default: "" },
      walks: { type: "string", default: "0" },
      seed: { type: "string", default: "1" },
      steps: { type: "string", default: "3000" },
      "max-states": { type: "string", default: "3000000" },
      budget: { type: "string", default: "" },
      kinds: { type: "string", default: "" },
    },
  });
  const protocol = await loadProtocol(resolve(values.protocol));
  const wanted =
    values.scenario === "" ? SCENARIOS : SCENARIOS.filter(({ name }) => values.scenario.split(",").includes(name));
  for (const scenario of wanted) {
    const startedAt = performance.now();
    const kinds = new Set(values.kinds === "" ? scenario.kinds : (values.kinds.split(",") as Kind[]));
    const budget = values.budget === "" ? scenario.budget : Number(values.budget);
    const bounds: Bounds = { kinds, budget, window: scenario.window, maxStates: Number(values["max-states"]) };
    const start = steadyWorld(protocol, scenario);
    const walks = Number(values.walks);
    if (walks === 0) {
      const outcome = explore(protocol, start, bounds);
      report(scenario.name, outcome, (performance.now() - startedAt) / 1000);
      if (outcome.finding !== null) return fail(outcome);
      continue;
    }
    let steps = 0;
    for (let seed = Number(values.seed); seed < Number(values.seed) + walks; seed += 1) {
      const outcome = walk(protocol, start, seed, { steps: Number(values.steps), kinds });
      steps += outcome.steps;
      if (outcome.finding !== null) {
        print(`seed ${seed}`);
        return fail(outcome);
      }
    }
    report(
      `${scenario.name} walks`,
      { states: steps, steps, depth: Number(values.steps), complete: true, finding: null },
      (performance.now() - startedAt) / 1000,
    );
  }
  return 0;
}

function fail(outcome: Outcome): number {
  print(`BROKEN: ${outcome.finding?.violation ?? ""}`);
  for (const line of outcome.finding?.trace ?? []) print(`  ${line}`);
  return 1;
}

process.exitCode = await main();
