// Which versions lead to which: what the Engine does not allow is not begun, and the way that it allows is named.
import { describe, expect, test } from "vitest";
import { EngineSpec } from "../../../src/api/engine.ts";
import { upgradeProblem } from "../../../src/plan/upgrade-path.ts";
import { engine, intentOf } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

const UPDATE = { minReadySeconds: 1, progressDeadlineSeconds: 60 };
const at = (version: string, more: object = {}) => ({
  members: 3,
  update: UPDATE,
  engine: { name: "example", version },
  ...more,
});

type Paths = Readonly<Record<string, readonly string[] | undefined>>;

/** An engine with these versions, each with those that lead to it. */
function withPaths(paths: Paths): EngineSpec {
  const versions = Object.entries(paths).map(([version, upgradesFrom]) => ({
    version,
    image: `example/engine:${version}`,
    ...(upgradesFrom === undefined ? {} : { upgradesFrom }),
  }));
  return EngineSpec.parse({ ...engine, versions });
}

/** One major version at a time, and never back, but from 3 to 2. */
const STAIRS: Paths = { "1": [], "2": ["1", "3"], "3": ["2"], "4": ["3"], "9": [] };

describe("from one version to another", () => {
  test.each<{
    readonly paths: Paths;
    readonly from: string;
    readonly to: string;
    readonly instead?: string;
    readonly says?: string;
  }>([
    { paths: { "1": undefined, "9": undefined }, from: "9", to: "1" },
    { paths: STAIRS, from: "1", to: "1" },
    { paths: STAIRS, from: "1", to: "2" },
    { paths: STAIRS, from: "3", to: "2" },
    { paths: STAIRS, from: "1", to: "3", instead: "2", says: "Set spec.engine.version to 2, then to 3." },
    { paths: STAIRS, from: "1", to: "4", instead: "2", says: "Set spec.engine.version to 2, then to 3, then to 4." },
    { paths: STAIRS, from: "2", to: "1", instead: "2", says: "No other version leads there either." },
    {
      paths: STAIRS,
      from: "4",
      to: "9",
      instead: "4",
      says: "Set spec.engine.version back to 4; a new cluster can begin",
    },
    // One that the Engine has no more, and still knows the way from.
    { paths: { "2": ["1"], "3": ["2"] }, from: "1", to: "3", instead: "2", says: "to 2, then to 3" },
    { paths: { "2": ["1"], "3": ["2"] }, from: "0", to: "3", instead: "0", says: "back to 0" },
  ])("$from to $to", ({ paths, from, to, instead, says = "" }) => {
    const problem = upgradeProblem(intentOf(), withPaths(paths), from, to);
    expect(problem?.version).toBe(instead);
    if (instead === undefined) return;
    expect(problem?.message).toContain(`Engine example does not take members from version ${from} to ${to} at once`);
    expect(problem?.message).toContain(says);
  });
});

/** A settled cluster at a version, with what was done so far forgotten. */
function settled(version: string, paths: Paths = STAIRS): Simulator {
  const world = new Simulator(at(version));
  world.engine = withPaths(paths);
  world.settle();
  world.trace.length = 0;
  return world;
}

function turns(world: Simulator, count: number): void {
  for (let turn = 0; turn < count; turn += 1) {
    world.pass();
    world.move();
    world.nowMs += 5_000;
  }
}

const replaced = (world: Simulator) => world.trace.flatMap((line) => /^Delete Pod (\S+)-0:/.exec(line)?.[1] ?? []);
const blocked = (world: Simulator) => world.status.blocked?.find(({ guard }) => guard === "UpgradePathAllowed");

