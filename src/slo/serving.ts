// Whether members that no agent looks at serve, as their pods show it.
import { AWAY_PERCENT } from "../api/stateless.ts";

/** How often it is looked at whether they do: each look is a slice of time, as agents' probes are. */
export const SERVING_SLICE_MS = 1000;

/**
 * How many of `members` must be ready: all but those that an eviction may take away, and at least one; of none, none.
 *
 * `members` is the number that is always to be warm, not the one that an autoscaler wants at the moment: members that have yet to come
 * are missed by nobody but the load that they are to take, which an objective about requests shows.
 */
export function enoughMembers(members: number): number {
  return members === 0 ? 0 : Math.max(1, members - Math.ceil((members * AWAY_PERCENT) / 100));
}

/**
 * How many members a cluster is held to. Somebody who asks for more has lost nothing while they start: a larger number counts once it
 * was reached, a smaller one at once.
 * @param before - What it was held to until now; undefined when nobody knows.
 */
export function heldTo(before: number | undefined, wanted: number, ready: number): number {
  return before === undefined || wanted < before || ready >= enoughMembers(wanted) ? wanted : before;
}
