/** Which engines this folder is about. */
import type { EngineSpec } from "../../api/engine.ts";

/** Whether every member of the engine's clusters writes (topology ActiveActive). */
export function isEveryMemberWriter({ topologies }: Pick<EngineSpec, "topologies">): boolean {
  return topologies.includes("ActiveActive");
}

/** Whether the engine knows its group itself, so that its members need no leader by the Lease. */
export function isGroup(engine: Pick<EngineSpec, "topologies">): boolean {
  return engine.topologies.includes("Consensus") || isEveryMemberWriter(engine);
}
