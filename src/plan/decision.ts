// What one small planner says. The interlock in plan-cluster.ts takes at most one of those that are busy.
import type { HookRequest, Intent } from "../api/agent-wire.ts";
import type { Resharding } from "../api/cluster-status.ts";
import type { RolloutStatus } from "../api/update.ts";
import type { ExclusiveChange } from "./interlock.ts";
import type { Block, Step } from "./plan.ts";

/** One planner's word about its own concern. */
export interface Decision {
  /** A change is under way or wanted now; planners further down must not start another. */
  readonly busy: boolean;
  /** The change in a few words. */
  readonly change?: string;
  readonly steps?: readonly Step[];
  /** Steps that only report and go along with whichever planner is busy. */
  readonly reports?: readonly Step[];
  readonly blocked?: readonly Block[];
  /** Members that agents shall know of from now on; absent: as they are. */
  readonly listed?: readonly string[];
  /** A member that commits shall stop to wait for, before it is no longer listed. */
  readonly leaving?: string;
  readonly switchover?: NonNullable<Intent["switchover"]>;
  readonly restart?: NonNullable<Intent["restart"]>;
  readonly rebuild?: NonNullable<Intent["rebuild"]>;
  readonly hook?: HookRequest;
  readonly defragment?: NonNullable<Intent["defragment"]>;
  readonly task?: NonNullable<Intent["task"]>;
  /** Whose turn it is to take the operator's agent. */
  readonly agent?: NonNullable<Intent["agent"]>;
  /** uid of the operation for which the members of topology Stateless shall be replaced. */
  readonly fleetRestart?: string;
  /** The incarnation that the group shall have from now on; see `Intent.group`. */
  readonly group?: NonNullable<Intent["group"]>;
  /** A member that shall lead although acknowledged writes may be lost, by a person's order; see `Intent.forcedPromotion`. */
  readonly forcedPromotion?: NonNullable<Intent["forcedPromotion"]>;
  /** The planned change whose step runs now; for metrics. */
  readonly planned?: ExclusiveChange;
  /** How far a roll of the members is. */
  readonly rollout?: RolloutStatus;
  /** How slots move between shards, when that is news. */
  readonly resharding?: Resharding;
  readonly requeueAfterMs?: number;
}

/** Nothing to do. */
export const IDLE: Decision = { busy: false };

/** Whether members change, or are about to. */
export function takesStep({ steps = [], switchover }: Partial<Decision>): boolean {
  return steps.length > 0 || switchover !== undefined;
}
