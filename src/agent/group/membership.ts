/** The one change of the group's members that its leader makes next. */
import type { EngineGroupMember } from "../../api/engine-observation.ts";
import { freshReply, heir, isUp } from "./others.ts";
import type { GroupView, Verdict } from "./types.ts";

const NOTHING: Verdict = { move: { kind: "Wait" }, reason: null };

/**
 * Votes first, because they add safety: then whoever is to leave, then identities whose copy is lost, then newcomers, of which
 * there is never more than one that still learns. What cannot be done yet holds up nothing that comes after it.
 */
export function membershipChange(view: GroupView): Verdict {
  const members = view.seen?.group.members ?? [];
  const vote = promotion(view, members);
  if (vote !== undefined) return vote;
  // Others have seen a newer list of members: whoever is missing from ours may have been added meanwhile.
  if (view.newestGeneration > view.intent.generation) return { ...NOTHING, reason: "IntentBehind" };
  const leaving = removal(
    view,
    members.filter(({ name }) => !view.intent.members.includes(name)),
    "it is no member any more",
  );
  if (leaving !== undefined && leaving.move.kind !== "Wait") return leaving;
  // Who cannot leave yet may wait for just that: a lost copy counts against every majority, and a newcomer is whom to hand over to.
  const lost = removal(
    view,
    members.filter((member) => hasLostItsCopy(view, member)),
    "its copy is lost",
  );
  if (lost !== undefined && lost.move.kind !== "Wait") return lost;
  return addition(view, members) ?? leaving ?? lost ?? NOTHING;
}

function promotion(view: GroupView, members: readonly EngineGroupMember[]): Verdict | undefined {
  const learner = members.find(({ name, votes }) => !votes && view.intent.members.includes(name) && isUp(view, name));
  return learner && { move: { kind: "Promote", member: learner.name, id: learner.id }, reason: null };
}

/** Whether the member has no copy, and none was begun under this identity by the one that was invited under it. */
function hasLostItsCopy(view: GroupView, { name, id }: EngineGroupMember): boolean {
  const reply = freshReply(view, name);
  if (name === view.self || reply === undefined || reply.copy === "data") return false;
  return view.invitations.get(name) !== id || reply.id === id;
}

function removal(view: GroupView, gone: readonly EngineGroupMember[], why: string): Verdict | undefined {
  // One without a vote can always go; of the others the leader is the last.
  const [first] = gone.toSorted((a, b) => rank(view, a) - rank(view, b));
  if (first === undefined) return undefined;
  if (first.name === view.self) {
    const to = heir(view);
    return { move: to === undefined ? NOTHING.move : { kind: "HandOver", ...to, request: null }, reason: "Leaving" };
  }
  if (!keepsMajority(view, first)) return { move: NOTHING.move, reason: "MajorityKept" };
  return { move: { kind: "Remove", member: first.name, id: first.id, why }, reason: null };
}

function rank(view: GroupView, { name, votes }: EngineGroupMember): number {
  if (name === view.self) return 2;
  return votes ? 1 : 0;
}

/** Whether those that are left can go on without the member: a majority of them is up. */
function keepsMajority(view: GroupView, leaving: EngineGroupMember): boolean {
  if (!leaving.votes) return true;
  const left = (view.seen?.group.members ?? []).filter(({ id, votes }) => votes && id !== leaving.id);
  const up = left.filter(({ name }) => name === view.self || isUp(view, name));
  return up.length >= Math.floor(left.length / 2) + 1;
}

function addition(view: GroupView, members: readonly EngineGroupMember[]): Verdict | undefined {
  if (members.some(({ votes }) => !votes)) return undefined;
  const next = view.intent.members.find((name) => {
    const isKnown = name === view.self || members.some((member) => member.name === name);
    return !isKnown && freshReply(view, name)?.copy === "empty" && hasAdopted(view, name);
  });
  return next === undefined ? undefined : { move: { kind: "Add", member: next }, reason: null };
}

/** One that still holds on to an older incarnation would not understand the invitation. */
function hasAdopted(view: GroupView, member: string): boolean {
  return freshReply(view, member)?.incarnation === view.intent.incarnation;
}
