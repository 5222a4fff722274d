/**
 * The Engine contract: how one kind of software forms a cluster, as data.
 * Nothing under src/ knows an engine by name; whatever an engine can do is declared here.
 */
import * as z from "zod";
import { Connection, EngineAccount } from "./engine-account.ts";
import { ARGUMENT, backupRules, EngineActions, EngineSession, sessionRules, topologyRules } from "./engine-actions.ts";
import { shardedEngineRules } from "./sharding.ts";
import { EngineProbes, statelessEngineRules } from "./stateless.ts";
import { Topology } from "./topology.ts";
import { cel, type CelRule, listMap, listSet, objectMeta, parameterMap, quantity } from "./schema.ts";

const TLS_PORT_RULE: CelRule = {
  rule: "!has(self.tlsPort) || (self.clientTls && self.tlsPort != self.port)",
  message: "tlsPort needs clientTls and a port of its own: set clientTls and another port, or remove tlsPort",
  fieldPath: ".tlsPort",
};

const CLIENT_CERTIFICATES_RULE: CelRule = {
  rule: "!has(self.clientCertificates) || !self.clientCertificates || self.clientTls",
  message: "clientCertificates needs clientTls: set clientTls, or remove clientCertificates",
  fieldPath: ".clientCertificates",
};

const MEMBER_PORTS_RULE: CelRule = {
  rule: "!has(self.memberPorts) || has(self.memberPort)",
  message: "memberPorts needs memberPort, the first of them: set memberPort, or remove memberPorts",
  fieldPath: ".memberPorts",
};

const ACCOUNTS_RULE: CelRule = {
  rule: "!has(self.applicationConnection) || has(self.actions.makeAccounts)",
  message: "applicationConnection needs the action makeAccounts: declare it, or remove applicationConnection",
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
  upgradesFrom: z
    .array(z.string().min(1).max(63))
    .max(32)
    .meta(listSet)
    .optional()
    .describe(
      "upgradesFrom lists the versions that members can be updated from to this one, later versions among them if the way back is open, too. Any when absent. It is there for all versions or for none.",
    ),
});

const UPGRADES_RULE: CelRule = {
  rule: "self.versions.all(one, has(one.upgradesFrom)) || !self.versions.exists(one, has(one.upgradesFrom))",
  message:
    "versions[].upgradesFrom must be there for all versions or for none, since a version without it takes members of any: add it, empty for versions that only new clusters begin with",
  fieldPath: ".versions",
};

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
        "topologies this engine can form: one, or ActivePassive together with Sharded. ActivePassive: one writer, elected by the members' agents. ActiveActive: every member writes, and the engine makes it known to all before it is acknowledged. Consensus: the engine elects its leader and keeps its list of members itself. Sharded: many clusters of topology ActivePassive, each of which owns some of the slots that keys are spread over; configure, follow and all other actions see QUORATE_SHARD_PEERS (member=host:port:memberPort, comma-separated; empty elsewhere), the members of all shards. Stateless: members without data, all alike, and no agents.",
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
    memberPorts: z
      .int32()
      .min(1)
      .max(16)
      .optional()
      .describe(
        "memberPorts is how many ports, from memberPort on, engines of one cluster reach each other on; 1 when absent.",
      ),
    tlsPort: z
      .int32()
      .min(1)
      .max(65535)
      .optional()
      .describe(
        "tlsPort clients connect to with TLS, for an engine that speaks it on a port of its own, beside port. Actions see it as QUORATE_TLS_PORT.",
      ),
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
        "start is the argv of the engine's main process, in the foreground. In topology ActivePassive it always starts as a follower, and promote makes it writable; in topology Consensus QUORATE_GROUP (name=address, comma-separated; empty while unknown) is the group that a first start joins; in topology ActiveActive every start joins it, but for one with QUORATE_FOUND=true, which begins the group from this copy. In topology Stateless it is run as it stands; $(NAME) is replaced by the variable's value.",
      ),
    accounts: z
      .array(EngineAccount)
      .max(16)
      .meta(listMap("name"))
      .default([])
      .describe("accounts whose passwords quorate generates."),
    applicationConnection: Connection.optional().describe(
      "applicationConnection is how applications connect with the accounts of spec.accounts of a ClusterSpec; it needs the action makeAccounts. Without it a ClusterSpec has no accounts of its own. The connection Secret names the account's database where uri does.",
    ),
    accountRule: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .describe(
        "accountRule is a regular expression that each of spec.accounts[].rules of a ClusterSpec must match as a whole. Without it accounts have no rules.",
      ),
    keepsAccounts: z
      .enum(["Data", "Member"])
      .default("Data")
      .describe(
        "keepsAccounts says where the engine has its accounts: in the data that every member copies, where the leader makes them, or at each member of its own; there makeAccounts runs on every member, again after each of its starts.",
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
    clientCertificates: z
      .boolean()
      .optional()
      .describe(
        "clientCertificates says that the engine asks clients that speak TLS for a certificate, and knows an account by its common name. Connection Secrets then carry one as tls.crt and tls.key, of an authority that signs for clients alone; the engine finds that authority as clients-ca.crt in QUORATE_PEER_DIR, beside nobody.crt and nobody.key, a client's certificate that is no account's. It must not trust clients-ca.crt where members meet. When it reads the file, readsAuthority says.",
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
      ...backupRules,
      ...shardedEngineRules,
      TLS_PORT_RULE,
      CLIENT_CERTIFICATES_RULE,
      MEMBER_PORTS_RULE,
      UPGRADES_RULE,
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
