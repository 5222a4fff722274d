// When an agent may give way to another: often enough in a cluster that is well, never while somebody waits for it, and nothing moves.
import { describe, expect, test } from "vitest";
import { PROFILES } from "../../../src/agent/protocol/profile.ts";
import type { EventBody } from "../../../src/agent/protocol/exchange.ts";
import { restMs } from "../../../src/agent/protocol/rest.ts";
import { initialState } from "../../../src/agent/protocol/state.ts";
import { transition } from "../../../src/agent/protocol/transition.ts";
import { plainStep, runPlain } from "../../model/schedule.ts";
import { deliver } from "../../model/step.ts";
import { linkOf, newIntent, newWorld, nodeOf, type Protocol, withNode, type World } from "../../model/world.ts";

const protocol: Protocol = { initialState, transition };
const PROFILE = PROFILES.Fast;
const intent = newIntent(3);
const NAMES = intent.members;

function running(): World {
  return runPlain(protocol, newWorld(protocol, PROFILE, intent, true), 20);
}

function restOf(world: World, name: string): number | null {
  const { state } = nodeOf(world, name);
  return state === null ? null : restMs(state);
}

/** Every world on the way through so many ticks of the plain schedule. */
function wayOf(world: World, ticks: number): readonly World[] {
  const way = [world];
  const endMs = nodeOf(world, "a").clockMs + ticks * 500;
  for (let next = world; nodeOf(next, "a").clockMs < endMs; way.push(next)) next = plainStep(protocol, next);
  return way;
}

describe("an agent may give way", () => {
  test.each(NAMES)("in every period of a cluster that is well (%s)", (name) => {
    for (let world = running(), period = 0; period < 10; period += 1) {
      const way = wayOf(world, PROFILE.periodMs / 500);
      expect(way.some((one) => restOf(one, name) !== null)).toBe(true);
      world = way.at(-1) ?? world;
    }
  });

  test("a leader, with time left for a second start before its deadline", () => {
    const rests = wayOf(running(), 20).flatMap((world) => restOf(world, "a") ?? []);
    expect(rests.length).toBeGreaterThan(0);
    expect(Math.max(...rests)).toBeLessThanOrEqual(PROFILE.renewDeadlineMs / 2);
    expect(Math.min(...rests)).toBeGreaterThanOrEqual(1000);
  });

  test.each(NAMES)("and nothing moves: the same member leads, no fence fires, no row is lost (%s)", (name) => {
    const way = wayOf(running(), 4);
    const quiet = way.filter((world) => restOf(world, name) !== null);
    expect(quiet.length).toBeGreaterThan(0);
    for (const world of quiet) {
      const { clockMs } = nodeOf(world, name);
      const ended = withNode(world, name, { state: null, restartAtMs: clockMs + 500 });
      const after = runPlain(protocol, ended, 30);
      expect(after.register.content.leader).toBe("a");
      expect(nodeOf(after, "a").engine.mode).toBe("writable");
      expect(after.ledger.violation).toBeNull();
    }
  });
});

const asked = (world: World, body: EventBody): World => deliver(protocol, world, "a", body);
const cut = (world: World, links: readonly string[]): World => runPlain(protocol, { ...world, cut: links }, 6);
const SWITCHOVER = { id: "s", from: "a", to: "b" };

describe("an agent stays", () => {
  test.each<[string, readonly string[], (world: World) => World]>([
    [
      "while the register is away",
      ["a"],
      (world) =>
        cut(
          world,
          NAMES.map((name) => linkOf(name, "api")),
        ),
    ],
    ["once it was asked to end", ["a"], (world) => asked(world, { type: "TermRequested", graceMs: 60_000 })],
    [
      "while it hands over",
      ["a"],
      (world) => asked(world, { type: "IntentChanged", intent: { ...intent, switchover: SWITCHOVER } }),
    ],
    [
      "while no leader is heard",
      ["b", "c"],
      (world) =>
        cut(
          world,
          ["b", "c"].map((to) => linkOf("a", to)),
        ),
    ],
  ])("%s", (_when, members, change) => {
    const world = change(running());
    expect(members.map((name) => restOf(world, name))).toEqual(members.map(() => null));
  });

  test.each(["follower", "writable"] as const)("at its start, beside an engine that is %s", (engine) => {
    const boot = { volume: "data", engine, persisted: null, nowMs: 0 } as const;
    expect(restMs(initialState({ member: "a", holder: "a/uid/1" }, PROFILE, boot))).toBeNull();
  });
});
