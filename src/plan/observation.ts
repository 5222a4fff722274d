// What the planner knows about one cluster: plain, frozen data of one moment. observe/ makes it; nothing here can reach out.
import type { AuthorityNote } from "../api/authority-note.ts";
import type { Intent, MemberReport } from "../api/agent-wire.ts";
import type { OperationIntent, OperationStatus } from "../api/cluster-operation.ts";
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { ClusterStatus } from "../api/cluster-status.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { LiveConnection } from "../build/connection.ts";
import type { BuildSettings } from "../build/context.ts";
import type { Track } from "../build/deployment.ts";
import type { Revision } from "../build/stateful-set.ts";
import type { LiveVolume } from "../build/volume.ts";
import type { TrialVerdict } from "../slo/analysis.ts";
import type { Budgets } from "../slo/verdict.ts";

/** Which incarnation and version of an object was seen; every write back is conditional on it. */
export interface Identity {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** The ClusterSpec. */
export interface ClusterView extends Identity {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** When somebody changed it last, as far as the API server tells; writes of its status do not count. */
  readonly changedMs?: number | undefined;
  readonly deleting: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  readonly intent: ClusterIntent;
  /** Why `.spec` cannot be understood, when it cannot; `intent` is then the last default and must not be acted on. */
  readonly invalid: string | undefined;
  readonly status: ClusterStatus;
}

/** A live child that is kept equal to its manifest. */
export interface ChildView extends Identity {
  readonly appliedHash: string | undefined;
  readonly deleting: boolean;
  /** The object as the API server has it, kind and name among it; what a manifest names must be found in it. */
  readonly live: object;
}

/** The StatefulSet of a member. */
export interface StatefulSetView extends Identity {
  readonly revision: Revision | undefined;
  readonly template: unknown;
  readonly replicas: number;
  readonly deleting: boolean;
}

/** The pod of a member. */
export interface PodView extends Identity {
  readonly name: string;
  readonly ready: boolean;
  /** Since when `ready` is as it is; undefined before the kubelet looked. */
  readonly readySinceMs: number | undefined;
  readonly deletingSinceMs: number | undefined;
  readonly node: string | undefined;
  readonly templateHash: string | undefined;
  readonly createdMs: number;
  /** What the member's agent says; undefined before it spoke or when it cannot be understood. */
  readonly report: MemberReport | undefined;
  /** Why a container waits or the pod cannot be scheduled, in the API server's words. */
  readonly trouble: string | undefined;
}

/** A node that a volume is tied to, and whether it is known never to come back. */
export interface HomeView {
  readonly node: string;
  readonly gone: "No" | "Deleted" | "OutOfService";
}

/** How a resize of a volume is. */
export interface ResizeView {
  /** FileSystemPending: the volume has grown, the file system on it has not. */
  readonly state: "None" | "FileSystemPending" | "Refused";
  readonly message: string;
}

/** The volume claim of a member. */
export interface VolumeView extends Identity, LiveVolume {
  /** What the volume really has; 0 before it is bound. */
  readonly capacityBytes: number;
  readonly resize: ResizeView;
  /** Name of the PersistentVolume. */
  readonly volumeName: string | undefined;
  /** The only nodes it can be used on; empty when there are others, and while nobody needs to know. */
  readonly homes: readonly HomeView[];
  readonly name: string;
  readonly phase: string;
  readonly createdMs: number;
  readonly deleting: boolean;
  readonly deleteWith: string | undefined;
}

/** Everything known of one member, whether it is wanted or not. */
export interface MemberView {
  readonly name: string;
  readonly ordinal: number;
  readonly statefulSet: StatefulSetView | undefined;
  readonly pod: PodView | undefined;
  readonly volume: VolumeView | undefined;
  /** Its pod or StatefulSet was made for an earlier ClusterSpec of this name and is on its way out: what it says is not ours. */
  readonly isOfEarlierCluster: boolean;
}

/** A pod of topology Stateless. It is nobody in particular: another takes its place under another name. */
export interface InstanceView extends PodView {
  readonly track: Track;
}

/** A node, as far as members care. */
export interface NodeView {
  readonly ready: boolean;
  /** Since when `ready` is as it is. */
  readonly readySinceMs?: number;
  readonly unschedulable: boolean;
  /** A person tainted it out-of-service: it is certainly off. */
  readonly outOfService?: boolean;
}

/** A StorageClass, as far as volumes care. */
export interface StorageClassView {
  readonly allowsExpansion: boolean;
}

/** A ClusterOperation for this cluster. */
export interface OperationView extends Identity {
  readonly name: string;
  readonly createdMs: number;
  readonly intent: OperationIntent;
  readonly status: OperationStatus;
}

/** Objects that are never watched: as the last live read of their names found them. */
export interface NamedView {
  readonly hasLease: boolean;
  /** The member that the Lease names as the last one that led, also after it gave the office back. */
  readonly lastLeader: string | undefined;
  /** End of the peers' certificate, epoch milliseconds; undefined when there is none. */
  readonly peerNotAfterMs: number | undefined;
  /** Names that it was made for, comma-separated; empty when there is none. */
  readonly peerHosts: string;
  /** resourceVersion of the Secret that holds it; empty when there is none. */
  readonly peerVersion: string;
  /** What is noted on it; undefined when there is none, and on one of an operator that noted nothing. */
  readonly authority: AuthorityNote | undefined;
  /** uid of the credentials Secret; undefined when there is none. */
  readonly credentialsUid: string | undefined;
  /** Keys that the credentials Secret holds. */
  readonly credentialKeys: readonly string[];
  /** resourceVersion of the credentials Secret; empty when there is none. */
  readonly credentialsVersion: string;
  /** The connection Secrets, by their names; those that are not there are left out. */
  readonly connections: ReadonlyMap<string, LiveConnection>;
}

/** The intent as agents see it now. */
export interface IntentView extends Identity {
  /** undefined when the ConfigMap's text is not an intent. */
  readonly intent: Intent | undefined;
}

/** What was measured of a cluster, beyond what the API server shows. */
export interface Measured {
  /** Error budgets in the order of the objectives, of those about which there is data; undefined while too little was seen to judge. */
  readonly budgets: Budgets;
  /** Why there is no budget of some or of all objectives, as a clause; empty when there is one of each. */
  readonly missing: string;
  /** What people should know of how objectives are judged, as a clause; absent when there is nothing. */
  readonly remarks?: string;
  /** What the next operator must know of the past, as text; undefined while every objective was always kept. */
  readonly record: string | undefined;
  /** What the analyses say of the revision that is being rolled out; undefined while none is judged. */
  readonly trial: TrialVerdict | undefined;
}

/** One cluster at one moment. Order within lists means nothing to the planner. */
export interface Observation {
  readonly nowMs: number;
  readonly settings: BuildSettings;
  readonly namespace: string;
  readonly name: string;
  /** undefined: read live and found gone. */
  readonly cluster: ClusterView | undefined;
  readonly engine: EngineSpec | undefined;
  readonly members: readonly MemberView[];
  /** The pods of topology Stateless. */
  readonly instances: readonly InstanceView[];
  /** Children that are kept equal to their manifests, by `Kind/name`. */
  readonly children: ReadonlyMap<string, ChildView>;
  readonly named: NamedView;
  readonly intent: IntentView | undefined;
  readonly operations: readonly OperationView[];
  readonly nodes: ReadonlyMap<string, NodeView>;
  /** undefined: nothing is measured, because nothing asks for it, or not yet. */
  readonly measured: Measured | undefined;
  readonly storageClasses: ReadonlyMap<string, StorageClassView>;
  /** What `spec.pods.priorityClassName` names, when there is no such PriorityClass. */
  readonly missingPriorityClass?: string;
  /** The API server's state went back lately (a restored backup): what is missing may exist. Nothing may be deleted. */
  readonly stateMayHaveGoneBack: boolean;
}
