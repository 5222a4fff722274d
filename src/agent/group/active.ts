/**
 * What a member does next where every member writes (topology ActiveActive). Pure and total.
 *
 * The engine lets nobody write who is cut off from the majority that was there before, and brings a member up to date that joins.
 * What it cannot know is whether a copy may begin the group again after everybody has stopped. Here is who may: the
 * holder of the Lease, once every other member was heard to be at rest since it holds it, with a copy of the same history
 * that is no longer than its own. What was acknowledged anywhere is then in it, and nobody else can have begun a group. When a
 * member is silent or has lost its copy, nothing is begun without a person's consent.
 */
import type { EnginePosition } from "../../api/engine-observation.ts";
import { comparePositions } from "../protocol/position.ts";
import { isFirst, overriding, plain, QUORUM_LOST_MS, standing } from "./decide.ts";
import { freshReply, isUp } from "./others.ts";
import type { GroupView, Verdict } from "./types.ts";
import type { GreetingReply } from "./wire.ts";

/** Engines that found each other again become one group by themselves; after so long they are stopped and it is begun anew. */
const MERGE_MS = 30_000;

/** The next move of the member that sees `view`. */
export function decideActive(view: GroupView): Verdict {
  const first = overriding(view, { kind: view.engine === "stopped" ? "Exit" : "Stop" });
  if (first !== undefined) return first;
  return view.engine === "stopped" ? stopped(view) : running(view);
}

/**
 * The member that speaks for those that serve, the same for all that hear the same; undefined when none serves. A switchover
 * asks for another one.
 */
export function coordinator(view: GroupView): string | undefined {
  const { intent, self, seen } = view;
  const serving = intent.members.filter((name) => (name === self ? seen?.serves === true : isUp(view, name)));
  const { switchover } = intent;
  if (switchover?.to !== null && switchover?.to !== undefined && serving.includes(switchover.to)) return switchover.to;
  const staying = serving.filter((name) => name !== switchover?.from);
  return (staying.length > 0 ? staying : serving).toSorted()[0];
}

function isListed({ intent, self }: GroupView): boolean {
  return intent.members.includes(self);
}

function others({ intent, self }: GroupView): readonly string[] {
  return intent.members.filter((name) => name !== self);
}

function waiting(reason: string | null): Verdict {
  return { move: { kind: "Wait" }, reason };
}

/** A long time without a group that may write; shorter ones are what a start or a merge takes. */
function isLost({ leaderlessSinceMs, nowMs }: GroupView): boolean {
  return leaderlessSinceMs !== undefined && nowMs - leaderlessSinceMs >= QUORUM_LOST_MS;
}

function isAhead(a: EnginePosition, b: EnginePosition): boolean {
  return comparePositions(a, b) === "ahead";
}

function stopped(view: GroupView): Verdict {
  if (!isListed(view)) return waiting("NotListed");
  if (standing(view) !== undefined) return enter(view);
  if (view.copy === "empty") {
    const isMade = view.intent.bootstrapMember === view.self && isFirst(view);
    return isMade ? plain({ kind: "Initialize" }) : waiting("NoGroup");
  }
  const obstacle = foundingObstacle(view);
  if (obstacle !== undefined) return waiting(isLost(view) ? "QuorumLost" : obstacle);
  const { claim } = view;
  if (claim === undefined) return plain({ kind: "Claim" });
  if (view.record.founding === "May") return plain({ kind: "Found" });
  const isHeard = others(view).every((name) => (view.peers.get(name)?.atMs ?? 0) > claim.wonMs);
  return isHeard ? plain({ kind: "Found" }) : waiting("Founding");
}

