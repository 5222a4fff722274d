// What a member does where every member writes: who may begin the group again after all have stopped, who joins, who waits for a
// person; rule by rule. What becomes of them together is in active-world.test.ts.
import { describe, expect, test } from "vitest";
import { coordinator, decideActive } from "../../../src/agent/group/active.ts";
import { QUORUM_LOST_MS } from "../../../src/agent/group/decide.ts";
import type { GroupView, PeerView } from "../../../src/agent/group/types.ts";
import { CALM_INTENT } from "./group-intent.ts";
import { AT_FIRST } from "./group-world.ts";

type Reply = PeerView["reply"];

const at = (value: number, history = "h") => ({ history, value: String(value), ancestors: [] });

const RESTING: Omit<Reply, "id"> = {
  copy: "data",
  incarnation: 0,
  engineUp: false,
  hasLeader: false,
  position: at(100),
  atRest: true,
  joining: false,
};
const SERVING = { ...RESTING, engineUp: true, hasLeader: true, atRest: false };
const EMPTY: Partial<Reply> = { copy: "empty", position: null, id: null };

function peer(name: string, reply: Partial<Reply>, atMs = 99_500): [string, PeerView] {
  return [name, { reply: { ...RESTING, id: name, ...reply }, atMs }];
}

/** `m0` of three, all at rest with the same copy; it holds the Lease. */
function viewOf(change: Partial<GroupView> = {}): GroupView {
  return {
    self: "m0",
    nowMs: 100_000,
    periodMs: 1000,
    intent: CALM_INTENT,
    record: { incarnation: 0, id: "m0", ...AT_FIRST },
    copy: "data",
    engine: "stopped",
    seen: undefined,
    heard: undefined,
    peers: new Map([peer("m1", {}), peer("m2", {})]),
    newestGeneration: 7,
    invitations: new Map(),
    leaderlessSinceMs: 99_000,
    missingSinceMs: undefined,
    recoverySinceMs: 0,
    answeredSwitchover: undefined,
    terminating: false,
    rest: at(100),
    claim: { epoch: 3, wonMs: 99_000 },
    ...change,
  };
}

function does(change: Partial<GroupView>) {
  return decideActive(viewOf(change)).move.kind;
}

/** Why it waits; undefined when it does not. */
function waitsFor(change: Partial<GroupView>) {
  const { move, reason } = decideActive(viewOf(change));
  return move.kind === "Wait" ? reason : undefined;
}

const { intent } = viewOf();

function group(...names: string[]) {
  const members = names.map((name) => ({ id: name, name, votes: true, address: "" }));
  return { id: "m0", leaderId: "m0", term: 9, members };
}

function heardOf(...names: string[]) {
  const said = { leads: true, term: 9, incarnation: 0, generation: 7, position: at(200), invitation: null };
  return { from: "m1", greeting: { ...said, members: group(...names).members }, atMs: 99_500 };
}

