/** The experiments as data: what each does, to whom, and what the cluster promises to bear it with. Pure. */
import { CLOCK_RATE_ERROR, FENCE_REACTION_MS, PROFILES } from "../agent/protocol/profile.ts";
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { Topology } from "../api/topology.ts";

/** The names of all experiments, in the order in which `chaos list` shows them: the milder ones first. */
export const EXPERIMENT_NAMES = [
  "switchover",
  "evict-member",
  "evict-leader",
  "kill-member",
  "kill-leader",
  "kill-half",
  "delete-route",
  "delete-lease",
  "kill-operator",
] as const;
export type ExperimentName = (typeof EXPERIMENT_NAMES)[number];

/** Whom an experiment takes away. `Half`: as many as leave half of the members, rounded up. */
export type Victims = "Nobody" | "Leader" | "Member" | "Half";

/** What the cluster keeps to, whoever is taken away. */
export interface RecoveryPromise {
  /** For how long nobody may lead, all in all. */
  readonly leaderlessMs: number;
  /** How long after the fault everything must be as before. */
  readonly wholeWithinMs: number;
}

/** One experiment. */
export interface Experiment {
  readonly name: ExperimentName;
  /** What it does, as a sentence without an end. */
  readonly does: string;
  readonly victims: Victims;
  readonly topologies: readonly Topology[];
  /** How the leader is expected to change: `Moves` to another member, `Stays`, or `None` where nobody leads. */
  readonly leader: "Moves" | "Stays" | "None";
}

const LED: readonly Topology[] = ["ActivePassive", "Consensus"];
const WITH_MEMBERS: readonly Topology[] = [...LED, "ActiveActive", "Stateless"];

/** All experiments by name. */
export const EXPERIMENTS: Readonly<Record<ExperimentName, Experiment>> = {
  switchover: {
    name: "switchover",
    does: "has the leader hand over to its best follower, by a ClusterOperation",
    victims: "Nobody",
    topologies: LED,
    leader: "Moves",
  },
  "evict-member": {
    name: "evict-member",
    does: "evicts the pod of a member that does not lead, as a drain of its node does",
    victims: "Member",
    topologies: WITH_MEMBERS,
    leader: "Stays",
  },
  "evict-leader": {
    name: "evict-leader",
    does: "evicts the leader's pod, as a drain of its node does",
    victims: "Leader",
    topologies: LED,
    leader: "Moves",
  },
  "kill-member": {
    name: "kill-member",
    does: "deletes the pod of a member that does not lead, and gives it a second to end",
    victims: "Member",
    topologies: WITH_MEMBERS,
    leader: "Stays",
  },
  "kill-leader": {
    name: "kill-leader",
    does: "deletes the leader's pod, and gives it a second to end",
    victims: "Leader",
    topologies: LED,
    leader: "Moves",
  },
  "kill-half": {
    name: "kill-half",
    does: "deletes half of the pods at once, and gives them a second to end: those that come back are cold",
    victims: "Half",
    topologies: ["Stateless"],
    leader: "None",
  },
  "delete-route": {
    name: "delete-route",
    does: "deletes the EndpointSlice by which clients find the leader",
    victims: "Nobody",
    topologies: ["ActivePassive"],
    leader: "Stays",
  },
  "delete-lease": {
    name: "delete-lease",
    does: "deletes the members' Lease. Until the operator has made it anew, within ten minutes, nobody could be elected",
    victims: "Nobody",
    topologies: ["ActivePassive"],
    leader: "Stays",
  },
  "kill-operator": {
    name: "kill-operator",
    does: "deletes all pods of the operator; clusters serve on without it",
    victims: "Nobody",
    topologies: WITH_MEMBERS,
    leader: "Stays",
  },
};

/** Whether the cluster has a leader that clients depend on. */
export function isLed({ topology }: Pick<ClusterIntent, "topology">): boolean {
  return LED.includes(topology);
}

/** A look comes every so often, and what agents report may be a period old: shorter gaps cannot be told from none. */
export const RESOLUTION_MS = 1_000;
const LEASE_READ_ANEW_MS = 660_000; // the operator looks at a Lease every ten minutes while somebody leads

/**
 * What is promised: a leader that is lost is replaced once its lease has expired, its successor has sealed the others and the old one is
 * fenced; one that hands over keeps to the time that a release leaves to its successor.
 *
 * @param wholeWithinMs - How long pods may take to come back, which depends on the nodes more than on the cluster.
 */
export function promiseOf(
  { name, leader, victims }: Experiment,
  intent: Pick<ClusterIntent, "topology" | "failover">,
  wholeWithinMs: number,
): RecoveryPromise {
  const whole = name === "delete-lease" ? Math.max(wholeWithinMs, LEASE_READ_ANEW_MS) : wholeWithinMs;
  if (leader !== "Moves" || !isLed(intent)) return { leaderlessMs: RESOLUTION_MS, wholeWithinMs: whole };
  const { leaseMs, sealTimeoutMs, handoverMs } = PROFILES[intent.failover.profile];
  const isPlanned = victims === "Nobody" || name === "evict-leader";
  const leaderlessMs = isPlanned
    ? handoverMs + sealTimeoutMs + FENCE_REACTION_MS
    : leaseMs * (1 + CLOCK_RATE_ERROR) + 2 * sealTimeoutMs + FENCE_REACTION_MS;
  return { leaderlessMs: Math.ceil(leaderlessMs) + RESOLUTION_MS, wholeWithinMs: whole };
}
