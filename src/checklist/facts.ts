/** What the checklists look at. A part that is undefined could not be read; the check says so instead of guessing. */
import type { ClusterOperation } from "../api/cluster-operation.ts";
import type { ClusterSpec } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";

/** A node that members may run on. */
export interface NodeFacts {
  readonly name: string;
  readonly zone: string | undefined;
  readonly isReady: boolean;
  readonly isSchedulable: boolean;
}

/** A StorageClass. */
export interface StorageClassFacts {
  readonly name: string;
  readonly reclaimPolicy: string;
  readonly allowsExpansion: boolean;
}

/** The operator's Deployment. */
export interface OperatorFacts {
  readonly namespace: string;
  readonly replicas: number;
  readonly available: number;
  /** Whether it was told where to send traces. */
  readonly sendsTraces: boolean;
}

/** A probe of a member's engine container. */
export interface ProbeFacts {
  readonly path: string | undefined;
  readonly toleratesSeconds: number;
}

/** One pod of a member. */
export interface PodFacts {
  readonly name: string;
  readonly node: string | undefined;
  readonly isReady: boolean;
  readonly restarts: number;
  readonly hasClusterLabel: boolean;
  readonly hasRequestsAndLimits: boolean;
  readonly readiness: ProbeFacts | undefined;
  readonly liveness: ProbeFacts | undefined;
}

/** A rule of a role. */
export interface RoleRule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** Everything that was found out. */
export interface Facts {
  readonly nowMs: number;
  /** As the API server would store it: with every default. */
  readonly cluster: ClusterSpec;
  readonly engine: EngineSpec | undefined;
  readonly nodes: readonly NodeFacts[] | undefined;
  /** The class that the volumes get; null when there is none. */
  readonly storageClass: StorageClassFacts | null | undefined;
  readonly operator: OperatorFacts | null | undefined;
  readonly operatorRules: readonly RoleRule[] | undefined;
  readonly pods: readonly PodFacts[] | undefined;
  readonly hasBudget: boolean | undefined;
  readonly hasFlowSchema: boolean | undefined;
  readonly hasEpochPolicies: boolean | undefined;
  readonly monitors: number | undefined;
  readonly operations: readonly ClusterOperation[] | undefined;
  /** ClusterSpecs in the namespace. */
  readonly neighbours: number | undefined;
}