describe("after all have stopped the group is begun", () => {
  test("by the one that has most, and of those that have as much by the first", () => {
    expect(does({})).toBe("Found");
    expect(does({ rest: at(101) })).toBe("Found");
    expect(waitsFor({ self: "m1", peers: new Map([peer("m0", {}), peer("m2", {})]) })).toBe("OtherIsFirst");
    expect(waitsFor({ peers: new Map([peer("m1", { position: at(101) }), peer("m2", {})]) })).toBe("OtherIsAhead");
  });

  test("only with the Lease, and only once all were heard since it is held", () => {
    expect(does({ claim: undefined })).toBe("Claim");
    expect(waitsFor({ peers: new Map([peer("m1", {}, 98_900), peer("m2", {})]) })).toBe("Founding");
  });

  test.each<[string, Partial<Reply>]>([
    ["MembersRunning", { atRest: false }],
    ["CopyMissing", EMPTY],
    ["CopyMissing", { position: null }],
    ["HistoriesDiffer", { position: at(5, "other") }],
    ["MembersSilent", { incarnation: 1 }],
  ])("but not while another one is in the way: %s", (reason, reply) => {
    expect(waitsFor({ peers: new Map([peer("m1", reply), peer("m2", {})]) })).toBe(reason);
  });

  test("nor while one is silent, or others know of a newer list, or the own copy is of no use", () => {
    expect(waitsFor({ peers: new Map([peer("m1", {})]) })).toBe("MembersSilent");
    expect(waitsFor({ peers: new Map([peer("m1", {}), peer("m2", {}, 96_000)]) })).toBe("MembersSilent");
    expect(waitsFor({ newestGeneration: 8 })).toBe("IntentBehind");
    expect(waitsFor({ rest: null })).toBe("NoCopy");
    expect(waitsFor({ rest: undefined })).toBe("Inspecting");
  });

  test("also beside one whose copy was on its way: those that sent it have what it had", () => {
    expect(does({ peers: new Map([peer("m1", { position: null, joining: true }), peer("m2", {})]) })).toBe("Found");
  });

  test("and what stands in the way for long is told as a lost majority", () => {
    expect(waitsFor({ peers: new Map(), leaderlessSinceMs: 100_000 - QUORUM_LOST_MS })).toBe("QuorumLost");
  });
});

describe("a new group", () => {
  const record = { incarnation: 0, id: null, ...AT_FIRST };
  const first = { intent: { ...intent, bootstrapMember: "m0" }, record, rest: null };
  const peers = new Map([peer("m1", EMPTY)]);

  test("is made by the member that the operator names, if no other has a copy", () => {
    const view = { ...first, copy: "empty", peers } as const;
    expect(does(view)).toBe("Initialize");
    expect(waitsFor({ ...view, peers: new Map([peer("m1", {})]) })).toBe("NoGroup");
    expect(waitsFor({ ...view, intent })).toBe("NoGroup");
  });

  test("begins with a copy that was just made, whoever is silent; once that was tried all are asked", () => {
    expect(does({ ...first, peers, record: { ...record, founding: "May" } })).toBe("Found");
    const tried = { ...first, record: { ...record, founding: "Begun" } } as const;
    expect(waitsFor({ ...tried, peers })).toBe("MembersSilent");
    expect(does({ ...tried, peers: new Map([...peers, peer("m2", EMPTY)]) })).toBe("Found");
  });

  test("begins not beside one that runs or has a copy", () => {
    const may = { rest: null, record: { ...record, founding: "May" } } as const;
    expect(waitsFor({ ...may, peers: new Map([peer("m1", SERVING)]) })).toBe("MembersRunning");
    expect(waitsFor({ ...may, peers: new Map([peer("m1", {})]) })).toBe("HistoriesDiffer");
  });
});

describe("while others serve", () => {
  const heard = heardOf("m1", "m2");

  test("a stopped member joins them, with or without a copy", () => {
    expect(does({ heard })).toBe("Enter");
    expect(does({ heard, copy: "empty", rest: null })).toBe("Enter");
  });

  test("without a copy only once they count it no more: until then not all that it wrote may be on their disks", () => {
    const counted = heardOf("m0", "m1", "m2");
    expect(waitsFor({ heard: counted, copy: "empty", rest: null })).toBe("StillCounted");
    expect(does({ heard: counted })).toBe("Enter");
  });

  test("it keeps a copy of another history, and waits while it seems to be ahead", () => {
    expect(decideActive(viewOf({ heard, rest: at(7, "other") })).move).toMatchObject({ kind: "SetAside", keep: true });
    expect(waitsFor({ heard, rest: at(201) })).toBe("AheadOfGroup");
    expect(waitsFor({ heard, rest: undefined })).toBe("Inspecting");
  });

  test("who is not listed leaves, if one of them stays", () => {
    const seen = { leads: false, serves: true, group: group("m0", "m1", "m2"), position: at(200) };
    const gone = { engine: "running", seen, intent: { ...intent, members: ["m1", "m2"] } } as const;
    expect(does({ ...gone, peers: new Map([peer("m1", SERVING)]) })).toBe("Stop");
    expect(waitsFor(gone)).toBe("Leaving");
    expect(waitsFor({ intent: gone.intent, heard })).toBe("NotListed");
  });
});

