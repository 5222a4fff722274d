// A Restart or Defragment operation: one member after the other, followers first, the leader last and after it has handed over. What has been
// done is read from the members' own answers, so an operator that restarts in between goes on where the last one was.
import { type Decision } from "./decision.ts";
import { hasMajority, isInSync, listedMembers, requestId, successors, type World } from "./facts.ts";
import { noSuccessor, notInSync } from "./membership.ts";
import type { MemberView, OperationView } from "./observation.ts";

/** How far a restart is. */
export type RestartOutcome =
  | { readonly phase: "Done" | "Refused" | "Failed"; readonly message: string }
  | { readonly phase: "Running"; readonly message: string; readonly decision?: Partial<Decision> };

/** What is done to one member after the other. */
type Turn = "restart" | "defragment";

const DONE = { restart: "restarted", defragment: "defragmented" } as const;

/** The members that it concerns, as of now; it is kept to these from its beginning on. */
export function restartedMembers(world: World, { intent }: OperationView): readonly string[] {
  if (intent.member !== undefined) return [intent.member];
  return world.listed.filter((name) => {
    const leads = name === world.leader?.name;
    return intent.role === undefined || (intent.role === "Leader") === leads;
  });
}

/** Takes the next step for `members`. */
export function advanceRestart(world: World, operation: OperationView, members: readonly string[]): RestartOutcome {
  const turn: Turn = operation.intent.type === "Defragment" ? "defragment" : "restart";
  const listed = listedMembers(world);
  const concerned = listed.filter((m) => members.includes(m.name));
  const answers = new Map(concerned.map((m) => [m.name, answerOf(m, operation, turn)]));
  for (const [name, answer] of answers) {
    if (answer?.result === "Refused" || answer?.result === "Failed") {
      return { phase: answer.result, message: `${name}: ${answer.message}` };
    }
  }
  const remaining = concerned.filter((m) => answers.get(m.name)?.result !== "Done");
  const done = `${concerned.length - remaining.length}/${concerned.length} ${DONE[turn]}`;
  const restarted = concerned.filter((m) => !remaining.includes(m));
  const coming = restarted.find((m) => !isInSync(world, m));
  if (coming !== undefined) {
    const blocked = [notInSync(coming, `after it was ${DONE[turn]}`)];
    return { phase: "Running", message: `${done}, waits for ${coming.name}`, decision: { blocked } };
  }
  const next = remaining.toSorted((a, b) => rank(world, a) - rank(world, b) || b.ordinal - a.ordinal)[0];
  if (next === undefined) return { phase: "Done", message: `${DONE[turn]} ${members.join(", ")}` };
  const others = listed.filter((m) => m.name !== next.name);
  if (next.name !== world.leader?.name && isInSync(world, next) && !hasMajority(world, others)) {
    const message = `without ${next.name} fewer than a majority of the members is in sync`;
    return restarted.length === 0
      ? { phase: "Refused", message }
      : { phase: "Running", message: `${done}, ${message}` };
  }
  return { phase: "Running", message: `${done}, ${next.name} is next`, decision: ask(world, operation, next, turn) };
}

/** Followers first. */
function rank(world: World, member: MemberView): number {
  return member.name === world.leader?.name ? 1 : 0;
}

function ask(world: World, operation: OperationView, next: MemberView, turn: Turn): Partial<Decision> {
  const others = listedMembers(world).filter((m) => m.name !== next.name);
  // The only member does it in place: nobody could take over meanwhile.
  if (next.name !== world.leader?.name || others.length === 0) {
    return { [turn]: { id: answerId(operation, next.name), member: next.name } };
  }
  const [to] = successors(world, others);
  if (to === undefined) return { blocked: [noSuccessor(world)] };
  return { switchover: { id: requestId(turn, world.seen.nowMs), from: next.name, to: to.name } };
}

/** Each member is asked under an id of its own, so that its answer says that it was its turn. */
function answerId({ uid }: OperationView, member: string): string {
  return `${uid}/${member}`;
}

function answerOf({ name, pod }: MemberView, operation: OperationView, turn: Turn) {
  const answer = pod?.report?.[turn];
  return answer?.id === answerId(operation, name) ? answer : undefined;
}
