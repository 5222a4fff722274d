import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide, QUORUM_LOST_MS, STEP_ASIDE_MS } from "../../../src/agent/group/decide.ts";
import type { GroupView, PeerView } from "../../../src/agent/group/types.ts";
import { CALM_INTENT } from "./group-intent.ts";
import { AT_FIRST, GroupWorld } from "./group-world.ts";

const CALM = (count: number) => count - 1; // nothing gets lost, and lists are walked in one order

function settle(world: GroupWorld, periods = 120): void {
  for (let period = 0; period < periods && !world.isWhole; period++) world.step();
}

function grown(members: number): GroupWorld {
  const world = new GroupWorld(CALM);
  world.listed = Array.from({ length: members }, (_, ordinal) => `m${ordinal}`);
  settle(world);
  return world;
}

describe("who belongs to the group", () => {
  test("one member makes it, the others learn and then vote, one after the other", () => {
    const world = grown(3);
    expect(world.isWhole).toBe(true);
    expect(world.trace).toEqual(["add m1", "promote m1", "add m2", "promote m2"]);
  });

  test("whoever is no longer listed is taken out; a leader hands over before", () => {
    const world = grown(3);
    const leader = world.leader ?? "";
    world.listed = world.listed.filter((name) => name !== leader);
    settle(world);
    expect(world.isWhole).toBe(true);
    expect(world.leader).not.toBe(leader);
    expect(world.trace.at(-1)).toBe(`remove ${leader}: it is no member any more`);
  });

  test("a member whose volume is lost gets a new identity; the old vote goes first", () => {
    const world = grown(3);
    const lost = world.listed.find((name) => name !== world.leader) ?? "";
    world.loseVolume(lost);
    expect(world.isWhole).toBe(true); // the list does not know yet
    for (let period = 0; period < 10; period++) world.step();
    expect(world.isWhole).toBe(true);
    expect(world.trace.slice(-3)).toEqual([`remove ${lost}: its copy is lost`, `add ${lost}`, `promote ${lost}`]);
  });

  test("a copy that the group has forgotten is set aside before the member joins again", () => {
    const world = grown(3);
    const left = world.listed.find((name) => name !== world.leader) ?? "";
    world.listed = world.listed.filter((name) => name !== left);
    settle(world);
    world.listed = [...world.listed, left];
    settle(world);
    expect(world.isWhole).toBe(true);
    expect(world.member(left).record.id).toBe(world.entries.find(({ name }) => name === left)?.id);
  });

  test("a member that is to stay alone, and whose copy is lost, is not waited for by those that are to go", () => {
    const world = grown(4);
    const stays = world.listed.find((name) => name !== world.leader) ?? "";
    world.loseVolume(stays);
    world.listed = [stays];
    world.generation += 1;
    settle(world, 300);
    expect(world.trace).toContain(`remove ${stays}: its copy is lost`);
    expect(world.isWhole).toBe(true);
  });

  test.each(["m0", "m1"])(
    "one of two that is to go, and dies before the group has let it go, starts once more: %s",
    (dies) => {
      const world = grown(2);
      world.listed = ["m0", "m1"].filter((name) => name !== dies);
      world.generation += 1;
      world.kill(dies);
      settle(world, 300);
      expect(world.isWhole).toBe(true);
    },
  );

  test("whatever gets lost and dies, the rules of the list hold, and in peace the group becomes whole", () => {
    const fault = fc.record({
      kind: fc.constantFrom("none", "kill", "volume", "size"),
      at: fc.nat(4),
      size: fc.integer({ min: 1, max: 5 }),
    });
    const schedule = fc.record({ faults: fc.array(fault, { maxLength: 60 }), choices: fc.infiniteStream(fc.nat(39)) });
    fc.assert(
      fc.property(schedule, ({ faults, choices }) => {
        let disorder = true;
        const world = new GroupWorld((count) => (disorder ? (choices.next().value ?? 0) % count : count - 1));
        for (const { kind, at, size } of faults) {
          if (kind === "kill") world.kill(`m${at}`);
          // One volume at a time, and not of a group that could not stand it: what a majority has lost, nobody can bring back.
          const standsIt = world.isWhole && world.hasAllCopies && world.listed.length >= 3;
          if (kind === "volume" && standsIt) world.loseVolume(`m${at}`);
          if (kind === "size" && world.isWhole) {
            world.listed = Array.from({ length: size }, (_, ordinal) => `m${ordinal}`);
            world.generation++;
          }
          for (let period = 0; period < 3; period++) world.step();
        }
        disorder = false;
        settle(world, 300);
        expect(world.isWhole).toBe(true);
      }),
      { numRuns: Number(process.env["GROUP_RUNS"] ?? "150") },
    );
  });
});

