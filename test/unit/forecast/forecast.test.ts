// What is forecast must be what then happens. What happens is taken from the simulator, in which agents and kubelets were written
// anew, step by step and in any order; the forecast's world knows nothing of it.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { forecast, type ForecastEvent } from "../../../src/forecast/forecast.ts";
import { engine, intentOf } from "../plan/fixture.ts";
import { CHANGES } from "../plan/member-changes.ts";
import { lottery } from "../plan/pairs.ts";
import { running } from "../plan/running.ts";
import { Simulator } from "../plan/simulator.ts";

const SOON = { update: { minReadySeconds: 1 } };
const VERSION_2 = { engine: { name: "example", version: "2" } };
const CANARY = { update: { strategy: "Canary", canary: { bakeSeconds: 60 } } };

/** What people would notice of what the simulator went through, in order, and when writes had to wait. */
function happened(world: Simulator): string[] {
  const seen: string[] = [];
  let { leader } = world;
  let idle = 0;
  for (let turn = 0; turn < 900 && idle < 4; turn += 1) {
    const before = { steps: world.trace.length, leader: world.leader, replicas: replicasOf(world) };
    const planned = world.pass();
    const replicas = replicasOf(world);
    for (const line of world.trace.slice(before.steps)) seen.push(...noticed(line, { ...before, after: replicas }));
    const moved = world.move();
    if (world.leader !== undefined && leader !== undefined && world.leader !== leader) {
      seen.push(`hand over ${leader} → ${world.leader}`);
    }
    leader = world.leader ?? leader;
    idle = planned || moved ? 0 : idle + 1;
    world.nowMs += idle === 0 ? 1_000 : 60_000;
  }
  return seen;
}

/** How many pods each member's set asks for. */
function replicasOf({ children }: Simulator): ReadonlyMap<string, number> {
  const sets = [...children].filter(([key]) => key.startsWith("StatefulSet/"));
  return new Map(
    sets.map(([key, { manifest }]) => [
      key.slice("StatefulSet/".length),
      (manifest["spec"] as { readonly replicas?: number }).replicas ?? 1,
    ]),
  );
}

interface Around {
  /** Who led before the step. */
  readonly leader: string | undefined;
  readonly replicas: ReadonlyMap<string, number>;
  readonly after: ReadonlyMap<string, number>;
}

function noticed(line: string, { leader, replicas, after }: Around): string[] {
  const [, verb, kind, name = ""] = /^(\w+) (\w+) ([\w-]+):/.exec(line) ?? [];
  const member = name.replace(/-0$/, "");
  const unlessLed = (text: string, who: string): string => (who === leader ? `${text}, writes wait` : text);
  if (verb === "Delete" && kind === "Pod") return [unlessLed(`replace ${member}`, member)];
  if (verb === "Delete" && kind === "StatefulSet") return [`remove ${name}`];
  if (verb === "Delete" && kind === "PersistentVolumeClaim") return [`delete volume ${name}`];
  if (verb !== "Apply" || kind !== "StatefulSet" || replicas.get(name) === after.get(name)) return [];
  if (!replicas.has(name)) return [`add ${name}`];
  return after.get(name) === 0 ? [unlessLed(`stop ${name}`, name)] : [`start ${name}`];
}

function foretold(events: readonly ForecastEvent[]): string[] {
  return events.flatMap(({ kind, object, detail, gap }) => {
    const waits = gap === "UntilBack" ? ", writes wait" : "";
    switch (kind) {
      case "ReplacePod":
        return [`replace ${object}${waits}`];
      case "RemoveMember":
        return [`remove ${object}${waits}`];
      case "DeleteVolume":
        return [`delete volume ${object}${waits}`];
      case "AddMember":
        return [`add ${object}${waits}`];
      case "StopMember":
        return [`stop ${object}${waits}`];
      case "StartMember":
        return [`start ${object}${waits}`];
      case "HandOver":
        return [`hand over ${detail}`];
      default:
        return waits === "" ? [] : [`${kind} ${object}${waits}`];
    }
  });
}

/** Changes the spec: what happens then, in order, is what was foretold before, and so is who has to wait. */
function expectForetold(world: Simulator, spec: object): void {
  const { events, blocked } = forecast(world.observe(), intentOf(spec));
  world.change(spec);
  expect(happened(world)).toEqual(foretold(events));
  expect((world.status.blocked ?? []).map(({ guard }) => guard)).toEqual(blocked.map(({ guard }) => guard));
}

const EDITS: Readonly<Record<string, object>> = {
  "a version": { ...SOON, ...VERSION_2 },
  "a canary": { ...CANARY, ...VERSION_2 },
  "a parameter that needs a restart": { ...SOON, parameters: { size: "20" } },
  "a parameter that does not": { ...SOON, parameters: { verbosity: "7" } },
  resources: { ...SOON, resources: { requests: { memory: "2Gi" } } },
  storage: { ...SOON, storage: { data: { size: "20Gi" } } },
  "more members": { ...SOON, members: 5 },
  "fewer members": { ...SOON, members: 1 },
  "fewer members and their volumes": {
    ...SOON,
    members: 1,
    deletionProtection: false,
    volumeRetention: { whenScaled: "Delete" },
  },
  "members and version at once": { ...SOON, ...VERSION_2, members: 5 },
  stopping: { ...SOON, stopped: true },
  nothing: SOON,
};

