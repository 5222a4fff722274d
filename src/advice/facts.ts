// What advice is given upon: the cluster as it is wanted, and what its members were seen to use and to do.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";

/** What one member used; what nobody counted is undefined. Processor and memory include the agent's. */
export interface MemberUsage {
  readonly member: string;
  /** 95 of 100 looks found no more. */
  readonly cpuCoresP95: number | undefined;
  readonly memoryBytesP95: number | undefined;
  readonly memoryBytesMax: number | undefined;
  readonly volumeUsedBytes: number | undefined;
  readonly volumeSizeBytes: number | undefined;
  /** Share of the time in which its engine answered its agent; a member that nobody could ask is taken to be down. */
  readonly upShare: number | undefined;
}

/** What was seen of a cluster. */
export interface Seen {
  /** Who told it. */
  readonly source: "Prometheus" | "Agents";
  /** For how long there are figures of usage. */
  readonly overSeconds: number;
  readonly members: readonly MemberUsage[];
  /** Time of a write of the Lease: of 99 in 100, in the worst five minutes where that is known. */
  readonly leaseWriteP99Seconds: number | undefined;
  /** Share of the writes of the Lease that failed. */
  readonly leaseErrorShare: number | undefined;
  /** Time that 99 of 100 of the engine's answers to its own agent took. */
  readonly answerP99Seconds: number | undefined;
  /** Share of the time in which writes failed, or nobody led. */
  readonly unavailableShare: number | undefined;
}

/** A cluster, and what was seen of it. */
export interface Facts {
  readonly intent: ClusterIntent;
  readonly engine: EngineSpec;
  /** What each member is given for its agent, beside what the ClusterSpec asks for. */
  readonly agentMemoryBytes: number;
  /** StorageClass of the volumes; undefined where nobody named one. */
  readonly storageClass: string | undefined;
  /** For how long the shortest liveness probe of a member's pod tolerates no answer; undefined without pods. */
  readonly livenessToleratesSeconds: number | undefined;
  readonly seen: Seen;
}

/** The largest of what is known; undefined when nothing is. */
export function largest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined && !Number.isNaN(value)) as number[];
  return known.length === 0 ? undefined : Math.max(...known);
}
