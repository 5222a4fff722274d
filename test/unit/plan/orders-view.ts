/** The simulated cluster `shop/orders` as it is observed. */
import type { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import type { ClusterStatus } from "../../../src/api/cluster-status.ts";
import type { Observation } from "../../../src/plan/observation.ts";

/** What is read by name, before anything of it was made. */
export const NOTHING_NAMED: Observation["named"] = {
  hasLease: false,
  lastLeader: undefined,
  peerNotAfterMs: undefined,
  peerHosts: "",
  peerVersion: "",
  authority: undefined,
  credentialsUid: undefined,
  credentialKeys: [],
  credentialsVersion: "",
  connections: new Map(),
};

/** The ClusterSpec itself, valid and not being deleted. */
export function ordersView(
  intent: ClusterIntent,
  annotations: Record<string, string>,
  status: ClusterStatus,
): NonNullable<Observation["cluster"]> {
  return {
    uid: "uid-orders",
    resourceVersion: "1",
    namespace: "shop",
    name: "orders",
    generation: 1,
    deleting: false,
    annotations,
    intent,
    invalid: undefined,
    status,
  };
}
