/**
 * The Engine contract: how one kind of software forms a cluster, as data.
 * Nothing under src/ knows an engine by name; whatever an engine can do is declared here.
 */
import { z } from "zod";
import { Connection, EngineAccount } from "./engine-account.ts";
import { shardedEngineRules } from "./sharding.ts";
import { EngineProbes, statelessEngineRules } from "./stateless.ts";
import { Topology } from "./topology.ts";
import { cel, type CelRule, listMap, listSet, named, objectMeta, parameterMap, quantity } from "./schema.ts";

const ARGUMENT = z.string().max(4096);

/** One thing the agent can ask an engine to do: a program run to its end, or a statement sent to a session. */
export const EngineAction = z
  .object({
    exec: z
      .array(ARGUMENT)
      .min(1)
      .max(64)
      .optional()
      .describe(
        "exec is an argv array run in the engine's container; never passed through a shell by quorate. Context comes in QUORATE_* environment variables.",
      ),
    session: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe("session names the entry of sessions that the statement is sent to."),
    statement: z
      .string()
      .max(16384)
      .optional()
      .describe(
        "statement is sent to the session. $(QUORATE_NAME) is replaced by the value of that context variable, which only ever holds letters, digits and . _ : , / - characters.",
      ),
    impossibleText: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .describe(
        "impossibleText is text in a statement's errors that means what exit code 3 of a program means. Without it a statement can only fail and be tried again.",
      ),
    timeoutSeconds: z
      .int()
      .min(1)
      .max(86400)
      .default(10)
      .describe("timeoutSeconds is how long the action may take before it is killed and counted as failed."),
  })
  .meta(
    cel([
      {
        rule: "has(self.exec) ? !has(self.session) && !has(self.statement) : has(self.session) && has(self.statement)",
        message: "an action needs either exec, or session together with statement: remove one or add the other",
      },
    ]),
  );
export type EngineAction = z.infer<typeof EngineAction>;

/** A long-lived client process of the engine: statements go to its standard input, answers end with the marker. */
export const EngineSession = z.object({
  name: named("name of the session, referred to by actions."),
  command: z
    .array(ARGUMENT)
    .min(1)
    .max(64)
    .describe("command starts the client process, for example an interactive SQL client in quiet, unaligned mode."),
  markerStatement: z
    .string()
    .max(1024)
    .describe(
      "markerStatement is sent after each statement and makes the client print $(MARKER) on a line of its own on standard output and on standard error.",
    ),
});
export type EngineSession = z.infer<typeof EngineSession>;

/** What is true of every hook of an update. */
const HOOK =
  "It sees QUORATE_UPDATE_ID, the same in every run for one update, QUORATE_FROM_VERSION, QUORATE_TO_VERSION, QUORATE_FROM_REVISION, QUORATE_TO_REVISION and QUORATE_EPOCH. It may run again after it succeeded, and beside a run whose agent died: hold a lock. Any other exit code is a failure and is tried again.";

type Optional<T extends Record<string, typeof EngineAction>> = {
  [K in keyof T]: z.ZodOptional<typeof EngineAction>;
};

/** The same actions, none of which is needed. */
function optional<T extends Record<string, typeof EngineAction>>(actions: T): Optional<T> {
  const entries = Object.entries(actions).map(([name, action]) => [
    name,
    action.optional().describe(action.description ?? ""),
  ]);
  return Object.fromEntries(entries) as Optional<T>;
}

/** Actions of an engine whose leader the members elect through the Lease (topology ActivePassive). */
const leaseActions = {
  configure: EngineAction.describe(
    "configure runs before every start (engine stopped): writes the configuration so that the engine starts as a follower of QUORATE_LEADER_HOST, or of nobody when that is empty. The engine must never come up writable by itself. Exit code 3 says: the data cannot be used any more, clone instead.",
  ),
  clone: EngineAction.describe(
    "clone replaces the data folder by a copy of QUORATE_LEADER_HOST's (engine stopped). Must be restartable after being killed at any point.",
  ),
  rejoin: EngineAction.describe(
    "rejoin makes a data folder whose history may have diverged able to follow QUORATE_LEADER_HOST (engine stopped), for example by rewinding. Exit code 3 says: impossible, clone instead.",
  ),
  seal: EngineAction.describe(
    "seal stops receiving from any leader and returns only when nothing more can arrive (engine running as follower).",
  ),
  follow: EngineAction.describe(
    "follow makes the running follower receive from QUORATE_LEADER_HOST, whose position has QUORATE_LEADER_HISTORY and QUORATE_LEADER_ANCESTORS (history:value, comma-separated, oldest first). It must refuse before it connects when its own log has a tail that the leader's lacks. Exit code 3 says: such a tail exists, rejoin first.",
  ),
  promote: EngineAction.describe("promote makes the running follower writable and returns when it is."),
  setSyncSet: EngineAction.describe(
    "setSyncSet makes commits wait for QUORATE_SYNC_ACK of the members in QUORATE_SYNC_NAMES (comma-separated; empty: nobody) and returns when it is effective.",
  ),
  checkpoint: EngineAction.describe(
    "checkpoint flushes what makes a later stop slow; called on the leader before a planned hand-over.",
  ),
};

