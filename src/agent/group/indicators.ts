/** Turns what a member of a group knows of itself into its indicators. */
import type { EngineObservation } from "../../api/engine-observation.ts";
import type { AgentMetrics } from "../metrics.ts";
import { entriesBehind } from "./describe.ts";
import type { GroupView } from "./types.ts";

/** Shows whether the engine answers and leads, how far it is behind, how many members there are, and what its clients had to wait for. */
export function showGroup(
  metrics: AgentMetrics,
  view: GroupView,
  contention: EngineObservation["contention"] | undefined,
): void {
  const { seen } = view;
  metrics.engineUp.set(seen === undefined ? 0 : 1);
  metrics.isLeader.set(seen?.leads === true ? 1 : 0);
  metrics.epoch.set(seen?.group.term ?? 0);
  metrics.lagBytes.set(Number(entriesBehind(view) ?? Number.NaN));
  metrics.expectedMembers.set(view.intent.members.length);
  if (contention === undefined) return;
  metrics.writeConflicts.set(contention.conflicts);
  metrics.flowControlSeconds.set(contention.pausedSeconds);
}