/** A leader `m0` of three that all vote. */
function viewOf(change: Partial<GroupView> = {}): GroupView {
  const members = ["m0", "m1", "m2"].map((name) => ({ id: `id-${name}`, name, votes: true, address: name }));
  return {
    self: "m0",
    nowMs: 100_000,
    periodMs: 1000,
    intent: CALM_INTENT,
    record: { incarnation: 0, id: "id-m0", ...AT_FIRST },
    copy: "data",
    engine: "running",
    seen: {
      leads: true,
      serves: true,
      group: { id: "id-m0", leaderId: "id-m0", term: 4, members },
      position: { history: "h", value: "100", ancestors: [] },
    },
    heard: undefined,
    peers: new Map([peer("m1", {}), peer("m2", {})]),
    newestGeneration: 7,
    invitations: new Map(),
    leaderlessSinceMs: undefined,
    missingSinceMs: undefined,
    recoverySinceMs: 0,
    answeredSwitchover: undefined,
    terminating: false,
    rest: undefined,
    claim: undefined,
    ...change,
  };
}

function peer(name: string, reply: Partial<PeerView["reply"]>, atMs = 99_500): [string, PeerView] {
  const position = { history: "h", value: "100", ancestors: [] };
  const said = { copy: "data", incarnation: 0, id: `id-${name}`, engineUp: true, hasLeader: true, position } as const;
  const active = { atRest: false, joining: false };
  return [name, { reply: { ...said, ...active, ...reply }, atMs }];
}

const { intent } = viewOf();

describe("a second group", () => {
  const bootstrap = {
    intent: { ...intent, bootstrapMember: "m0" },
    record: { incarnation: 0, id: null, ...AT_FIRST },
    copy: "empty",
    engine: "stopped",
    seen: undefined,
    peers: new Map(),
  } as const;

  test("is made by nobody whose volume had a copy before, and not while another member has one", () => {
    expect(decide(viewOf(bootstrap)).move.kind).toBe("Initialize");
    expect(decide(viewOf({ ...bootstrap, record: { incarnation: 0, id: "id-m0", ...AT_FIRST } })).reason).toBe(
      "NotInvited",
    );
    expect(decide(viewOf({ ...bootstrap, peers: new Map([peer("m1", {})]) })).reason).toBe("NotInvited");
  });
});

describe("an invitation", () => {
  const members = [{ id: "new", name: "m0", votes: false, address: "m0" }];
  const greeting = { leads: true, term: 4, incarnation: 0, generation: 7, position: null, members, invitation: "new" };
  const invited = {
    record: { incarnation: 0, id: "old", ...AT_FIRST },
    copy: "empty",
    engine: "stopped",
    seen: undefined,
    heard: { from: "m1", greeting, atMs: 99_500 },
  } as const;

  test("is taken up once the leader's list has the newcomer", () => {
    expect(decide(viewOf(invited)).move).toEqual({ kind: "Join", id: "new" });
    const early = { ...invited.heard, greeting: { ...greeting, members: [] } };
    expect(decide(viewOf({ ...invited, heard: early })).reason).toBe("NotInvited");
  });

  test("is not taken up twice: a copy that was begun under it may have confirmed what the next would not know", () => {
    expect(decide(viewOf({ ...invited, record: { incarnation: 0, id: "new", ...AT_FIRST } })).reason).toBe(
      "NotInvited",
    );
  });

  test("of an older incarnation is none", () => {
    const wanted = { ...intent, incarnation: 1, founder: "m1" };
    expect(
      decide(viewOf({ ...invited, intent: wanted, record: { incarnation: 1, id: "old", ...AT_FIRST } })).reason,
    ).toBe("NotInvited");
  });
});