/** Actions of an engine that elects its leader and keeps its list of members itself (topology Consensus). */
const consensusActions = {
  addMember: EngineAction.describe(
    "addMember makes the group know the member QUORATE_TARGET, reached at QUORATE_TARGET_HOST, as one that does not vote yet, and prints its identity. Runs on the leader.",
  ),
  promoteMember: EngineAction.describe(
    "promoteMember gives the member with identity QUORATE_TARGET_ID a vote; fails while it is behind. Runs on the leader.",
  ),
  removeMember: EngineAction.describe(
    "removeMember takes the member with identity QUORATE_TARGET_ID out of the group; succeeds when it is out already. Runs on the leader.",
  ),
  handOver: EngineAction.describe(
    "handOver makes the member with identity QUORATE_TARGET_ID the leader and returns when it is. Runs on the leader.",
  ),
  recover: EngineAction.describe(
    "recover makes the data folder (engine stopped) a group of this member alone, with a vote of its own. Runs only after a person has consented to lose what other members acknowledged.",
  ),
};

/** Actions of an engine whose data is parted by key into slots, each of which one shard owns (topology Sharded). */
const shardActions = {
  assignSlots: EngineAction.describe(
    "assignSlots makes the shard own QUORATE_SLOTS (such as 0-99,120), which no shard owns. Runs on the shard's leader; succeeds when it owns them already.",
  ),
  moveSlots: EngineAction.describe(
    "moveSlots moves QUORATE_SLOTS with their data to the shard QUORATE_TARGET, whose leader is at QUORATE_TARGET_HOST and QUORATE_TARGET_PORT, while clients read and write. Runs on the leader of the shard that owns them. Run again after it was cut short, on whichever leader, it goes on; those that the shard does not own any more count as moved.",
  ),
};

/** Actions that agents call in every topology in which there are agents. */
const commonActions = {
  initialize: EngineAction.describe(
    "initialize makes a new, empty data set in an empty data folder (engine stopped). Runs on one member of a new cluster only; in topology Consensus the data set is a group of that member alone.",
  ),
  observe: EngineAction.describe(
    "observe prints one line of JSON, an EngineObservation: what the running engine is and where its log ends.",
  ),
  reload: EngineAction.describe(
    "reload makes the running engine take the parameters in QUORATE_PARAMETERS_FILE that need no restart, and the certificate in QUORATE_PEER_DIR, which may have been renewed. Exit code 3 says: it refuses one of them, and everything is as it was.",
  ),
};

/** Everything the agent may do to an engine; each action must be idempotent. Which are needed depends on the topology. */
export const EngineActions = z.object({
  ...optional(commonActions),
  ...optional(leaseActions),
  ...optional(consensusActions),
  ...optional(shardActions),
  defragment: EngineAction.optional().describe(
    "defragment gives space inside the data folder back to the file system; the engine may serve nobody meanwhile. Runs on one member at a time.",
  ),
  makeAccounts: EngineAction.optional().describe(
    "makeAccounts makes the accounts and databases of QUORATE_ACCOUNTS_FILE, `name<TAB>database<TAB>key` a line, each with the password in the file of that key in QUORATE_CREDENTIALS_DIR, and succeeds only when each can log in. Of those that it made before, the ones that are not in the file can log in no more; nothing is dropped. Runs on the leader, again whenever a password or the list changes.",
  ),
  probeWrite: EngineAction.optional().describe(
    "probeWrite commits something small; the agent measures it for the write-availability objective.",
  ),
  beforeUpdate: EngineAction.optional().describe(
    `beforeUpdate prepares the data for another revision: runs on the leader before the first member changes, and nothing changes until it succeeds. Exit code 3 says: the change cannot be taken back, and nothing was done; once a person consented it runs again with QUORATE_CONSENT=true. ${HOOK}`,
  ),
  afterUpdate: EngineAction.optional().describe(
    `afterUpdate finishes an update: runs on the leader once every member runs the revision and is in sync. Until it succeeds the revision counts as tried, and can still be rolled back. ${HOOK}`,
  ),
  canRollBack: EngineAction.optional().describe(
    `canRollBack is asked on the leader before members leave a revision for the one before. Exit code 3 says: no, the earlier one cannot use the data any more. ${HOOK}`,
  ),
});
export type EngineActions = z.infer<typeof EngineActions>;

