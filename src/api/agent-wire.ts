/** What operator and agents say to each other: the intent ConfigMap, the member status annotation, the Lease's annotations. */
import * as z from "zod";
import { Identification } from "./authority-note.ts";
import { EngineShard } from "./engine-observation.ts";

/** Key of the intent ConfigMap that holds the JSON. */
export const INTENT_KEY = "intent.json";

/** One member as its peers reach it. */
export const IntentMember = z.object({
  name: z.string(),
  host: z.string(),
  agentPort: z.int(),
  initPort: z.int(),
  enginePort: z.int(),
  /** Where other members' engines reach its engine, when not at `enginePort`. */
  memberPort: z.int().optional(),
});
export type IntentMember = z.infer<typeof IntentMember>;

/** An action of the Engine around an update, by its name in the Engine contract. */
export const HookName = z.enum(["beforeUpdate", "afterUpdate", "canRollBack"]);
export type HookName = z.infer<typeof HookName>;

/** A hook that the leader is asked to run. It is asked anew, under another id, when somebody else leads. */
export const HookRequest = z.object({
  id: z.string(),
  action: HookName,
  member: z.string(),
  /** The member runs it only while it leads in this epoch. */
  epoch: z.int(),
  /** The same in every request about one update; the hook can tell by it that it ran before. */
  update: z.string(),
  /** Empty where nobody noted it down. */
  fromVersion: z.string(),
  toVersion: z.string(),
  fromRevision: z.string(),
  toRevision: z.string(),
  /** A person consented to a change that cannot be taken back. */
  consent: z.boolean(),
});
export type HookRequest = z.infer<typeof HookRequest>;

/** Actions of the Engine that a member runs while it serves, because a person asked for it. */
export const TaskName = z.enum(["backup", "verify", "repair"]);
export type TaskName = z.infer<typeof TaskName>;

/** A task that one member is asked for. */
export const TaskRequest = z.object({
  id: z.string(),
  action: TaskName,
  member: z.string(),
  /** Of a backup: where it goes, below the prefix of the store. */
  path: z.string().optional(),
});
export type TaskRequest = z.infer<typeof TaskRequest>;

/** Where backups are; who may use it, files in the pod say. */
export const IntentStore = z.object({
  endpoint: z.string(),
  bucket: z.string(),
  region: z.string(),
  prefix: z.string(),
  /** Of the Secret with the keys, for people. */
  secretName: z.string(),
  /** Name of the Engine: a backup by another is not restored. */
  engine: z.string(),
  keep: z.int().optional(),
  /** Path of the backup that the first member begins with. */
  restorePath: z.string().optional(),
});
export type IntentStore = z.infer<typeof IntentStore>;

/** What a member of a shard knows of the others, and what the leader is asked to do about slots. */
export const IntentShard = z.object({
  /** Members of all shards. */
  peers: z.array(z.object({ name: z.string(), host: z.string(), port: z.int(), memberPort: z.int() })),
  request: z
    .object({
      action: z.enum(["assignSlots", "moveSlots"]),
      slots: z.string(),
      /** The shard that they move to, and where its leader is. */
      target: z.string(),
      targetHost: z.string(),
      targetPort: z.int(),
      /** Carried out only while this member leads in this epoch: an order that a former leader was given may be out of date. */
      member: z.string(),
      epoch: z.int(),
    })
    .optional(),
});
export type IntentShard = z.infer<typeof IntentShard>;

/** Content hash of an agent. */
const BundleHash = z.string().regex(/^[0-9a-f]{64}$/);

