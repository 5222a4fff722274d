/** What quorate reports of a cluster back to its user. */
import * as z from "zod";
import { Condition, listMap, timestamp } from "./schema.ts";
import { SlotText } from "./engine-observation.ts";
import { RolloutStatus } from "./update.ts";

const MemberStatus = z.object({
  name: z.string().max(63).describe("name of the member, for example orders-0."),
  role: z.enum(["Leader", "Follower", "None"]).describe("role the member's agent last reported."),
  state: z.string().max(63).describe("state the member's agent last reported, for example Running or Cloning."),
  ready: z.boolean().describe("ready is the pod's readiness."),
  node: z.string().max(253).optional().describe("node the member's pod is on."),
  revision: z.string().max(63).optional().describe("revision of the pod's template."),
  lag: z.string().max(16).optional().describe("lag behind the leader in coarse steps; live figures are in metrics."),
  epoch: z.int().min(0).optional().describe("epoch the member follows or leads in."),
});

const TrackStatus = z.object({
  name: z
    .enum(["stable", "canary"])
    .describe("name of the track: stable, or canary, whose members try a revision beside it."),
  revision: z.string().max(63).describe("revision of the members' template."),
  desired: z.int32().min(0).describe("desired number of members, as autoscaling last set it where there is some."),
  ready: z.int32().min(0).describe("ready members."),
  updated: z.int32().min(0).describe("updated members: those that run the revision."),
});

/** What a shard says of itself, in its own ClusterSpec. */
const ShardStatus = z.object({
  slots: SlotText.describe("slots the shard owns, such as 0-5460."),
  moving: SlotText.describe("moving slots: those that are on their way to another shard."),
  movingTo: z.string().max(63).describe("movingTo is the shard that they are on their way to."),
  heldUp: z.string().max(512).optional().describe("heldUp says why slots cannot be assigned or moved."),
});

/** Which files all running members of a shard go by; each field is a fingerprint. */
const ShardCertificate = z.object({
  trusts: z.string().max(128).describe("trusts is the fingerprint of the authorities that they trust."),
  shows: z.string().max(128).describe("shows is the fingerprint of the certificate that they show."),
});

/** One shard as the ClusterSpec of the whole sees it. */
const ShardSummary = z.object({
  name: z.string().max(63).describe("name of the shard's ClusterSpec."),
  ready: z.boolean().describe("ready is the condition Ready of the shard's ClusterSpec."),
  leader: z.string().max(63).optional().describe("leader of the shard."),
  slots: SlotText.describe("slots the shard owns, such as 0-5460."),
});

/** How slots are moving, or last moved. */
const Resharding = z.object({
  batch: SlotText.describe("batch of slots that was last asked to move."),
  at: timestamp("at when that batch was asked for."),
  left: z.int32().min(0).describe("left slots, which have yet to move."),
});

/** A step that cannot be taken now, and what would let it. */
const Blocked = z.object({
  guard: z.string().max(63).describe("guard that holds the step back."),
  object: z.string().max(317).describe("object the guard looked at."),
  message: z.string().max(2048).describe("message for people, with what to do."),
  since: timestamp("since when the step has been held back."),
  nextTry: timestamp("nextTry is when the step is tried again by itself; absent when only a change helps.").optional(),
  override: z.string().max(512).optional().describe("override is the exact command or field that lets the step pass."),
});

/** A guard that the user's annotation lets changes pass. */
const OverriddenGuard = z.object({
  guard: z.string().max(63).describe("guard that would hold changes back."),
  until: timestamp("until when changes pass it."),
});

/** What quorate reports (`.status`); every part can be observed anew, nothing is remembered only here. */
export const ClusterStatus = z
  .object({
    observedGeneration: z
      .int()
      .min(-1)
      .optional()
      .describe("observedGeneration is the generation this status is of; -1 before the operator reported anything."),
    conditions: z
      .array(Condition)
      .max(16)
      .meta(listMap("type"))
      .optional()
      .describe(
        "conditions: Ready, Reconciling, Stalled, Blocked, PendingChange, AgentOutdated, Available, Progressing, Degraded, SLOHealthy, PromotedByForce.",
      ),
    members: z
      .array(MemberStatus)
      .max(16)
      .meta(listMap("name"))
      .optional()
      .describe("members as their agents report them."),
    tracks: z
      .array(TrackStatus)
      .max(2)
      .meta(listMap("name"))
      .optional()
      .describe("tracks of topology Stateless, whose members have no names that last."),
    shard: ShardStatus.optional().describe("shard says what this shard of another ClusterSpec owns."),
    certificate: ShardCertificate.optional().describe(
      "certificate that all running members of this shard go by; absent while they differ, and without spec.shard.tls.",
    ),
    shards: z
      .array(ShardSummary)
      .max(128)
      .meta(listMap("name"))
      .optional()
      .describe("shards of topology Sharded; each has a ClusterSpec of its own that says more."),
    resharding: Resharding.optional().describe("resharding says how slots move, or last moved, between shards."),
    readyMembers: z.int32().min(0).optional().describe("readyMembers is the number of members whose pods are ready."),
    readyRatio: z.string().max(16).optional().describe("readyRatio as ready/desired, for the printed columns."),
    desiredMembers: z
      .int32()
      .min(0)
      .optional()
      .describe("desiredMembers is spec.members as last observed, or the number that autoscaling last set."),
    leader: z.string().max(63).optional().describe("leader's member name; empty while there is none."),
    epoch: z.int().min(0).optional().describe("epoch of the current leadership; grows with every change of leader."),
    change: z
      .string()
      .max(128)
      .optional()
      .describe("change in progress, in a few words; empty when nothing is going on."),
    rollout: RolloutStatus.optional().describe("rollout is the last roll of the members, or the one going on."),
    blocked: z
      .array(Blocked)
      .max(16)
      .meta({ "x-kubernetes-list-type": "atomic" })
      .optional()
      .describe("blocked steps, each with guard, reason and override."),
    overridden: z
      .array(OverriddenGuard)
      .max(16)
      .meta(listMap("guard"))
      .optional()
      .describe("overridden guards: changes pass them because the annotation quorate.io/urgent-until says so."),
    budgetLeft: z
      .string()
      .max(16)
      .optional()
      .describe(
        "budgetLeft of the error budget that is nearest to its end, in coarse steps; live figures are in metrics.",
      ),
    selector: z.string().max(512).optional().describe("selector of the member pods, for the scale subresource."),
    engineImage: z.string().max(512).optional().describe("engineImage is the image the members shall run."),
    templateHash: z
      .string()
      .max(63)
      .optional()
      .describe("templateHash is pinned: a new operator version restarts nothing by itself."),
    initialized: z.boolean().optional().describe("initialized is true once the first leader served."),
  })
  .describe("status is what the operator and the agents observed.");
export type ClusterStatus = z.infer<typeof ClusterStatus>;
export type MemberStatus = z.infer<typeof MemberStatus>;
export type TrackStatus = z.infer<typeof TrackStatus>;
export type ShardStatus = z.infer<typeof ShardStatus>;
export type ShardSummary = z.infer<typeof ShardSummary>;
export type Resharding = z.infer<typeof Resharding>;
export type Blocked = z.infer<typeof Blocked>;