describe.each([1, 2, 3])("of %i members", (members) => {
  const offers = (edit: object) =>
    !("members" in edit && members === edit.members) && !(members === 1 && edit === EDITS["a canary"]);

  test.each(Object.entries(EDITS).filter(([, edit]) => offers(edit)))("a change of %s goes as foretold", (_, edit) => {
    const world = running(members, SOON);
    expectForetold(world, { members, ...edit });
  });

  test("a roll goes as foretold in whatever order the world moves, but for who takes over", () => {
    const who = (line: string) => line.replace(/ → .*/, "");
    for (let seed = 1; seed <= 4; seed += 1) {
      const world = new Simulator({ members, ...SOON }, lottery(seed));
      world.settle();
      const { events } = forecast(world.observe(), intentOf({ members, ...SOON, ...VERSION_2 }));
      world.change({ members, ...SOON, ...VERSION_2 });
      expect(happened(world).map(who)).toEqual(foretold(events).map(who));
    }
  });
});

describe("of the suite of changes, while nothing fails", () => {
  /** Those whose spec cannot work fail on the way, which no forecast can know. */
  const works = ([name, change]: readonly [string, object]) => "spec" in change && !name.startsWith("Bad");
  const specs = Object.entries(CHANGES)
    .filter(works)
    .map(([name, change]) => [name, (change as { readonly spec: object }).spec] as const);

  test.each(specs)("%s goes as foretold, and back", (_, spec) => {
    const world = running(3, SOON);
    expectForetold(world, { members: 3, ...SOON, ...spec });
    expectForetold(world, { members: 3, ...SOON });
  });

  test("any of them together, one edit after the other, from whatever the one before left", () => {
    const edit = fc
      .uniqueArray(fc.constantFrom(...specs), { minLength: 1, maxLength: 3, selector: ([name]) => name })
      .map((chosen) => chosen.reduce((spec: object, [, one]) => ({ ...spec, ...one }), {}));
    const edits = fc.array(edit, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), edits, (members, drawn) => {
        const world = running(members, SOON);
        for (const spec of drawn) expectForetold(world, { members, ...SOON, ...spec });
      }),
      { numRuns: 12 },
    );
  });
});

test("a member of a group goes once the engine does not count it any more", () => {
  const spec = { ...SOON, topology: "Consensus" };
  const world = new Simulator({ members: 3, ...spec });
  world.engine = { ...engine, topologies: ["Consensus"] };
  world.settle();
  const { events, blocked } = forecast(world.observe(), intentOf({ members: 2, ...spec }));
  expect(foretold(events)).toEqual(["remove orders-2"]);
  expect(blocked).toEqual([]);
});

test("writes wait for a hand-over, or until the only member is back", () => {
  const three = forecast(running(3, SOON).observe(), intentOf({ members: 3, ...SOON, ...VERSION_2 }));
  expect(three.events.filter(({ gap }) => gap !== "None").map(({ kind, gap }) => [kind, gap])).toEqual([
    ["HandOver", "HandOver"],
  ]);
  const one = forecast(running(1, SOON).observe(), intentOf({ members: 1, ...SOON, ...VERSION_2 }));
  expect(one.events.filter(({ gap }) => gap !== "None").map(({ kind, gap }) => [kind, gap])).toEqual([
    ["ReplacePod", "UntilBack"],
  ]);
});

test("a guard that holds is told with the way past it, and nothing after it", () => {
  const spec = { members: 3, engine: { name: "example", version: "9" } };
  const { events, blocked } = forecast(running(3).observe(), intentOf(spec));
  expect(events).toEqual([]);
  expect(blocked).toMatchObject([
    { guard: "VersionKnown", override: expect.stringContaining("kubectl patch") as string },
  ]);
});

test("a canary bakes before the rest follows", () => {
  const { events } = forecast(running(3).observe(), intentOf({ members: 3, ...CANARY, ...VERSION_2 }));
  const replaced = events.filter(({ kind }) => kind === "ReplacePod");
  expect(replaced).toHaveLength(3);
  expect((replaced[1]?.afterSeconds ?? 0) - (replaced[0]?.afterSeconds ?? 0)).toBeGreaterThanOrEqual(60);
});

test("its analyses pass, as in a world in which everything works: nothing is held back for want of figures, and nothing taken back", () => {
  const analysis = [{ name: "errors", measure: "ErrorPercent", max: "1" }];
  const update = { strategy: "Canary", canary: { bakeSeconds: 10, analysis } };
  const { events, blocked } = forecast(running(3).observe(), intentOf({ members: 3, update, ...VERSION_2 }));
  expect(blocked).toEqual([]);
  expect(events.filter(({ kind }) => kind === "ReplacePod")).toHaveLength(3);
});

test("and however long it bakes", () => {
  const update = { strategy: "Canary", canary: { bakeSeconds: 3600 } };
  const { events } = forecast(running(3).observe(), intentOf({ members: 3, update, ...VERSION_2 }));
  expect(events.filter(({ kind }) => kind === "ReplacePod")).toHaveLength(3);
});

test("nothing is foretold for later than it can begin", () => {
  const spec = { members: 3, update: { minReadySeconds: 10 } };
  const { events } = forecast(running(3, spec).observe(), intentOf({ ...spec, ...VERSION_2 }));
  const replaced = events.filter(({ kind }) => kind === "ReplacePod").map(({ afterSeconds }) => afterSeconds);
  expect(replaced).toHaveLength(3);
  expect(replaced[1]).toBeGreaterThanOrEqual(10);
  expect(replaced[2]).toBeLessThan(30);
});

test("what agents are told is foretold, with what becomes of it", () => {
  const { events } = forecast(running(3).observe(), intentOf({ members: 3, parameters: { verbosity: "7" } }));
  expect(events).toMatchObject([{ kind: "TellAgents", detail: "verbosity = 7", gap: "None" }]);
});