/** What the operator wants of the agents of one cluster; agents keep the last one they saw when the API server is away. */
export const Intent = z.object({
  generation: z.int(),
  members: z.array(IntentMember).min(1).max(16),
  /** Members that have not been in sync since they were added: they neither confirm writes nor are counted for it. */
  learners: z.array(z.string()).default([]),
  bootstrapMember: z.string().nullable(),
  /** uid of the ClusterSpec, once a leader has served for it: an empty volume of it may never be initialised again. */
  initializedFor: z.string().optional(),
  durability: z.object({ mode: z.enum(["Quorum", "All", "Async"]), whenDegraded: z.enum(["Block", "Async"]) }),
  profile: z.enum(["Fast", "Standard"]),
  maxLagBytes: z.string(),
  paused: z.boolean(),
  switchover: z.object({ id: z.string(), from: z.string().nullable(), to: z.string().nullable() }).nullable(),
  restart: z.object({ id: z.string(), member: z.string() }).nullable(),
  rebuild: z.object({ id: z.string(), member: z.string() }).nullable(),
  hook: HookRequest.nullable().default(null),
  defragment: z.object({ id: z.string(), member: z.string() }).optional(),
  /** Agents of earlier versions know none of these two. */
  task: TaskRequest.optional(),
  store: IntentStore.optional(),
  /**
   * `member` shall lead although acknowledged writes may be lost; `lost` cannot run any more, as a person has made sure of. Only for
   * the vacancy of the synchronous set of `epoch`.
   */
  forcedPromotion: z
    .object({ id: z.string(), member: z.string(), epoch: z.int(), lost: z.array(z.string()) })
    .optional(),
  /** The agent that the operator offers, by its hash, and the member whose turn it is to run it in place of its own. */
  agent: z
    .object({
      hash: BundleHash,
      /** Of the Node that it was made for; an older one does not run it. */
      nodeMajor: z.int(),
      member: z.string(),
    })
    .optional(),
  parameters: z.record(z.string(), z.string()),
  /** Accounts for applications that are kept in the engine; `secretKey` names the file with the password. */
  accounts: z
    .array(
      z.object({
        name: z.string(),
        secretKey: z.string(),
        database: z.string(),
        /** What the account may do, where that is not all with its database. Agents of earlier versions know of none. */
        rules: z.array(z.string()).optional(),
      }),
    )
    .optional(),
  /** Of a shard only. */
  shard: IntentShard.optional(),
  /**
   * Topology Consensus: how often the group was recovered after its majority was lost. Copies of an older incarnation are never
   * started again: the group was begun anew by `founder`, from its copy alone.
   */
  group: z
    .object({
      incarnation: z.int().min(0),
      founder: z.string().nullable(),
      /** The operation that asked for it. */
      request: z.string().nullable(),
    })
    .optional(),
});
export type Intent = z.infer<typeof Intent>;

/** Answer to a one-shot request in the intent, by its id. */
const Answer = z.object({
  id: z.string(),
  result: z.enum(["Running", "Done", "Refused", "Failed"]),
  message: z.string(),
});

/** What a member says of the group that its engine forms. */
const GroupReport = z.object({
  /** Of the copy on its volume. */
  incarnation: z.int(),
  /** The leader alone: everybody whom the engine counts as a member, with and without a vote. */
  members: z.array(z.string()).optional(),
  /** Where its log ends, while it knows of no leader: then it stands still, and says which copy is the most advanced. */
  position: z.object({ term: z.int(), index: z.string() }).optional(),
});

/** What an agent says of itself in its pod's annotation; written only when it changes, so lag is in coarse steps. */
export const MemberReport = z.object({
  role: z.enum(["leader", "follower", "none"]),
  epoch: z.int(),
  state: z.enum(["Starting", "Cloning", "Rewinding", "Electing", "Running", "Fenced", "Blocked", "Stalled", "Stopped"]),
  reason: z.string().nullable(),
  history: z.string().nullable(),
  lagBucket: z.enum(["0", "<1Mi", "<16Mi", "<1Gi", ">=1Gi", "unknown"]),
  syncNames: z.array(z.string()),
  ackCount: z.int(),
  /** Generation of the intent that a leader goes by. Agents of earlier versions do not say. */
  intentGeneration: z.int().optional(),
  agentVersion: z.string(),
  /** The agent that runs, and the offered one that it would not run or that gave way to it. Agents of earlier versions do not say. */
  agent: z
    .object({
      hash: BundleHash,
      nodeMajor: z.int(),
      refused: z.object({ hash: BundleHash, reason: z.string() }).optional(),
    })
    .optional(),
  engineVersion: z.string().nullable(),
  leaderSince: z.string().nullable(),
  switchover: Answer.nullable(),
  restart: Answer.nullable(),
  rebuild: Answer.nullable(),
  /** Refused is the hook's own no. Agents of earlier versions know no hooks. */
  hook: Answer.nullable().default(null),
  defragment: Answer.nullable().optional(),
  task: Answer.nullable().optional(),
  /** The leader of a shard alone: what its data says of its slots. */
  shard: EngineShard.optional(),
  /** Why the leader of a shard could not do what it was asked about slots; it goes on trying. */
  slotsHeldUp: z.string().optional(),
  /** Topologies Consensus and ActiveActive only. */
  group: GroupReport.optional(),
  /** What the engine said of a parameter that it would not take while running; it goes on with those it had. */
  parametersRefused: z.string().optional(),
  /** What the member identifies itself and others by, once agent and engine both do. Agents of earlier versions do not say. */
  certificate: Identification.optional(),
  /** The member sees no Lease of the cluster, which the operator alone makes. Agents of earlier versions do not say. */
  leaseGone: z.boolean().optional(),
  /** Why the member could not make the accounts that the intent asks for; it goes on trying. */
  accountsMissing: z.string().optional(),
  /** Nothing more can be written to the member's volume. Agents of earlier versions do not say. */
  volumeFull: z.boolean().optional(),
});
export type MemberReport = z.infer<typeof MemberReport>;

/** The synchronous set as the Lease's annotation carries it: `ack` of `names` must confirm a write. */
export const SyncSet = z.object({ names: z.array(z.string()), ack: z.int().min(0) });
export type SyncSet = z.infer<typeof SyncSet>;
