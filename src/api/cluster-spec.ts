/** ClusterSpec: what a user writes, and what quorate reports back. */
import { z } from "zod";
import { cel, Condition, named, objectMeta, quantity } from "./schema.ts";

const VolumeClaim = z.object({
  size: quantity("size of the volume, for example 10Gi. It can grow, never shrink.").default("10Gi"),
  className: z
    .string()
    .max(253)
    .optional()
    .describe("className of the StorageClass; the cluster's default when absent."),
});

const Resources = z.object({
  requests: z
    .object({
      cpu: quantity("cpu a member is guaranteed, for example 500m.").optional(),
      memory: quantity("memory a member is guaranteed, for example 1Gi.").optional(),
    })
    .prefault({}),
  limits: z
    .object({
      cpu: quantity("cpu a member may use at most; best left out: throttling looks like a failure.").optional(),
      memory: quantity("memory a member may use at most; the agent's own need is added to it.").optional(),
    })
    .prefault({}),
});

/** The part of a ClusterSpec that a user writes (`.spec`). */
export const ClusterIntent = z
  .object({
    engine: z.object({
      name: named("name of the Engine object."),
      version: z.string().max(63).optional().describe("version of the engine; the Engine's first when absent."),
      image: z.string().max(512).optional().describe("image to run instead of the Engine's image for that version."),
    }),
    topology: z
      .enum(["ActivePassive"])
      .default("ActivePassive")
      .describe("topology of the cluster. Only ActivePassive works in this release: one writer, hot standbys."),
    members: z
      .int32()
      .min(1)
      .max(5)
      .default(3)
      .describe(
        "members that hold the data, the leader included. Odd numbers of three or more keep writing when one is lost.",
      ),
    storage: z.object({ data: VolumeClaim.prefault({}) }).prefault({}),
    resources: Resources.optional().describe("resources of each member; the Engine's defaults when absent."),
    durability: z
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
      .prefault({}),
    failover: z
      .object({
        profile: z
          .enum(["Standard", "Fast"])
          .default("Standard")
          .describe(
            "profile of the leader lease. Standard (15 s) tolerates slow API servers; Fast (6 s) replaces an unreachable leader sooner.",
          ),
        maxLag: quantity(
          "maxLag behind the leader, in bytes, up to which a member may be promoted when durability is Async, or be the target of a switchover.",
        ).default("1Mi"),
      })
      .prefault({}),
    parameters: z
      .record(z.string(), z.string().max(1024))
      .default({})
      .describe("parameters of the engine, name to value."),
    volumeRetention: z
      .object({
        whenDeleted: z
          .enum(["Retain", "Delete"])
          .default("Retain")
          .describe("whenDeleted says what becomes of the volumes when the ClusterSpec is deleted."),
        whenScaled: z
          .enum(["Retain", "Delete"])
          .default("Retain")
          .describe("whenScaled says what becomes of a member's volume when the member is scaled in."),
      })
      .prefault({}),
    deletionProtection: z
      .boolean()
      .default(true)
      .describe("deletionProtection refuses to delete volumes while true, whatever volumeRetention says."),
    paused: z
      .boolean()
      .default(false)
      .describe("paused stops every change by the operator and every automatic failover by the agents."),
    pods: z
      .object({
        labels: z.record(z.string(), z.string().max(63)).optional().describe("labels added to every pod."),
        annotations: z.record(z.string(), z.string().max(4096)).optional().describe("annotations added to every pod."),
        nodeSelector: z.record(z.string(), z.string().max(63)).optional().describe("nodeSelector of every pod."),
        tolerations: z
          .array(z.looseObject({ key: z.string().optional() }))
          .max(32)
          .optional()
          .describe("tolerations of every pod."),
        priorityClassName: z.string().max(253).optional().describe("priorityClassName of every pod."),
        antiAffinity: z
          .enum(["Required", "Preferred"])
          .default("Preferred")
          .describe(
            "antiAffinity between members on one node: Required never puts two on a node, Preferred avoids it.",
          ),
        topologyKey: z
          .string()
          .max(316)
          .default("topology.kubernetes.io/zone")
          .describe("topologyKey to spread members over, beside nodes."),
      })
      .prefault({}),
    services: z
      .object({
        annotations: z
          .record(z.string(), z.string().max(4096))
          .optional()
          .describe("annotations added to the client Services, for example for load balancers."),
      })
      .prefault({}),
  })
  .meta(
    cel([
      {
        rule: "self.durability.mode != 'All' || self.members >= 2",
        message: "spec.durability.mode All needs spec.members of at least 2",
      },
    ]),
  );
export type ClusterIntent = z.infer<typeof ClusterIntent>;

const MemberStatus = z.object({
  name: z.string().max(63),
  role: z.enum(["Leader", "Follower", "None"]).describe("role the member's agent last reported."),
  state: z.string().max(63).describe("state the member's agent last reported, for example Running or Cloning."),
  ready: z.boolean().describe("ready is the pod's readiness."),
  node: z.string().max(253).optional(),
  revision: z.string().max(63).optional().describe("revision of the pod's template."),
  lag: z.string().max(16).optional().describe("lag behind the leader in coarse steps; live figures are in metrics."),
  epoch: z.int().optional(),
});

/** A step that cannot be taken now, and what would let it. */
const Blocked = z.object({
  guard: z.string().max(63).describe("guard that holds the step back."),
  object: z.string().max(317).describe("object the guard looked at."),
  message: z.string().max(2048).describe("message for people, with what to do."),
  since: z.string().describe("since when."),
  override: z.string().max(512).optional().describe("override is the exact command or field that lets the step pass."),
});

/** What quorate reports (`.status`); every part can be observed anew, nothing is remembered only here. */
export const ClusterStatus = z.object({
  observedGeneration: z.int().min(0).optional(),
  conditions: z
    .array(Condition)
    .max(16)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
    .optional(),
  members: z
    .array(MemberStatus)
    .max(16)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] })
    .optional(),
  readyMembers: z.int32().optional(),
  readyRatio: z.string().max(16).optional().describe("readyRatio as ready/desired, for the printed columns."),
  desiredMembers: z.int32().optional(),
  leader: z.string().max(63).optional().describe("leader's member name; empty while there is none."),
  epoch: z.int().optional().describe("epoch of the current leadership; grows with every change of leader."),
  change: z
    .string()
    .max(128)
    .optional()
    .describe("change in progress, in a few words; empty when nothing is going on."),
  blocked: z.array(Blocked).max(16).optional().describe("blocked steps, each with guard, reason and override."),
  selector: z.string().max(512).optional().describe("selector of the member pods, for the scale subresource."),
  engineImage: z.string().max(512).optional(),
  templateHash: z
    .string()
    .max(63)
    .optional()
    .describe("templateHash is pinned: a new operator version restarts nothing by itself."),
  initialized: z.boolean().optional().describe("initialized is true once the first leader served."),
});
export type ClusterStatus = z.infer<typeof ClusterStatus>;
export type MemberStatus = z.infer<typeof MemberStatus>;
export type Blocked = z.infer<typeof Blocked>;

/** The whole ClusterSpec object. */
export const ClusterSpec = z.object({
  apiVersion: z.literal("quorate.io/v1alpha1"),
  kind: z.literal("ClusterSpec"),
  metadata: objectMeta,
  spec: ClusterIntent,
  status: ClusterStatus.optional(),
});
export type ClusterSpec = z.infer<typeof ClusterSpec>;
