// How many members an eviction (drain) may leave.
import { AWAY_PERCENT } from "../api/stateless.ts";
import type { BuildContext } from "./context.ts";
import { child, podSelector } from "./labels.ts";
import type { Manifest } from "./manifest.ts";

/**
 * The one PodDisruptionBudget of a cluster: at most one of `memberCount` members is away.
 *
 * As `minAvailable`, because `maxUnavailable` is counted by the owners of the pods that exist: with one StatefulSet per
 * member, one whose pod is gone would not count, and a second eviction would be let through.
 * A single member may be evicted unless the user wants otherwise: a node must be drainable, and nothing can take over from
 * it. With singleMember Surge the eviction waits until a second member has taken over, and with Block for ever.
 * Members that are not ready may always be evicted; they hold up drains otherwise and serve nobody.
 */
export function buildBudget(context: BuildContext, memberCount: number): Manifest {
  return child(context, { apiVersion: "policy/v1", kind: "PodDisruptionBudget" }, context.name, {
    spec: {
      minAvailable: memberCount === 1 && context.intent.disruption.singleMember !== "Allow" ? 1 : memberCount - 1,
      selector: { matchLabels: podSelector(context.name) },
      unhealthyPodEvictionPolicy: "AlwaysAllow",
    },
  });
}

/** The one PodDisruptionBudget of topology Stateless: a tenth of the members may be away, and one of a few. */
export function buildStatelessBudget(context: BuildContext): Manifest {
  return child(context, { apiVersion: "policy/v1", kind: "PodDisruptionBudget" }, context.name, {
    spec: {
      maxUnavailable: `${AWAY_PERCENT}%`, // rounded up; counted of what the Deployments want, so autoscaling changes nothing about it
      selector: { matchLabels: podSelector(context.name) },
      unhealthyPodEvictionPolicy: "AlwaysAllow",
    },
  });
}
