/** ClusterSpec: what a user writes. */
import * as z from "zod";
import { Accounts } from "./accounts.ts";
import { BackupPolicy, backupSpecRules, RestoreSource } from "./backup.ts";
import { Disruption, PodOptions } from "./pods.ts";
import { ClusterStatus } from "./cluster-status.ts";
import { cel, type CelRule, listMap, named, objectMeta, parameterMap, quantity } from "./schema.ts";
import { MaintenanceWindow, ServiceLevel } from "./objectives.ts";
import { Autoscaling, Serving, statelessRules } from "./stateless.ts";
import { Sharding, shardingRules, ShardPlace } from "./sharding.ts";
import { Topology } from "./topology.ts";
import { ServiceOptions } from "./services.ts";
import { UpdatePolicy } from "./update.ts";

const EngineChoice = z.object({
  name: named("name of the Engine object. It cannot be changed.").meta(
    cel([
      {
        rule: "self == oldSelf",
        message: "engine.name cannot be changed: create another ClusterSpec for the other engine and move the data",
      },
    ]),
  ),
  version: z.string().min(1).max(63).optional().describe("version of the engine; the Engine's first when absent."),
  image: z.string().min(1).max(512).optional().describe("image to run instead of the Engine's image for that version."),
});

const VolumeClaim = z
  .object({
    size: quantity("size of the volume, for example 10Gi. It can grow, never shrink.")
      .meta(
        cel([
          {
            rule: "quantity(string(self)).isGreaterThan(quantity('0'))",
            message: "size must be greater than zero: give the volume a size such as 10Gi",
          },
          {
            rule: "quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
            message:
              "size cannot shrink: keep at least the present size, or create another ClusterSpec and move the data",
          },
        ]),
      )
      .prefault("10Gi"),
    className: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe("className of the StorageClass; the default StorageClass when absent. It cannot be changed."),
  })
  .meta(
    cel([
      {
        rule: "has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)",
        message:
          "className cannot be changed: create another ClusterSpec with the other StorageClass and move the data",
        fieldPath: ".className",
      },
    ]),
  );

/** A limit below what is guaranteed would make every pod invalid. */
function limitRule(resource: "cpu" | "memory"): CelRule {
  const limit = `self.limits.${resource}`;
  const request = `self.requests.${resource}`;
  return {
    rule: `!has(${limit}) || !has(${request}) || quantity(string(${limit})).compareTo(quantity(string(${request}))) >= 0`,
    message: `limits.${resource} must be at least requests.${resource}: raise the limit or lower the request`,
    fieldPath: `.limits.${resource}`,
  };
}

const Resources = z
  .object({
    requests: z
      .object({
        cpu: quantity("cpu a member is guaranteed, for example 500m.").optional(),
        memory: quantity("memory a member is guaranteed, for example 1Gi.").optional(),
      })
      .prefault({})
      .describe("requests are what the node keeps free for a member."),
    limits: z
      .object({
        cpu: quantity("cpu a member may use at most; best left out: throttling looks like a failure.").optional(),
        memory: quantity("memory a member may use at most; the agent's own need is added to it.").optional(),
      })
      .prefault({})
      .describe("limits are what a member may use at most."),
  })
  .meta(cel([limitRule("cpu"), limitRule("memory")]));

const Durability = z
  .object({
    mode: z
      .enum(["Quorum", "All", "Async"])
      .default("Quorum")
      .describe(
        "mode says when a write is acknowledged: Quorum, on the leader and enough others that no failover loses it; All, on every member; Async, on the leader alone (a failover may lose the last writes).",
      ),
    whenDegraded: z
      .enum(["Block", "Async"])
      .default("Block")
      .describe(
        "whenDegraded says what writes do while too few members are left: Block waits, Async goes on without the promise.",
      ),
  })
  .meta(
    cel([
      {
        rule: "self.mode != 'Async' || self.whenDegraded == 'Block'",
        message:
          "durability.whenDegraded Async needs durability.mode Quorum or All: mode Async never waits; remove whenDegraded",
        fieldPath: ".whenDegraded",
      },
    ]),
  );