describe("a running member that is in no group that may write", () => {
  const seen = { leads: false, serves: false, group: { ...group(), leaderId: "" }, position: at(100) };
  const out = { engine: "running", seen, claim: undefined, rest: undefined } as const;
  const since = (ms: number) => ({ leaderlessSinceMs: 100_000 - ms });

  test("waits: engines that find each other again come together by themselves", () => {
    expect(waitsFor({ ...out, ...since(1000) })).toBe("OutOfGroup");
    const apart = { ...SERVING, hasLeader: false };
    const peers = new Map([peer("m1", apart), peer("m2", apart)]);
    expect(waitsFor({ ...out, ...since(12_000), peers })).toBe("QuorumLost");
    expect(does({ ...out, ...since(31_000), peers })).toBe("Stop");
  });

  test("stops once all are heard and one is at rest, so that the one that has most can begin", () => {
    expect(does({ ...out, ...since(12_000) })).toBe("Stop");
    expect(waitsFor({ ...out, ...since(12_000), peers: new Map([peer("m1", {})]) })).toBe("QuorumLost");
  });

  test("stops when others have gone on without it for long, to join them", () => {
    const peers = new Map([peer("m1", SERVING)]);
    expect(does({ ...out, ...since(12_000), peers })).toBe("Wait");
    expect(does({ ...out, ...since(31_000), peers })).toBe("Stop");
  });
});

describe("a person's consent", () => {
  const asked = { ...intent, incarnation: 1, founder: "m0" };

  test("lets the founder begin from its copy, whoever is silent, once", () => {
    const recovery = { intent: asked, peers: new Map<string, PeerView>() };
    expect(does(recovery)).toBe("Recover");
    const record = { incarnation: 1, id: "m0", founding: "May", joining: false } as const;
    expect(does({ ...recovery, record })).toBe("Found");
    expect(waitsFor({ ...recovery, record: { ...record, founding: "None" } })).toBe("MembersSilent");
  });

  test("makes the others set their copies aside", () => {
    const other = { ...asked, founder: "m1" };
    expect(decideActive(viewOf({ intent: other })).move).toMatchObject({ kind: "SetAside", keep: true });
    expect(does({ intent: other, copy: "empty", rest: null })).toBe("Adopt");
  });
});

describe("who speaks for the group", () => {
  const seen = { leads: false, serves: true, group: group("m0", "m1", "m2"), position: at(200) };
  const whole = { engine: "running", seen, peers: new Map([peer("m1", SERVING), peer("m2", SERVING)]) } as const;
  const asking = (from: string | null, to: string | null) => ({
    intent: { ...intent, switchover: { id: "s", from, to } },
  });

  test("is the first that serves, or another one where that was asked for", () => {
    expect(coordinator(viewOf(whole))).toBe("m0");
    expect(coordinator(viewOf({ ...whole, seen: { ...seen, serves: false } }))).toBe("m1");
    expect(coordinator(viewOf({ ...whole, ...asking("m0", null) }))).toBe("m1");
    expect(coordinator(viewOf({ ...whole, ...asking("m0", "m2") }))).toBe("m2");
    expect(coordinator(viewOf({ ...whole, peers: new Map(), ...asking("m0", "m2") }))).toBe("m0");
    expect(coordinator(viewOf())).toBeUndefined();
  });

  test("and who was asked to hand over answers once", () => {
    const view = viewOf({ ...whole, ...asking("m0", "m2") });
    expect(decideActive(view).move).toMatchObject({
      kind: "Answer",
      request: "s",
      result: "Done",
      message: "m2 leads",
    });
    expect(decideActive({ ...view, answeredSwitchover: "s" }).move.kind).toBe("Wait");
    expect(decideActive({ ...view, peers: new Map() }).move).toMatchObject({ kind: "Answer", result: "Refused" });
    expect(decideActive(viewOf({ ...whole, ...asking("m1", "m2") })).move.kind).toBe("Wait");
  });
});
