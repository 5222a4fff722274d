/** The API group and every name, label and annotation that more than one part relies on. */

export const GROUP = "quorate.io";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}` as const;
export const MANAGED_BY = "quorate";

/** Labels and annotations; the part after the slash says whose word it is. */
export const LABEL_CLUSTER = "quorate.io/cluster";
export const LABEL_MEMBER = "quorate.io/member";
/** On pods of topology Stateless: `stable` or `canary`. */
export const LABEL_TRACK = "quorate.io/track";
/** On whatever belongs to a shard: the ClusterSpec of topology Sharded that it is a shard of. */
export const LABEL_SHARD_OF = "quorate.io/shard-of";
export const LABEL_ROLE = "quorate.io/role";
export const ANNOTATION_MEMBER_STATUS = "quorate.io/member-status";
/** On the intent and on a shard's ClusterSpec: the trace of the change that it belongs to, as W3C's traceparent. */
export const ANNOTATION_TRACEPARENT = "quorate.io/traceparent";
/** On the intent: where agents send their part of that trace. */
export const ANNOTATION_TRACES_TO = "quorate.io/traces-to";
export const ANNOTATION_TEMPLATE_HASH = "quorate.io/template-hash";
export const ANNOTATION_CLUSTER_UID = "quorate.io/cluster-uid";
export const ANNOTATION_EPOCH = "quorate.io/epoch";
export const ANNOTATION_SYNC = "quorate.io/sync";
export const ANNOTATION_LEADER = "quorate.io/leader";
export const ANNOTATION_HANDOVER = "quorate.io/handover";
export const ANNOTATION_HISTORY = "quorate.io/history";
export const ANNOTATION_ATTEMPT = "quorate.io/attempt";
export const ANNOTATION_FAILOVERS = "quorate.io/failovers";

/** Ports of every member, beside the engine's own. */
export const PEER_PORT = 7411;
export const HEALTH_PORT = 7412;
export const INIT_PORT = 7414;

/** What stands before a parameter's name in the variables of a member's container. */
export const PARAMETER_PREFIX = "QUORATE_PARAMETER_";

/** Where things lie inside the engine's container. */
export const RUNTIME_DIR = "/quorate";
export const ENGINE_DIR = "/quorate-engine";
export const PEER_DIR = "/quorate-peer";
export const CREDENTIALS_DIR = "/quorate-credentials";
/** Where the keys to the store of backups are. */
export const STORE_DIR = "/quorate-store";
export const DATA_DIR = "/data/engine";
export const STATE_DIR = "/data/quorate";

/** Names of a cluster's objects. */
export const nameOf = {
  shard: (cluster: string, index: number): string => `${cluster}-s${index}`,
  member: (cluster: string, ordinal: number): string => `${cluster}-${ordinal}`,
  pod: (member: string): string => `${member}-0`,
  volume: (member: string): string => `${member}-data`,
  membersService: (cluster: string): string => `${cluster}-members`,
  host: (cluster: string, namespace: string, member: string): string =>
    `${member}-0.${cluster}-members.${namespace}.svc`,
  /** The members of topology Stateless: those that serve, or those that try a revision beside them. */
  deployment: (cluster: string, track: "stable" | "canary"): string =>
    track === "stable" ? cluster : `${cluster}-canary`,
  autoscaler: (cluster: string): string => cluster,
  lease: (cluster: string): string => cluster,
  revision: (cluster: string, templateHash: string): string => `${cluster}-revision-${templateHash}`,
  intent: (cluster: string): string => `${cluster}-intent`,
  agentOffer: (cluster: string): string => `${cluster}-agent`,
  budget: (cluster: string): string => `${cluster}-budget`,
  rules: (cluster: string): string => `${cluster}-objectives`,
  engineFiles: (cluster: string): string => `${cluster}-engine`,
  readWrite: (cluster: string): string => `${cluster}-rw`,
  readOnly: (cluster: string): string => `${cluster}-ro`,
  read: (cluster: string): string => `${cluster}-r`,
  peerSecret: (cluster: string): string => `${cluster}-peer`,
  authoritySecret: (cluster: string): string => `${cluster}-ca`,
  credentialsSecret: (cluster: string): string => `${cluster}-credentials`,
  connectionSecret: (cluster: string, account: string): string => `${cluster}-${account}`,
  serviceAccount: (cluster: string): string => `${cluster}-member`,
} as const;
