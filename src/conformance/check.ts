/** What a check of an Engine is, and the words that checks are made of. */
import { setTimeout as pause } from "node:timers/promises";
import { ActionError } from "../agent/engine/driver.ts";
import { comparePositions, type Ordering } from "../agent/protocol/position.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { HostCluster } from "./host-cluster.ts";
import { HostMember } from "./host-member.ts";

/** What an Engine does that the contract does not allow, in a sentence that names the action. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** Three members of which `a` leads and the others follow, or, with `formed` 0, nothing but their folders. */
export interface LeaseWorld {
  readonly cluster: HostCluster;
  readonly spec: EngineSpec;
  readonly a: HostMember;
  readonly b: HostMember;
  readonly c: HostMember;
}

/** One rule of the contract, tried with real processes in a world of its own. */
export interface Check<World> {
  /** One word, for --only. */
  readonly name: string;
  /** The rule, as a sentence. */
  readonly rule: string;
  /** How many members the cluster is formed of; the others are empty folders. All when absent. */
  readonly formed?: number;
  /** When it finds nothing the cluster is of all members in the end, so that the next check need not form another. */
  readonly leavesWhole?: boolean;
  /** It is tried only where quorate-init is at hand. */
  readonly needsInit?: boolean;
  /** Throws a {@link Finding} or an ActionError when the Engine breaks the rule. */
  readonly run: (world: World) => Promise<void>;
}

/** How long a server may take for what it is not told to wait for. */
const PATIENCE_MS = 20_000;
/** The same where members join, elect, and bring each other up to date. */
export const GROUP_PATIENCE_MS = 90_000;
/** Exit code that says that trying again cannot help. */
export const IMPOSSIBLE = 3;
const POLL_MS = 50;
const RETRY_MS = 200;

/** Says what is wrong unless it holds. */
export function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Finding(otherwise);
}

/** Waits until it holds. @throws {Finding} what `otherwise` says when it does not in time; errors of actions count as "not yet". */
export async function demandSoon(
  ask: () => Promise<boolean>,
  otherwise: string | (() => string),
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const endMs = performance.now() + patienceMs;
  let last = "";
  while (performance.now() < endMs) {
    try {
      if (await ask()) return;
      last = "";
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      last = ` (${error.message})`;
    }
    await pause(POLL_MS);
  }
  throw new Finding(`${typeof otherwise === "string" ? otherwise : otherwise()}${last}`);
}

/** Tries again until it works, as agents do. @throws {ActionError} the last one. */
export async function insist(work: () => Promise<unknown>, patienceMs = GROUP_PATIENCE_MS): Promise<void> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof ActionError) || performance.now() > endMs) throw error;
    }
    await pause(RETRY_MS);
  }
}

/** How the copy of one stands to that of another, both running. */
export async function order(one: HostMember, other: HostMember): Promise<Ordering> {
  const [left, right] = await Promise.all([one.observe(), other.observe()]);
  return comparePositions(left.position, right.position);
}

/** Waits until the followers hold everything that the leader has. */
export async function untilCaughtUp(leader: HostMember, ...followers: HostMember[]): Promise<void> {
  for (const follower of followers) {
    let state = "neither answers";
    await demandSoon(
      async () => {
        const [own, source] = await Promise.all([follower.observe(), leader.observe()]);
        const isReceiving = own.receiving ? "is receiving" : "is not receiving";
        state = `${own.position.value} where the leader has ${source.position.value}, and ${isReceiving}`;
        return comparePositions(own.position, source.position) === "equal";
      },
      () =>
        `follow: ${follower.name} does not come to have what its leader ${leader.name} has: ${state}:\n${follower.logEnd}`,
    );
  }
}

/** Writes something by probeWrite, so often. */
export async function write(member: HostMember, epoch: number, times = 1): Promise<void> {
  for (let count = 0; count < times; count++) await member.run("probeWrite", { QUORATE_EPOCH: String(epoch) });
}

/** The exit code of an action; 0 when it succeeds. */
export async function exitCode(work: Promise<unknown>): Promise<number> {
  try {
    await work;
    return 0;
  } catch (error) {
    if (error instanceof ActionError) return error.code;
    throw error;
  }
}

/** Makes a member that has just been started follow, as an agent would: by what the Engine says is possible. */
export async function bringBack(member: HostMember, leader: HostMember): Promise<void> {
  const code = await exitCode(member.follow(leader));
  if (code !== 0) {
    demand(
      code === IMPOSSIBLE,
      `follow: it failed with exit code ${code}; a tail of its own is exit code ${IMPOSSIBLE}`,
    );
    await member.stop();
    const rejoined = await exitCode(member.run("rejoin", HostMember.following(leader)));
    if (rejoined !== 0) {
      demand(
        rejoined === IMPOSSIBLE,
        `rejoin: it failed with exit code ${rejoined}, not ${IMPOSSIBLE}: neither done nor impossible`,
      );
      await member.run("clone", HostMember.following(leader));
    }
    // What was rewound may need the leader's log to become readable.
    await member.start(HostMember.following(leader));
    await member.follow(leader);
  }
  await untilCaughtUp(leader, member);
}
