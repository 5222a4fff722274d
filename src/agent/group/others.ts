/** What a member knows of the others at the moment. */
import type { GroupView } from "./types.ts";
import type { GreetingReply } from "./wire.ts";

/** How many periods a greeting or an answer is believed. */
const FRESH_PERIODS = 3;

/** Whether what was heard `atMs` can still be believed. */
export function isFresh({ nowMs, periodMs }: GroupView, { atMs }: { readonly atMs: number }): boolean {
  return nowMs - atMs <= FRESH_PERIODS * periodMs;
}

/** What a member answered lately; undefined when it did not. */
export function freshReply(view: GroupView, member: string): GreetingReply | undefined {
  const peer = view.peers.get(member);
  return peer !== undefined && isFresh(view, peer) ? peer.reply : undefined;
}

/** Whether another member's engine ran and could be used a moment ago. */
export function isUp(view: GroupView, member: string): boolean {
  const reply = freshReply(view, member);
  return reply?.engineUp === true && reply.hasLeader;
}

/** A member that can take over the lead. */
export interface Heir {
  readonly to: string;
  readonly id: string;
}

/** Of the listed voters that are up the one that has most of the log; undefined when there is none. */
export function heir(view: GroupView): Heir | undefined {
  const voters = (view.seen?.group.members ?? []).filter(
    ({ name, votes }) => votes && name !== view.self && view.intent.members.includes(name) && isUp(view, name),
  );
  const indexOf = (name: string): bigint => BigInt(freshReply(view, name)?.position?.value ?? "0");
  const [best] = voters.toSorted((a, b) => {
    const [left, right] = [indexOf(a.name), indexOf(b.name)];
    if (left !== right) return left > right ? -1 : 1;
    return a.name < b.name ? -1 : 1;
  });
  return best === undefined ? undefined : { to: best.name, id: best.id };
}
