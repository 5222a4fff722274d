// A cluster, looks at it, and what guards look at, for tests of experiments.
import { ClusterSpec } from "../../../src/api/cluster-spec.ts";
import { EXPERIMENTS, type ExperimentName, promiseOf } from "../../../src/chaos/experiments.ts";
import type { GuardFacts } from "../../../src/chaos/guards.ts";
import type { Look, SeenMember } from "../../../src/chaos/looks.ts";
import { type Surroundings, targetOf } from "../../../src/chaos/target.ts";

/** A Saturday at 03:30 in UTC. */
export const NOW = Date.parse("2030-01-05T03:30:00Z");

const conditions = (slo: "True" | "False" | "Unknown") =>
  [
    ["Ready", "True", "AsWanted", "all well"],
    ["SLOHealthy", slo, "Judged", `it is ${slo}`],
  ].map(([type, status, reason, message]) => ({
    type,
    status,
    reason,
    message,
    lastTransitionTime: "2030-01-01T00:00:00Z",
  }));

/** A cluster that everything may be done to: Ready, at rest, a full budget, a window that is open. */
export function cluster(
  spec: object = {},
  status: object = {},
  slo: "True" | "False" | "Unknown" = "True",
): ClusterSpec {
  return ClusterSpec.parse({
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterSpec",
    metadata: { name: "orders", namespace: "shop", uid: "u", generation: 3 },
    spec: {
      engine: { name: "example" },
      failover: { profile: "Fast" },
      slo: {},
      maintenanceWindows: [{ name: "saturday", cron: "0 3 * * 6", durationMinutes: 120 }],
      ...spec,
    },
    status: { observedGeneration: 3, desiredMembers: 3, budgetLeft: "100%", conditions: conditions(slo), ...status },
  });
}

/** A member's pod; the leader when `epoch` is given as `leads`. */
export function member(name: string, more: Partial<SeenMember> = {}): SeenMember {
  return {
    name,
    pod: `${name}-0`,
    uid: `uid-${name}`,
    ready: true,
    leaving: false,
    role: "follower",
    epoch: 1,
    ...more,
  };
}

/** Three members of which `orders-0` leads in epoch 1. */
export function three(): SeenMember[] {
  return [member("orders-0", { role: "leader" }), member("orders-1"), member("orders-2")];
}

/** A look at which all is well, but for `more`. */
export function look(atMs: number, members: readonly SeenMember[] = three(), more: Partial<Look> = {}): Look {
  return { atMs, members, ready: true, objectives: "Kept", restored: true, ...more };
}

/** A Lease, a route and one pod of the operator. */
export const AROUND: Surroundings = {
  lease: { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace: "shop", name: "orders", uid: "l" },
  route: { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", namespace: "shop", name: "orders-rw", uid: "r" },
  operator: [{ apiVersion: "v1", kind: "Pod", namespace: "quorate-system", name: "quorate-operator-x", uid: "o" }],
};

/** Facts with which every guard lets the experiment begin, but for `more`. */
export function facts(name: ExperimentName, more: Partial<GuardFacts> = {}): GuardFacts {
  const experiment = EXPERIMENTS[name];
  const of = more.cluster ?? cluster();
  const seen = more.look ?? look(0);
  return {
    nowMs: NOW,
    cluster: of,
    look: seen,
    experiment,
    promise: promiseOf(experiment, of.spec, 300_000),
    rounds: 1,
    target: targetOf(experiment, of, seen, { id: "x", around: AROUND }),
    openOperations: [],
    turn: undefined,
    refusal: undefined,
    outsideWindow: false,
    withoutBudget: false,
    ...more,
  };
}
