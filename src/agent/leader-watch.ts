/** Notices at once when the leader's container dies: the connection held to its agent breaks, then its init is asked. */
import type { IntentMember } from "../api/agent-wire.ts";
import { type Clock, sleep } from "../clock.ts";
import type { PeerMessenger } from "./messenger.ts";
import type { EventBody } from "./protocol/exchange.ts";

/** Whom to watch, and whom to tell. */
export interface LeaderWatchOptions {
  readonly messenger: Pick<PeerMessenger, "hold" | "probe">;
  /** The leader, while it is another member. */
  readonly leader: () => IntentMember | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly dispatch: (body: EventBody) => void;
}

/** How often it is checked whether another member leads by now. */
const CHECK_MS = 200;

/** Watches whoever leads until `signal` aborts. */
export async function watchLeader(options: LeaderWatchOptions): Promise<void> {
  const { messenger, leader, clock, signal, dispatch } = options;
  while (!signal.aborted) {
    const member = leader();
    if (member !== undefined && (await holdWhileLeading(member, options))) {
      dispatch({ type: "PeerProbed", member: member.name, result: await messenger.probe(member) });
    }
    await sleep(clock, CHECK_MS, signal);
  }
}

/** Holds a connection to `member` until it breaks. @returns false when it was let go because another one leads. */
async function holdWhileLeading(member: IntentMember, options: LeaderWatchOptions): Promise<boolean> {
  const { messenger, leader, clock, signal } = options;
  const letGo = new AbortController();
  let broken = false;
  const held = messenger.hold(member, letGo.signal).then(() => {
    broken = true;
    letGo.abort();
  });
  while (!letGo.signal.aborted) {
    await sleep(clock, CHECK_MS, AbortSignal.any([signal, letGo.signal]));
    if (signal.aborted || leader()?.name !== member.name) break;
  }
  const didBreak = broken;
  letGo.abort();
  await held;
  return didBreak && !signal.aborted;
}
