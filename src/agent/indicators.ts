/** Turns what a member knows of itself into its indicators: how far it is behind, and whether it has its quorum. */
import type { Intent } from "../api/agent-wire.ts";
import type { EngineObservation } from "../api/engine-observation.ts";
import type { AgentMetrics } from "./metrics.ts";
import { lagOf, type ReportParts } from "./report.ts";

/** Age of the newest change applied here; 0 on the leader, NaN while it cannot be known: no figure must not look like a good one. */
export function lagSecondsOf({ view, observation }: Pick<ReportParts, "view" | "observation">): number {
  if (view.role === "leader") return 0;
  return observation?.replayLagSeconds ?? Number.NaN;
}

/** What a member's indicators are made of. */
export interface MemberParts extends Pick<ReportParts, "view" | "observation" | "leaderPosition"> {
  /** Whether the leader's heartbeats arrive: one that was heard last long ago may be far ahead by now. */
  readonly isLeaderHeard: boolean;
}

/** Shows whether the engine answers, how far it is behind, and how many members the cluster has. */
export function showMember(metrics: AgentMetrics, parts: MemberParts, intent: Intent | undefined): void {
  if (intent !== undefined) metrics.expectedMembers.set(intent.members.length);
  metrics.engineUp.set(parts.observation === undefined ? 0 : 1);
  const leaderPosition = parts.isLeaderHeard ? parts.leaderPosition : null;
  metrics.lagBytes.set(Number(lagOf({ ...parts, leaderPosition }) ?? Number.NaN));
  metrics.lagSeconds.set(lagSecondsOf(parts));
}

/** Whether a leader has a majority of the listed members with it, itself included. One whose engine does not answer has not. */
export function hasQuorum(observation: EngineObservation | undefined, members: Intent["members"]): boolean {
  if (observation === undefined) return false;
  const listed = new Set(members.map(({ name }) => name));
  const streaming = observation.followers.filter((one) => one.streaming && listed.has(one.name));
  return streaming.length + 1 > members.length / 2;
}

/** Counts one look of a serving leader at its followers. */
export function countQuorum(
  metrics: AgentMetrics,
  observation: EngineObservation | undefined,
  intent: Intent | undefined,
): void {
  const members = intent?.members ?? [];
  metrics.quorumSlices.inc({ result: hasQuorum(observation, members) ? "good" : "bad" });
}
