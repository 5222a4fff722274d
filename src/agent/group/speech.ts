/** What a member says to the others of its group. Pure. */
import type { GroupView } from "./types.ts";
import type { Greeting, GreetingReply } from "./wire.ts";

/** What it answers to a greeting. @param isActive - Topology ActiveActive, where stopped copies are compared. */
export function replyOf(view: GroupView, isActive: boolean): GreetingReply {
  const { copy, engine, record, rest, seen } = view;
  const isRunning = engine === "running";
  return {
    copy: isRunning ? "data" : copy, // one that was just started has made one, or is about to
    incarnation: record.incarnation,
    id: record.id,
    engineUp: seen !== undefined,
    hasLeader: seen?.serves === true,
    position: seen?.position ?? rest ?? null,
    atRest: isActive && !isRunning && (copy !== "data" || rest !== undefined),
    joining: record.joining,
  };
}

/** What it says to `member` once a period. */
export function greetingTo(member: string, view: GroupView): Greeting {
  const { intent, invitations, record, seen } = view;
  return {
    leads: seen?.leads === true,
    term: seen?.group.term ?? 0,
    incarnation: record.incarnation,
    generation: intent.generation,
    position: seen?.position ?? null,
    members: [...(seen?.group.members ?? [])],
    invitation: invitations.get(member) ?? null,
  };
}