/** Joins those that serve, unless that would cover what they do not have. */
function enter(view: GroupView): Verdict {
  const said = standing(view);
  const own = view.rest;
  const theirs = said?.position ?? null;
  if (own === undefined || theirs === null) return waiting("Inspecting");
  if (own === null) {
    // The group's list changes between writes: once it lacks this member, who says so has all that it wrote. From then on nobody
    // needs what it has lost.
    const isCounted = said?.members.some(({ name }) => name === view.self) === true;
    return isCounted ? waiting("StillCounted") : plain({ kind: "Enter" });
  }
  if (own.history !== theirs.history)
    return plain({ kind: "SetAside", why: "its history is not the group's", keep: true });
  return isAhead(own, theirs) ? waiting("AheadOfGroup") : plain({ kind: "Enter" });
}

/** Why the group cannot be begun from this copy now; undefined when it has everything that was acknowledged. */
function foundingObstacle(view: GroupView): string | undefined {
  const { record, rest, intent, newestGeneration } = view;
  if (rest === undefined) return "Inspecting";
  if (rest === null && record.founding === "None") return "NoCopy";
  // Others have seen a newer list of members: whoever is missing from ours may hold more.
  if (newestGeneration > intent.generation) return "IntentBehind";
  for (const name of others(view)) {
    const reply = freshReply(view, name);
    const obstacle = reply === undefined ? silence(view) : obstacleOf(view, name, reply);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

function silence({ record }: GroupView): string | undefined {
  return record.founding === "May" ? undefined : "MembersSilent";
}

function obstacleOf(view: GroupView, name: string, reply: GreetingReply): string | undefined {
  const { record, rest, intent, self } = view;
  if (reply.incarnation !== intent.incarnation) return silence(view); // it sets its copy aside
  if (!reply.atRest) return "MembersRunning";
  // What a member had that was joining, those had that it was joining.
  if (reply.position === null)
    return reply.joining || (record.founding !== "None" && reply.copy === "empty") ? undefined : "CopyMissing";
  if (rest === null || rest === undefined || rest.history !== reply.position.history) return "HistoriesDiffer";
  if (isAhead(reply.position, rest)) return "OtherIsAhead";
  return !isAhead(rest, reply.position) && name < self ? "OtherIsFirst" : undefined;
}

function running(view: GroupView): Verdict {
  const { seen } = view;
  if (seen === undefined) return waiting(null);
  const isInGroup = seen.group.leaderId !== "";
  const anyServes = others(view).some((name) => isUp(view, name));
  if (!isListed(view))
    return anyServes || !isInGroup ? { move: { kind: "Stop" }, reason: "Leaving" } : waiting("Leaving");
  if (isInGroup) return answer(view) ?? waiting(seen.serves ? null : "CatchingUp");
  if (!isLost(view)) return waiting("OutOfGroup");
  // Those that run come together by themselves; with one that is at rest they do not.
  const replies = others(view).map((name) => freshReply(view, name));
  const areHeard = replies.every((reply) => reply !== undefined);
  const isOneAtRest = replies.some((reply) => reply?.atRest === true);
  const isOverdue = view.nowMs - (view.leaderlessSinceMs ?? view.nowMs) >= MERGE_MS;
  if (anyServes && isOverdue) return plain({ kind: "Stop" });
  return areHeard && (isOneAtRest || isOverdue) ? plain({ kind: "Stop" }) : waiting("QuorumLost");
}

/** A switchover that was asked of this member and not answered yet: another one speaks for the group, and nothing else changes. */
function answer(view: GroupView): Verdict | undefined {
  const { switchover } = view.intent;
  const { self, seen } = view;
  if (switchover === null || switchover.id === view.answeredSwitchover) return undefined;
  const isAsked = switchover.from === null ? seen?.leads === true : switchover.from === self;
  if (!isAsked) return undefined;
  const leads = coordinator(view);
  const isDone = leads !== undefined && (switchover.to === null ? leads !== self : leads === switchover.to);
  const message = isDone ? `${leads} leads` : "no other member serves that could lead";
  return plain({ kind: "Answer", request: switchover.id, result: isDone ? "Done" : "Refused", message });
}
