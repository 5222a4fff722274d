import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildAccess } from "../../../src/build/access.ts";
import { templateHash } from "../../../src/build/pod-template.ts";
import { contextOf } from "./fixture.ts";
import { names, running } from "./running.ts";
import type { Simulator } from "./simulator.ts";

const OF_IMAGE = "a".repeat(64);
const OFFERED = "b".repeat(64);
const AGENT = { hash: OFFERED, version: "1.1.0", nodeMajor: 24 };
const IN_PLACE = { update: { agents: "InPlace" } };

/** A running cluster, whose agents say what they are, under an operator that has another one. */
function behind(members: number, spec: object = IN_PLACE, agentVersion = "1.0.0"): Simulator {
  const world = running(members, spec);
  for (const member of world.pods.keys()) beginWithImage(world, member, agentVersion);
  world.agents.own = AGENT;
  return world;
}

function beginWithImage(world: Simulator, member: string, agentVersion: string): void {
  const pod = world.pods.get(member);
  if (pod?.report === undefined) throw new Error(`${member} does not run`);
  pod.report = { ...pod.report, agentVersion, agent: { hash: OF_IMAGE, nodeMajor: 24 } };
}

/** What members run, in their order. */
function agentsOf(world: Simulator): readonly (string | undefined)[] {
  return names(world.pods.size).map((name) => world.pods.get(name)?.report?.agent?.hash);
}

/** Lets the world go on until nothing more happens; whose turn it was, in order. */
function turnsOf(world: Simulator): readonly string[] {
  const turns: string[] = [];
  for (let round = 0; round < 40; round += 1) {
    world.pass();
    const turn = world.intent?.agent?.member;
    if (turn !== undefined && turn !== turns.at(-1)) turns.push(turn);
    world.move();
    world.nowMs += 1_000;
  }
  return turns;
}

const offers = (world: Simulator) => world.trace.filter((line) => line.startsWith("OfferAgent"));

describe("agents in place", () => {
  test.each([1, 3, 5])("reach %i members one after the other, the leader last, and nothing else changes", (members) => {
    const world = behind(members);
    const pods = [...world.pods].map(([name, { uid }]) => [name, uid]);
    const leader = world.leader ?? "";
    const others = names(members).filter((name) => name !== leader);
    expect(turnsOf(world)).toEqual([...others.toReversed(), leader]);
    expect(agentsOf(world)).toEqual(names(members).map(() => OFFERED));
    expect([...world.pods].map(([name, { uid }]) => [name, uid])).toEqual(pods);
    expect(world.restarts).toEqual([]);
    expect(world.leader).toBe(leader);
  });

  test("are offered once for all members, and taken back at the end", () => {
    const world = behind(3);
    turnsOf(world);
    expect(offers(world)).toHaveLength(1);
    expect(world.intent?.agent).toBeUndefined();
    expect(world.trace.at(-1)).toBe("Apply ConfigMap orders-agent: no member is to take it any more");
    world.trace.length = 0;
    turnsOf(world);
    expect(world.trace).toEqual([]);
  });

  test("a pod that comes back with the agent of its image is given the other one again", () => {
    const world = behind(3);
    turnsOf(world);
    beginWithImage(world, "orders-1", "1.0.0");
    expect(turnsOf(world)).toEqual(["orders-1"]);
    expect(agentsOf(world)).toEqual([OFFERED, OFFERED, OFFERED]);
  });

  test("wait while a member is behind", () => {
    const world = behind(3);
    Object.assign(world.pods.get("orders-1") ?? {}, { ready: false, works: false });
    expect(turnsOf(world)).toEqual([]);
    expect(world.status.blocked).toMatchObject([{ guard: "MembersInSync", object: "orders-1" }]);
  });

  test("wait for a maintenance window", () => {
    const window = { name: "never", cron: "0 3 29 2 *", timeZone: "Etc/UTC", durationMinutes: 10 };
    const world = behind(3, { ...IN_PLACE, maintenanceWindows: [window] });
    expect(turnsOf(world)).toEqual([]);
    expect(world.status.blocked).toMatchObject([{ guard: "WindowOpen" }]);
  });

  test("stop at the first member that would not run it; the others keep theirs, and the offer is taken back", () => {
    const world = behind(3);
    world.agents.refusing.add("orders-1");
    expect(turnsOf(world)).toEqual(["orders-2", "orders-1"]);
    expect(agentsOf(world)).toEqual([OF_IMAGE, OF_IMAGE, OFFERED]);
    expect(world.status.blocked).toMatchObject([
      {
        guard: "AgentTaken",
        object: "orders-1",
        message: expect.stringContaining("it ended before it served") as string,
        override: expect.stringContaining('"agents":"WithPods"') as string,
      },
    ]);
    expect(world.trace.at(-1)).toContain("no member is to take it any more");
    world.agents.own = { ...AGENT, hash: "c".repeat(64), version: "1.1.1" };
    world.agents.refusing.clear();
    expect(turnsOf(world)).toEqual(["orders-2", "orders-1", "orders-0"]);
    expect(world.status.blocked ?? []).toEqual([]);
  });

  test.each([
    ["unless the user wants them so", {}, "1.0.0", AGENT],
    ["in the place of newer ones, which may have written what they do not know", IN_PLACE, "1.2.0", AGENT],
    ["where the pods' Node is too old for them", IN_PLACE, "1.0.0", { ...AGENT, nodeMajor: 26 }],
    ["that they are already", IN_PLACE, "1.0.0", { ...AGENT, hash: OF_IMAGE }],
  ])("are not offered %s", (_why, spec, agentVersion, agent) => {
    const world = behind(3, spec, agentVersion);
    world.agents.own = agent;
    expect(turnsOf(world)).toEqual([]);
    expect(offers(world)).toEqual([]);
  });

  test("are not offered to agents that cannot be replaced", () => {
    const world = running(3, IN_PLACE);
    world.agents.own = AGENT;
    turnsOf(world);
    expect(offers(world)).toEqual([]);
  });

  test("give way to everything else", () => {
    const world = behind(3);
    world.operate("move", { type: "Switchover", member: "orders-2" });
    world.pass();
    expect(offers(world)).toEqual([]);
    world.settle();
    expect(world.leader).toBe("orders-2");
    expect(agentsOf(world)).toEqual([OFFERED, OFFERED, OFFERED]);
  });
});