describe("what a leader does not do", () => {
  test("take a vote away when the others could not go on", () => {
    const peers = new Map([peer("m2", {})]); // m1 is silent, m2 is to leave
    const verdict = decide(viewOf({ peers, intent: { ...intent, members: ["m0", "m1"] } }));
    expect(verdict).toEqual({ move: { kind: "Wait" }, reason: "MajorityKept" });
  });

  test("take out whom a newer intent may list", () => {
    const verdict = decide(viewOf({ intent: { ...intent, members: ["m0", "m1"] }, newestGeneration: 8 }));
    expect(verdict).toEqual({ move: { kind: "Wait" }, reason: "IntentBehind" });
  });

  test("anything at all while the cluster is paused", () => {
    const verdict = decide(viewOf({ intent: { ...intent, members: ["m0"], paused: true } }));
    expect(verdict.move.kind).toBe("Wait");
  });

  test("hand over on SIGTERM to a member that does not answer", () => {
    const peers = new Map([peer("m1", {}, 90_000), peer("m2", { hasLeader: false })]);
    expect(decide(viewOf({ terminating: true, peers })).move).toEqual({ kind: "Stop" });
    expect(decide(viewOf({ terminating: true })).move).toMatchObject({ kind: "HandOver", to: "m1" });
  });
});

describe("a lost majority", () => {
  const alone = viewOf().seen;
  const leaderless = alone && { ...alone, leads: false, group: { ...alone.group, leaderId: "" } };

  test("is told after a while, and nothing is done about it", () => {
    const view = viewOf({ seen: leaderless, leaderlessSinceMs: 100_000 - QUORUM_LOST_MS });
    expect(decide(view)).toEqual({ move: { kind: "Wait" }, reason: "QuorumLost" });
  });

  test("a founder begins anew only when it knows of no leader, and after the others stepped aside or had the time to", () => {
    const wanted = { ...intent, incarnation: 1, founder: "m0" };
    expect(decide(viewOf({ intent: wanted })).reason).toBe("MajorityPresent");
    expect(decide(viewOf({ intent: wanted, seen: leaderless })).move.kind).toBe("Stop");
    const stopped = { intent: wanted, seen: undefined, engine: "stopped", recoverySinceMs: 99_000 } as const;
    expect(decide(viewOf(stopped)).move.kind).toBe("Wait");
    const aside = new Map([peer("m1", { incarnation: 1 }), peer("m2", { incarnation: 1 })]);
    expect(decide(viewOf({ ...stopped, peers: aside })).move.kind).toBe("Recover");
    expect(decide(viewOf({ ...stopped, recoverySinceMs: 100_000 - STEP_ASIDE_MS })).move.kind).toBe("Recover");
  });

  test("everybody else sets its copy aside, also one that comes back much later", () => {
    const wanted = { ...intent, incarnation: 1, founder: "m1" };
    expect(decide(viewOf({ intent: wanted, seen: leaderless })).move.kind).toBe("SetAside");
    expect(decide(viewOf({ intent: wanted, seen: undefined, engine: "stopped" })).move.kind).toBe("SetAside");
    expect(decide(viewOf({ intent: wanted, seen: undefined, engine: "stopped", copy: "empty" })).move.kind).toBe(
      "Adopt",
    );
  });
});