/** One rule for every action, because CEL cannot walk the fields of an object. */
const sessionRules: readonly CelRule[] = Object.keys(EngineActions.shape).map((action) => {
  const field = `self.actions.${action}`;
  return {
    rule: `!has(${field}) || !has(${field}.session) || self.sessions.exists(session, session.name == ${field}.session)`,
    message: `actions.${action}.session names no entry of sessions: add the session or correct the name`,
    fieldPath: `.actions.${action}`,
  };
});

/** What an engine must be able to do to form a topology. */
const ACTIONS_OF = {
  ActivePassive: Object.keys(leaseActions),
  Sharded: Object.keys(shardActions),
  Consensus: Object.keys(consensusActions),
} as const;

/** The actions that an Engine of this topology must declare. */
export function neededActions(topology: Topology): readonly (keyof EngineActions)[] {
  if (topology === "Stateless") return [];
  const sharded = { ...leaseActions, ...shardActions };
  const own = { ActivePassive: leaseActions, Consensus: consensusActions, Sharded: sharded }[topology];
  return Object.keys({ ...commonActions, ...own }) as (keyof EngineActions)[];
}

function areDeclared(actions: readonly string[]): string {
  return actions.map((action) => `has(self.actions.${action})`).join(" && ");
}

const topologyRules: readonly CelRule[] = [
  {
    rule: `'Stateless' in self.topologies || (${areDeclared(Object.keys(commonActions))})`,
    message: `actions need ${Object.keys(commonActions).join(", ")} in every topology but Stateless: declare those that are missing`,
    fieldPath: ".actions",
  },
  ...Object.entries(ACTIONS_OF).map(([topology, actions]) => ({
    rule: `!('${topology}' in self.topologies) || (${areDeclared(actions)})`,
    message: `topology ${topology} needs the actions ${actions.join(", ")}: declare those that are missing`,
    fieldPath: ".actions",
  })),
];

const ACCOUNTS_RULE: CelRule = {
  rule: "!has(self.applicationConnection) || (has(self.actions.makeAccounts) && 'ActivePassive' in self.topologies)",
  message:
    "applicationConnection needs the action makeAccounts and topology ActivePassive: declare them, or remove applicationConnection",
  fieldPath: ".applicationConnection",
};

const EngineVersion = z.object({
  version: z.string().min(1).max(63).describe("version as users write it in spec.engine.version."),
  image: z.string().min(1).max(512).describe("image that runs this version."),
  irreversibleFrom: z
    .array(z.string().min(1).max(63))
    .max(32)
    .meta(listSet)
    .default([])
    .describe(
      "irreversibleFrom lists versions that cannot use the data any more once this version led: an update from one of them waits for a person's consent.",
    ),
});

const EngineStop = z.object({
  signal: z
    .enum(["SIGINT", "SIGTERM", "SIGQUIT"])
    .default("SIGTERM")
    .describe("signal that makes the engine close its clients and stop cleanly."),
  graceSeconds: z.int32().min(1).max(3600).default(20).describe("graceSeconds until a stopping engine is killed."),
});

const EngineParameters = z.object({
  defaults: parameterMap(
    "parameters.defaults",
    "defaults of engine parameters; spec.parameters of a ClusterSpec win.",
  ).default({}),
  fixed: z
    .array(z.string().min(1).max(128))
    .max(128)
    .meta(listSet)
    .default([])
    .describe("fixed parameters that quorate sets itself; a ClusterSpec that sets one is blocked with a reason."),
  reloadable: z
    .array(z.string().min(1).max(128))
    .max(512)
    .meta(listSet)
    .default([])
    .describe("reloadable parameters take effect without a restart."),
});

const EngineResources = z.object({
  requests: z
    .object({
      cpu: quantity("cpu a member is guaranteed.").prefault("250m"),
      memory: quantity("memory a member is guaranteed.").prefault("512Mi"),
    })
    .prefault({})
    .describe("requests of a member."),
});

