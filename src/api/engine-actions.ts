/** What an agent can ask an engine to do, and which of it each topology needs. */
import * as z from "zod";
import type { Topology } from "./topology.ts";
import { cel, type CelRule, named } from "./schema.ts";

/** One word of a command line. */
export const ARGUMENT = z.string().max(4096);

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
    "recover makes the data folder (engine stopped) a group of this member alone, with a vote of its own; in topology ActiveActive one that the group can be begun from. Runs only after a person has consented to lose what other members acknowledged.",
  ),
};

/** Actions of an engine all of whose members write (topology ActiveActive). */
const activeActions = {
  inspect: EngineAction.describe(
    'inspect prints one line of JSON, {"position": …}: where the log of the copy in the data folder ends (engine stopped), also after a crash; null when it holds nothing of its own, because it is new or a transfer into it was cut short.',
  ),
  recover: consensusActions.recover,
};

/** Actions of an engine whose data is parted by key into slots, each of which one shard owns (topology Sharded). */
const shardActions = {
  assignSlots: EngineAction.describe(
    "assignSlots makes the shard own QUORATE_SLOTS (such as 0-99,120), which no shard owns. Runs on the shard's leader; succeeds when it owns them already. It must refuse them when another of QUORATE_SHARD_PEERS says that they are its shard's, or when nobody of a shard says anything: whoever asks may know less than the data does.",
  ),
  moveSlots: EngineAction.describe(
    "moveSlots moves QUORATE_SLOTS with their data to the shard QUORATE_TARGET, whose leader is at QUORATE_TARGET_HOST and QUORATE_TARGET_PORT, while clients read and write. Runs on the leader of the shard that owns them. Run again after it was cut short, on whichever leader, it goes on; those that the shard does not own any more count as moved.",
  ),
};

/** Actions that agents call in every topology in which there are agents. */
const commonActions = {
  initialize: EngineAction.describe(
    "initialize makes a new, empty data set in an empty data folder (engine stopped). Runs on one member of a new cluster only; in topology Consensus the data set is a group of that member alone, in topology ActiveActive one that a start with QUORATE_FOUND=true begins the group from.",
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
  ...optional(activeActions),
  ...optional(shardActions),
  defragment: EngineAction.optional().describe(
    "defragment gives space inside the data folder back to the file system; the engine may serve nobody meanwhile. Runs on one member at a time.",
  ),
  backup: EngineAction.optional().describe(
    "backup writes a copy of all data, as it was at one moment, to standard output, from the running engine, which goes on serving. Exit code 0 says that the copy is whole. Runs on a follower where one is in sync, else on the leader; what it needs beside the data meanwhile it makes there and takes away, also what an earlier run left that was killed. It must be a program (exec), and needs restore.",
  ),
  restore: EngineAction.optional().describe(
    "restore reads from standard input what backup wrote and makes a data set of it in an empty data folder (engine stopped). Runs in place of initialize, on one member of a new cluster only, and may be killed at any point and run again from the beginning. The data set must not be known by epochs, members or passwords of the cluster that it was taken of: accounts of the Engine have those in QUORATE_CREDENTIALS_DIR. It must be a program (exec), and needs backup.",
  ),
  verify: EngineAction.optional().describe(
    "verify looks for damage in this member's copy while it serves, by itself and, where the engine can, by comparison with other members (QUORATE_LEADER_HOST, QUORATE_MEMBERS), and prints one line of JSON, an EngineVerdict. Runs on one member at a time, when a person asks for it; it may take long, and must hold up no client.",
  ),
  repair: EngineAction.optional().describe(
    "repair mends what verify finds in this member's copy, while it serves, and succeeds when nothing is left. Exit code 3 says: not in place; rebuild the member from another.",
  ),
  makeAccounts: EngineAction.optional().describe(
    "makeAccounts makes the accounts and databases of QUORATE_ACCOUNTS_FILE, `name<TAB>database<TAB>key` and then its rules, each after a TAB, a line, each with the password in the file of that key in QUORATE_CREDENTIALS_DIR, and succeeds only when each can log in. Of those that it made before, the ones that are not in the file can log in no more; nothing is dropped. Runs on the leader (see keepsAccounts), again whenever a password, the list or the leader changes. It must refuse to act on a QUORATE_EPOCH that is older than one in which it ran on the same data.",
  ),
  takePasswords: EngineAction.optional().describe(
    "takePasswords puts the passwords of those accounts of the Engine in force that have no connection, which may have changed in QUORATE_CREDENTIALS_DIR; members have to reach each other meanwhile. A changed file reaches each member in its own time, within two minutes: the action may wait for that. Runs on every member whose engine is up, again after each of its starts and whenever a password or the leader changes; on the leader QUORATE_EPOCH is not 0.",
  ),
  countRequests: EngineAction.optional().describe(
    "countRequests prints one line of JSON, RequestCounts: how many requests of clients the running engine has answered, and how many failed for a reason on its own side, such as no space or no majority, since whenever it began to count, and how long they took, if it measures that; null while it cannot tell clients' requests from others. Runs on every member every ten seconds: it must disturb nobody.",
  ),
  measureSlots: EngineAction.optional().describe(
    "measureSlots prints one line of JSON, a SlotLoad: what the shard holds and was asked for, and which of its slots a short look found busiest. Runs on the shard's leader every ten seconds while clients are served: it must disturb nobody.",
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

/** Actions whose data goes through a pipe, so that no session can have them. */
const PIPED: ReadonlySet<string> = new Set(["backup", "restore"]);

/** One rule of the Engine for every action, because CEL cannot walk the fields of an object. */
export const sessionRules: readonly CelRule[] = Object.keys(EngineActions.shape)
  .filter((action) => !PIPED.has(action))
  .map((action) => {
    const field = `self.actions.${action}`;
    return {
      rule: `!has(${field}) || !has(${field}.session) || self.sessions.exists(session, session.name == ${field}.session)`,
      message: `actions.${action}.session names no entry of sessions: add the session or correct the name`,
      fieldPath: `.actions.${action}`,
    };
  });

/** Rules of the Engine: backup and restore belong together, and their data goes through pipes. */
export const backupRules: readonly CelRule[] = [
  {
    rule: "has(self.actions.backup) == has(self.actions.restore)",
    message: "actions.backup and actions.restore are of use together alone: declare the other one, too, or neither",
    fieldPath: ".actions",
  },
  ...[...PIPED].map((action) => ({
    rule: `!has(self.actions.${action}) || has(self.actions.${action}.exec)`,
    message: `actions.${action} must be a program, because its data goes through a pipe: use exec`,
    fieldPath: `.actions.${action}`,
  })),
];

/** What an engine must be able to do to form a topology. */
const ACTIONS_OF = {
  ActivePassive: Object.keys(leaseActions),
  ActiveActive: Object.keys(activeActions),
  Sharded: Object.keys(shardActions),
  Consensus: Object.keys(consensusActions),
} as const;

/** The actions that an Engine of this topology must declare. */
export function neededActions(topology: Topology): readonly (keyof EngineActions)[] {
  if (topology === "Stateless") return [];
  const sharded = { ...leaseActions, ...shardActions };
  const own = {
    ActivePassive: leaseActions,
    ActiveActive: activeActions,
    Consensus: consensusActions,
    Sharded: sharded,
  }[topology];
  return Object.keys({ ...commonActions, ...own }) as (keyof EngineActions)[];
}

function areDeclared(actions: readonly string[]): string {
  return actions.map((action) => `has(self.actions.${action})`).join(" && ");
}

/** Rules of the Engine: which actions its topologies need. */
export const topologyRules: readonly CelRule[] = [
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
