// Who began or ceased to serve since the last pass. Compares with the last status, so a restarted operator counts nothing twice.
import type { ClusterView, Observation } from "../plan/observation.ts";

/** Names of members that serve now and did not in the status that `cluster` carries, and the other way round. */
export interface MembershipChanges {
  readonly joined: readonly string[];
  readonly left: readonly string[];
}

/** Compares what agents say now with the last status. A change of role is none: a leader that follows still serves. */
export function membershipChanges(seen: Observation, cluster: ClusterView): MembershipChanges {
  const before = new Set(
    (cluster.status.members ?? []).filter((m) => m.state === "Running" && m.role !== "None").map((m) => m.name),
  );
  const now = new Set(
    seen.members
      .filter(({ pod }) => pod?.report?.state === "Running" && pod.report.role !== "none")
      .map((member) => member.name),
  );
  return {
    joined: [...now].filter((name) => !before.has(name)).toSorted(),
    left: [...before].filter((name) => !now.has(name)).toSorted(),
  };
}
