// What members of a group say follows from what they see now. That it suffices is tried in the worlds of the decisions.
import { describe, expect, test } from "vitest";
import { describeGroup } from "../../../src/agent/group/describe.ts";
import { greetingTo, replyOf } from "../../../src/agent/group/speech.ts";
import type { GroupView } from "../../../src/agent/group/types.ts";
import { CALM_INTENT } from "./group-intent.ts";

const END = { history: "h1", value: "42", ancestors: [] };

/** A member that is stopped, with a copy. */
const VIEW: GroupView = {
  self: "m0",
  nowMs: 1000,
  periodMs: 1000,
  intent: { ...CALM_INTENT, incarnation: 2 },
  record: { incarnation: 2, id: "id0", founding: "None", joining: true },
  copy: "data",
  engine: "stopped",
  seen: undefined,
  heard: undefined,
  peers: new Map(),
  newestGeneration: 7,
  invitations: new Map([["m1", "id1"]]),
  rest: END,
  claim: undefined,
  leaderlessSinceMs: undefined,
  missingSinceMs: undefined,
  recoverySinceMs: 0,
  answeredSwitchover: undefined,
  terminating: false,
};

describe("what a stopped member answers", () => {
  test("where its copy ends, once it has looked", () => {
    expect(replyOf(VIEW, true)).toMatchObject({ copy: "data", position: END, atRest: true, joining: true });
    expect(replyOf({ ...VIEW, rest: undefined }, true)).toMatchObject({ position: null, atRest: false });
  });

  test("nothing of a copy that is gone", () => {
    expect(replyOf({ ...VIEW, copy: "empty", rest: null }, true)).toMatchObject({
      copy: "empty",
      position: null,
      atRest: true,
    });
  });

  test("an engine that elects itself is never at rest: nobody waits for that", () => {
    expect(replyOf(VIEW, false).atRest).toBe(false);
  });
});

test("a member whose engine was just started has a copy, or is about to", () => {
  expect(replyOf({ ...VIEW, copy: "empty", engine: "running", rest: undefined }, true)).toMatchObject({
    copy: "data",
    engineUp: false,
    atRest: false,
  });
});

test("each is invited under the identity that it was added with, and nobody else", () => {
  expect(greetingTo("m1", VIEW)).toMatchObject({ leads: false, generation: 7, incarnation: 2, invitation: "id1" });
  expect(greetingTo("m2", VIEW).invitation).toBeNull();
});

test("a leader says by which intent it judged the list that it tells, and nobody else does", () => {
  const seen: GroupView["seen"] = {
    leads: true,
    serves: true,
    position: END,
    group: { id: "id0", leaderId: "id0", term: 3, members: [{ id: "id0", name: "m0", votes: true, address: "" }] },
  };
  const calm = { move: { kind: "Wait" }, reason: null } as const;
  const leading: GroupView = { ...VIEW, engine: "running", seen };
  expect(describeGroup(leading, calm, 7)).toMatchObject({
    role: "leader",
    intentGeneration: 7,
    group: { members: ["m0"] },
  });
  expect(describeGroup(leading, calm)).not.toHaveProperty("intentGeneration");
  expect(describeGroup({ ...leading, seen: { ...seen, leads: false } }, calm, 7)).not.toHaveProperty(
    "intentGeneration",
  );
});