describe("whatever happens meanwhile", () => {
  /** Members with their images' agents, one of which leads, when an operator comes that has another. */
  function ledBy(leader: string): Simulator {
    const world = behind(3);
    world.agents.own = undefined;
    if (world.leader !== leader) world.operate("first", { type: "Switchover", member: leader });
    world.settle();
    expect(world.leader).toBe(leader);
    world.agents.own = AGENT;
    return world;
  }

  /** One thing that goes wrong, or that somebody wants. */
  const disturbance = fc.constantFrom<(world: Simulator, member: string) => void>(
    (world, member) => world.kill(member),
    (world, member) => void world.pods.delete(member),
    (world) => world.operate(`move-${world.operations.size}`, { type: "Switchover" }),
    (world, member) => world.operate(`restart-${world.operations.size}`, { type: "Restart", member }),
    (world) => void (world.agents.own = { ...AGENT, hash: "c".repeat(64), version: "1.2.0" }),
    () => undefined,
  );

  /** Who is named while somebody is away, or while the leader is not the last. */
  function wrongly(world: Simulator): string | undefined {
    const member = world.intent?.agent?.member;
    const own = world.agents.own?.hash;
    if (member === undefined) return undefined;
    const others = [...world.pods].filter(([name]) => name !== member);
    if (member !== world.leader || others.every(([, pod]) => pod.report?.agent?.hash === own)) return undefined;
    return `${member} leads, and is named before ${others.map(([name]) => name).join()}`;
  }

  test("one member at a time is named, the leader last, and in the end all run the operator's agent", () => {
    const steps = fc.array(fc.record({ disturb: disturbance, at: fc.nat(2), passes: fc.integer({ min: 1, max: 6 }) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(steps, fc.nat(2), (all, first) => {
        const world = ledBy(`orders-${first}`);
        const go = (): void => {
          const before = world.observe();
          world.pass();
          const named = world.intent?.agent?.member;
          const isAway = before.members.some(({ pod }) => pod?.ready !== true || pod.report?.state !== "Running");
          if (named !== undefined && named !== before.intent?.intent?.agent?.member) {
            expect([isAway, wrongly(world)]).toEqual([false, undefined]);
          }
          world.move();
          // A pod that is new begins with the agent of its image.
          for (const [name, { report }] of world.pods) {
            if (report !== undefined && report.agent === undefined) beginWithImage(world, name, "1.0.0");
          }
          world.nowMs += 1_000;
        };
        for (const { disturb, at, passes } of all) {
          disturb(world, `orders-${at}`);
          for (let pass = 0; pass < passes; pass += 1) go();
        }
        const isDone = (): boolean => agentsOf(world).every((hash) => hash === world.agents.own?.hash);
        for (let pass = 0; pass < 150 && !isDone(); pass += 1) go();
        expect(isDone()).toBe(true);
      }),
      { numRuns: 12 },
    );
  });
});

test("neither the wish nor the operator's agent changes the pods", () => {
  const settings = { agentImage: "quorate/agent:1", agent: AGENT };
  expect(templateHash({ ...contextOf(IN_PLACE), settings })).toBe(templateHash(contextOf()));
});

test("members may read what is offered only where it is wanted", () => {
  const rightsOf = (spec: object) => JSON.stringify(buildAccess(contextOf(spec), ["orders-0"]));
  expect(rightsOf(IN_PLACE)).toContain("orders-agent");
  expect(rightsOf({})).not.toContain("orders-agent");
});
