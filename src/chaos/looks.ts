/** What one look at a cluster shows while an experiment runs. Pure: the command looks, everything here only reads. */
import type { MemberReport } from "../api/agent-wire.ts";

/** A member's pod. */
export interface SeenMember {
  /** The member, or the pod where members have no names that last. */
  readonly name: string;
  readonly pod: string;
  readonly uid: string;
  readonly ready: boolean;
  /** It is being deleted; whatever it says of itself is as good as over. */
  readonly leaving: boolean;
  readonly role: MemberReport["role"] | undefined;
  readonly epoch: number;
}

/** What the objectives said. `None`: the ClusterSpec states none. */
export type ObjectivesState = "Kept" | "Missed" | "Unknown" | "None";

/** One look. */
export interface Look {
  /** Monotonic. */
  readonly atMs: number;
  readonly members: readonly SeenMember[];
  /** The ClusterSpec's condition Ready. */
  readonly ready: boolean;
  readonly objectives: ObjectivesState;
  /** What the fault took away beside members is there again: a Lease, a route, the operator, the end of an operation. */
  readonly restored: boolean;
  /** Why the cluster itself said no to what was asked, where it did. */
  readonly refusal?: string | undefined;
}

/** Who leads: of those that say so and stay, the one of the highest epoch. */
export function leaderIn({ members }: Pick<Look, "members">): SeenMember | undefined {
  return leadersIn({ members }).toSorted((a, b) => b.epoch - a.epoch)[0];
}

/** Members that are ready and stay. */
export function readyIn({ members }: Pick<Look, "members">): readonly SeenMember[] {
  return members.filter(({ ready, leaving }) => ready && !leaving);
}

/** Two members that both say that they lead in one epoch; undefined when there are none. */
export function rivalsIn({ members }: Pick<Look, "members">): readonly [SeenMember, SeenMember] | undefined {
  const leaders = leadersIn({ members });
  for (const [at, one] of leaders.entries()) {
    const other = leaders.slice(at + 1).find(({ epoch }) => epoch === one.epoch);
    if (other !== undefined) return [one, other];
  }
  return undefined;
}

function leadersIn({ members }: Pick<Look, "members">): readonly SeenMember[] {
  return members.filter(({ role, leaving }) => role === "leader" && !leaving);
}
