/** Whether a cluster has come to rest as its spec asks for it, and whether waiting for that is in vain. Pure. */
import type { ClusterSpec } from "../api/cluster-spec.ts";

/** How it stands. `Failed` does not pass without somebody's doing. */
export interface Settled {
  readonly state: "Ready" | "InProgress" | "Failed";
  readonly message: string;
}

/** Phases of a roll that end it somewhere else than where the spec wants it. */
const IN_VAIN: Readonly<Record<string, string>> = {
  RolledBack: "the change was rolled back",
  Held: "the change is held where it failed",
};

/** Judges by the conditions, as kstatus does, and by what became of the last roll. */
export function settledness({ metadata, status }: ClusterSpec): Settled {
  const conditions = status?.conditions ?? [];
  const find = (type: string) => conditions.find((condition) => condition.type === type);
  if (status?.observedGeneration === undefined || status.observedGeneration !== metadata.generation)
    return { state: "InProgress", message: "the operator has not taken in the last change yet" };
  const stalled = find("Stalled");
  if (stalled?.status === "True") return { state: "Failed", message: `${stalled.reason}: ${stalled.message}` };
  const { rollout } = status;
  const inVain = rollout === undefined ? undefined : IN_VAIN[rollout.phase];
  if (inVain !== undefined) {
    const reason = rollout?.failed?.at(-1)?.reason;
    return { state: "Failed", message: reason === undefined ? inVain : `${inVain}: ${reason}` };
  }
  const ready = find("Ready");
  if (ready?.status === "True") return { state: "Ready", message: ready.message };
  return { state: "InProgress", message: ready?.message ?? "no condition says anything yet" };
}