const Failover = z.object({
  profile: z
    .enum(["Standard", "Fast"])
    .default("Standard")
    .describe(
      "profile of the leader lease. Standard (15 s) tolerates slow API servers; Fast (6 s) replaces an unreachable leader sooner.",
    ),
  maxLag: quantity(
    "maxLag behind the leader, in bytes, up to which a member may be promoted when durability is Async, or be the target of a switchover.",
  ).prefault("1Mi"),
});

const VolumeRetention = z.object({
  whenDeleted: z
    .enum(["Retain", "Delete"])
    .default("Retain")
    .describe(
      "whenDeleted says what becomes of the volumes when the ClusterSpec is deleted. Delete needs deletionProtection: false.",
    ),
  whenScaled: z
    .enum(["Retain", "Delete"])
    .default("Retain")
    .describe(
      "whenScaled says what becomes of a member's volume when the member is scaled in. Delete needs deletionProtection: false.",
    ),
});

const deletionRules: readonly CelRule[] = ["whenDeleted", "whenScaled"].map((field) => ({
  rule: `!self.deletionProtection || self.volumeRetention.${field} == 'Retain'`,
  message: `volumeRetention.${field} Delete needs deletionProtection: false, or set it to Retain`,
  fieldPath: `.volumeRetention.${field}`,
}));

/** The part of a ClusterSpec that a user writes (`.spec`). */
export const ClusterIntent = z
  .object({
    engine: EngineChoice.describe("engine that the members run."),
    topology: Topology.default("ActivePassive")
      .describe(
        "topology of the cluster, one that its Engine can form. ActivePassive: one writer, hot standbys. ActiveActive: every member writes. Consensus: the engine elects its leader by a majority. Sharded: data parted by key over shards, each with one writer and hot standbys. Stateless: members without data, all alike. It cannot be changed.",
      )
      .meta(
        cel([
          {
            rule: "self == oldSelf",
            message: "topology cannot be changed: create another ClusterSpec and move the data",
          },
        ]),
      ),
    members: z
      .int32()
      .min(1)
      .max(1000)
      .default(3)
      .describe(
        "members that hold the data, the leader included, 5 at most; in topology Sharded those of each shard. Odd numbers of three or more keep writing when one is lost. In topology Stateless those that serve; with autoscaling the least of them, always kept warm.",
      ),
    sharding: Sharding.optional().describe(
      "sharding says over how many shards the data is parted in topology Sharded; over three without it.",
    ),
    shard: ShardPlace.optional().describe(
      "shard is written by the operator on the ClusterSpecs that it makes for the shards of another. Change that other one: what is changed here is changed back.",
    ),
    autoscaling: Autoscaling.optional().describe(
      "autoscaling lets the number of members follow the load, in topology Stateless; without it there are spec.members.",
    ),
    serving: Serving.optional().describe("serving says how members come and go in topology Stateless."),
    storage: z
      .object({ data: VolumeClaim.prefault({}).describe("data volume of each member.") })
      .prefault({})
      .describe("storage of each member."),
    resources: Resources.optional().describe("resources of each member; the Engine's defaults when absent."),
    durability: Durability.prefault({}).describe("durability of acknowledged writes."),
    failover: Failover.prefault({}).describe("failover says how soon, and to whom, leadership passes."),
    update: UpdatePolicy.prefault({}).describe("update says how a change reaches the members' pods."),
    accounts: Accounts,
    backup: BackupPolicy.optional().describe(
      "backup says where copies of the data are kept; each is made by a ClusterOperation of type Backup.",
    ),
    restore: RestoreSource.optional().describe(
      "restore names a backup that the new cluster begins with, in place of an empty data set. It can be taken out later, and not added.",
    ),
    parameters: parameterMap(
      "parameters",
      "parameters of the engine, name to value. Those that the Engine fixes cannot be set.",
    ).default({}),
    volumeRetention: VolumeRetention.prefault({}).describe("volumeRetention says when volumes are deleted."),
    deletionProtection: z
      .boolean()
      .default(true)
      .describe(
        "deletionProtection keeps every volume while true: neither deleting the ClusterSpec nor scaling in deletes one.",
      ),
    paused: z
      .boolean()
      .default(false)
      .describe("paused stops every change by the operator and every automatic failover by the agents."),
    stopped: z
      .boolean()
      .default(false)
      .describe(
        "stopped ends all members, followers first and the leader last, and keeps their volumes; false starts them again.",
      ),
    slo: ServiceLevel.optional().describe(
      "slo states service level objectives. Their error budget holds back changes; without slo nothing is measured and nothing held back.",
    ),
    maintenanceWindows: z
      .array(MaintenanceWindow)
      .max(16)
      .meta(listMap("name"))
      .default([])
      .describe(
        "maintenanceWindows in which changes that disturb clients may begin; at any time when there are none. Failover waits for no window.",
      ),
    disruption: Disruption.prefault({}).describe("disruption says what drains and dead nodes may do to members."),
    pods: PodOptions.prefault({}).describe("pods says how the members' pods are placed and labelled."),
    services: ServiceOptions.prefault({}).describe("services says how clients reach the cluster."),
  })
  .meta(
    cel([
      {
        rule: "!(self.topology in ['Consensus', 'ActiveActive']) || (self.durability.mode == 'Quorum' && self.durability.whenDegraded == 'Block')",
        message:
          "durability cannot be chosen in the topologies Consensus and ActiveActive, where a majority always confirms: set mode Quorum and whenDegraded Block, or leave durability out",
        fieldPath: ".durability",
      },
      {
        rule: "self.durability.mode != 'All' || self.members >= 2",
        message: "durability.mode All needs members of at least 2: raise members or choose Quorum",
        fieldPath: ".durability.mode",
      },
      {
        rule: "!self.paused || !self.stopped",
        message:
          "stopped cannot be true while paused is: nothing may change then, stopping included; set paused to false, or leave stopped out",
        fieldPath: ".stopped",
      },
      {
        rule: "self.update.maxUnavailable == 1 || 2 * self.update.maxUnavailable < self.members",
        message: "update.maxUnavailable must leave a majority of members: lower it to 1 or raise members",
        fieldPath: ".update.maxUnavailable",
      },
      {
        rule: "self.update.strategy != 'Canary' || self.update.canary.members < self.members",
        message: "update.canary.members must be fewer than members: lower it, or choose update.strategy Rolling",
        fieldPath: ".update.canary.members",
      },
      {
        rule: "self.update.pending != 'InWindow' || size(self.maintenanceWindows) > 0",
        message: "update.pending InWindow needs maintenanceWindows: add a window, or choose OnApproval or NextRoll",
        fieldPath: ".update.pending",
      },
      {
        rule: "self.update.partition <= self.members",
        message: "update.partition must be at most members: lower it; equal to members it holds back everything",
        fieldPath: ".update.partition",
      },
      ...deletionRules,
      ...statelessRules,
      ...shardingRules,
      ...backupSpecRules,
    ]),
  )
  .describe("spec is what the cluster shall be. Everything but engine has a default that is right for production.");