describe("the planner", () => {
  test.each([
    { why: "jumps over a version", from: "1", to: "3", instead: "2" },
    { why: "goes back", from: "2", to: "1", instead: "2" },
  ])("changes no member of a cluster that $why, and says what to do", ({ from, to, instead }) => {
    const world = settled(from);
    world.change(at(to));
    turns(world, 40);
    expect(replaced(world)).toEqual([]);
    expect(blocked(world)).toMatchObject({
      object: "orders",
      message: expect.stringContaining(`from version ${from} to ${to} at once`),
      override: expect.stringContaining(`{"spec":{"engine":{"version":"${instead}"}}}`),
    });
    expect(world.status.conditions?.find(({ type }) => type === "Blocked")).toMatchObject({
      status: "True",
      reason: "UpgradePathAllowed",
    });
    expect(world.status.rollout?.phase).toBe("Blocked");
    expect(world.status.rollout?.failed ?? []).toEqual([]);
  });

  test("goes on by itself along the way that it names", () => {
    const world = settled("1");
    world.change(at("3"));
    turns(world, 5);
    expect(blocked(world)).toBeDefined();
    for (const version of ["2", "3", "4"]) {
      world.change(at(version));
      world.settle();
      expect(blocked(world)).toBeUndefined();
      expect(world.status).toMatchObject({ engineImage: `example/engine:${version}`, rollout: { phase: "Complete" } });
    }
  });

  test("goes on when the Engine learns of the way", () => {
    const world = settled("1");
    world.change(at("3"));
    turns(world, 5);
    world.engine = withPaths({ ...STAIRS, "3": ["1", "2"] });
    world.settle();
    expect(world.status).toMatchObject({ engineImage: "example/engine:3", rollout: { phase: "Complete" } });
  });

  test("lets everything pass where the Engine says nothing", () => {
    const world = settled("9", { "1": undefined, "9": undefined });
    world.change(at("1"));
    world.settle();
    expect(blocked(world)).toBeUndefined();
    expect(world.status.engineImage).toBe("example/engine:1");
  });

  test("begins a new cluster with any version", () => {
    expect(settled("9").status).toMatchObject({ engineImage: "example/engine:9", rollout: { phase: "Complete" } });
  });

  test("brings the version that the Engine begins with to no cluster that named none, if nothing leads there", () => {
    const { version: _, ...unnamed } = at("1").engine;
    const spec = { ...at("1"), engine: unnamed };
    const world = new Simulator(spec);
    world.engine = withPaths({ "1": [] });
    world.settle();
    world.trace.length = 0;
    world.engine = withPaths({ "3": ["2"], "2": ["1"], "1": [] });
    turns(world, 20);
    expect(replaced(world)).toEqual([]);
  });

  test("holds back the version and nothing else: members are added, at the version that the others run", () => {
    const world = settled("1");
    world.change(at("3", { members: 5 }));
    turns(world, 60);
    expect(world.status.readyMembers).toBe(5);
    expect(replaced(world)).toEqual([]);
    expect(blocked(world)).toBeDefined();
    world.change(at("1", { members: 5 }));
    world.settle();
    expect(blocked(world)).toBeUndefined();
    expect(replaced(world)).toEqual([]);
  });

  test("lets a change that is under way be taken back, though the way back is not open", () => {
    const world = settled("1");
    world.change(at("2"));
    while (replaced(world).length === 0) turns(world, 1);
    world.change(at("1"));
    world.settle();
    expect(blocked(world)).toBeUndefined();
    expect(world.status).toMatchObject({ engineImage: "example/engine:1", rollout: { phase: "Complete" } });
  });

  test("looks at every version that members run: those that are ahead must have a way, too", () => {
    // From 1 there is one to 5; from 2 there is none.
    const world = settled("1", { "1": [], "2": ["1"], "5": ["1"] });
    world.change(at("2"));
    while (replaced(world).length === 0) turns(world, 1);
    world.trace.length = 0;
    world.change(at("5"));
    turns(world, 20);
    expect(replaced(world)).toEqual([]);
    expect(blocked(world)?.message).toContain("from version 2 to 5");
  });

  test("leaves a version that failed, whatever leads back to the one before", () => {
    const world = settled("1");
    world.broken.add("example/engine:2");
    world.change(at("2"));
    turns(world, 60);
    world.settle();
    expect(world.status.rollout?.phase).toBe("RolledBack");
    expect(blocked(world)).toBeUndefined();
  });
});