/** What is true of an Engine and can be relied upon by operator and agent. */
export const EngineSpec = z
  .object({
    description: z.string().max(1024).default("").describe("description says in a sentence what this engine is."),
    topologies: z
      .array(Topology)
      .min(1)
      .max(2)
      .meta(listSet)
      .describe(
        "topologies this engine can form: one, or ActivePassive together with Sharded. ActivePassive: one writer, elected by the members' agents. Consensus: the engine elects its leader and keeps its list of members itself. Sharded: many clusters of topology ActivePassive, each of which owns some of the slots that keys are spread over; configure, follow and all other actions see QUORATE_SHARD_PEERS (member=host:port:memberPort, comma-separated; empty elsewhere), the members of all shards. Stateless: members without data, all alike, and no agents.",
      ),
    versions: z
      .array(EngineVersion)
      .min(1)
      .max(32)
      .meta(listMap("version"))
      .describe("versions and the images that run them, each version once; the first is the default."),
    runAs: z
      .object({
        user: z.int32().min(1).describe("user id the engine runs as; never 0."),
        group: z.int32().min(1).describe("group id the engine runs as and that owns its volume."),
      })
      .describe("runAs is the identity of every process in a member."),
    port: z.int32().min(1).max(65535).describe("port clients connect to."),
    memberPort: z
      .int32()
      .min(1)
      .max(65535)
      .optional()
      .describe("memberPort that engines of one cluster reach each other on; port when absent. Open to members only."),
    slots: z
      .int32()
      .min(1)
      .max(65_536)
      .optional()
      .describe("slots that keys are spread over, numbered from 0; needed in topology Sharded."),
    probes: EngineProbes.optional().describe(
      "probes ask a member over HTTP how it is; needed in topology Stateless, where no agent knows.",
    ),
    stop: EngineStop.prefault({}).describe("stop says how the engine is stopped."),
    start: z
      .array(ARGUMENT)
      .min(1)
      .max(64)
      .describe(
        "start is the argv of the engine's main process, in the foreground. In topology ActivePassive it always starts as a follower, and promote makes it writable; in topology Consensus QUORATE_GROUP (name=address, comma-separated; empty while unknown) is the group that a first start joins. In topology Stateless it is run as it stands; $(NAME) is replaced by the variable's value.",
      ),
    accounts: z
      .array(EngineAccount)
      .max(16)
      .meta(listMap("name"))
      .default([])
      .describe("accounts whose passwords quorate generates."),
    applicationConnection: Connection.optional().describe(
      "applicationConnection is how applications connect with the accounts of spec.accounts of a ClusterSpec; it needs the action makeAccounts. Without it a ClusterSpec has no accounts of its own.",
    ),
    files: z
      .record(z.string(), z.string().max(262144))
      .meta({
        maxProperties: 32,
        ...cel([
          {
            rule: "self.all(name, name.matches('^[A-Za-z0-9_][-._A-Za-z0-9]{0,252}$') && name != 'engine.json')",
            message:
              "files has a name that cannot be a file's: use letters, digits, '-', '_' and '.', and not engine.json, which quorate writes",
          },
        ]),
      })
      .default({})
      .describe("files, name to content, mounted read-only and executable in /quorate-engine."),
    sessions: z
      .array(EngineSession)
      .max(4)
      .meta(listMap("name"))
      .default([])
      .describe("sessions that actions can use."),
    actions: EngineActions.prefault({}).describe(
      "actions are everything the agent may do to the engine; each must be idempotent.",
    ),
    parameters: EngineParameters.prefault({}).describe("parameters of the engine's configuration."),
    resources: EngineResources.prefault({}).describe("resources a member gets when the ClusterSpec names none."),
    positionUnit: z
      .enum(["Bytes", "Entries"])
      .default("Bytes")
      .describe("positionUnit is what one step of a position means."),
    fencingProof: z
      .enum(["Deadline", "PodGone"])
      .default("Deadline")
      .describe(
        "fencingProof a promotion needs when durability is Async: the passed fence deadline, or the pod seen gone.",
      ),
    readsAuthority: z
      .enum(["Reload", "Start"])
      .default("Reload")
      .describe(
        "readsAuthority says when the engine reads ca.crt in QUORATE_PEER_DIR: at each reload, or at its start alone. While the authority changes, members of the latter have to be restarted.",
      ),
    clientTls: z
      .boolean()
      .default(false)
      .describe(
        "clientTls says that the engine shows clients the certificate in QUORATE_PEER_DIR; connection Secrets then carry its authority as ca.crt.",
      ),
    durabilityModes: z
      .array(z.enum(["Async", "Quorum", "All"]))
      .min(1)
      .max(3)
      .meta(listSet)
      .default(["Async"])
      .describe("durabilityModes the engine can keep."),
  })
  .meta(
    cel([
      ...sessionRules,
      ...topologyRules,
      ...shardedEngineRules,
      ...statelessEngineRules(Object.keys(EngineActions.shape)),
      ACCOUNTS_RULE,
    ]),
  )
  .describe("spec of the engine.");
export type EngineSpec = z.infer<typeof EngineSpec>;

/** The whole Engine object, cluster-scoped. */
export const Engine = z
  .object({
    apiVersion: z.literal("quorate.io/v1alpha1"),
    kind: z.literal("Engine"),
    metadata: objectMeta,
    spec: EngineSpec,
  })
  .meta(
    cel([
      {
        rule: "size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message:
          "metadata.name must have at most 63 lower-case letters, digits and '-': ClusterSpecs name the engine by it and pods carry it as a label",
        fieldPath: ".metadata.name",
      },
    ]),
  )
  .describe("Engine says, as data, how one kind of software forms a cluster.");
export type Engine = z.infer<typeof Engine>;