export type ClusterIntent = z.infer<typeof ClusterIntent>;

/** The whole ClusterSpec object. */
export const ClusterSpec = z
  .object({
    apiVersion: z.literal("quorate.io/v1alpha1"),
    kind: z.literal("ClusterSpec"),
    metadata: objectMeta,
    spec: ClusterIntent,
    // Tools that wait for health take an object without status for one that is as it should be.
    status: ClusterStatus.prefault({ observedGeneration: -1 }),
  })
  .meta(
    cel([
      {
        rule: "size(self.metadata.name) <= 40",
        message: "metadata.name must have at most 40 characters: names of pods, Services and volumes are made from it",
        fieldPath: ".metadata.name",
      },
      {
        rule: "self.spec.topology != 'Sharded' || size(self.metadata.name) <= 36",
        message: "metadata.name must have at most 36 characters in topology Sharded: names of shards are made from it",
        fieldPath: ".metadata.name",
      },
      {
        rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message:
          "metadata.name must start with a letter and hold only lower-case letters, digits and '-': Services are named after it",
        fieldPath: ".metadata.name",
      },
    ]),
  )
  .describe("ClusterSpec is one cluster of an engine: its members, their storage, and what its users were promised.");
export type ClusterSpec = z.infer<typeof ClusterSpec>;
