// ClusterOperations on topology Stateless: a restart replaces the members as an update does; what is about leaders and copies of data
// is refused.
import type { Decision } from "./decision.ts";
import type { World } from "./facts.ts";
import { trackOf } from "./fleet.ts";
import type { OperationView } from "./observation.ts";

/** How far an operation is. */
export type FleetOutcome =
  | { readonly phase: "Done" | "Refused"; readonly message: string }
  | { readonly phase: "Running"; readonly message: string; readonly decision?: Partial<Decision> };

/** Takes the next step of an operation that is neither Promote nor Abort. */
export function advanceFleetOperation({ seen }: World, { uid, intent }: OperationView): FleetOutcome {
  const { type, member, role } = intent;
  if (type !== "Restart") {
    return {
      phase: "Refused",
      message: `${type} is about members that hold data: in topology Stateless there are none`,
    };
  }
  if (member !== undefined || role !== undefined) {
    const field = member === undefined ? "role" : "member";
    return {
      phase: "Refused",
      message: `members have no names that last in topology Stateless: leave out spec.${field}`,
    };
  }
  const stable = trackOf(seen, "stable");
  if (stable === undefined) return { phase: "Running", message: "waits for the members to be created" };
  if (stable.restart === uid && stable.isSettled) {
    return { phase: "Done", message: `${stable.replicas} members were replaced` };
  }
  if (stable.restart === uid) {
    return { phase: "Running", message: `${stable.updated}/${stable.replicas} members replaced` };
  }
  if (!stable.isSettled) return { phase: "Running", message: "waits until all members are ready" };
  return { phase: "Running", message: "members are replaced, new ones first", decision: { fleetRestart: uid } };
}
