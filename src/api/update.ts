/** The `update` block of a ClusterSpec: how a change of the members' pods is carried out. */
import * as z from "zod";
import { Analysis } from "./objectives.ts";
import { listMap, timestamp } from "./schema.ts";

const Canary = z.object({
  members: z
    .int32()
    .min(1)
    .max(4)
    .default(1)
    .describe(
      "members that try a revision first; never the leader, and first those that would be the last to succeed it. Then half, then all.",
    ),
  bakeSeconds: z
    .int32()
    .min(0)
    .max(604_800)
    .default(300)
    .describe("bakeSeconds that the members of a step must stay ready before the next step."),
  promotion: z
    .enum(["Automatic", "Manual"])
    .default("Automatic")
    .describe(
      "promotion to the next step: Automatic, once the members have baked and every gate is open; Manual, when a person promotes as well.",
    ),
  analysis: z
    .array(Analysis)
    .max(16)
    .meta(listMap("name"))
    .default([])
    .describe(
      "analysis of the updated members, each by a measure or a query: all must pass before the next step, and one that fails fails the revision.",
    ),
});

/** How members are brought to another revision. */
export const UpdatePolicy = z.object({
  strategy: z
    .enum(["Rolling", "Canary"])
    .default("Rolling")
    .describe(
      "strategy of a roll: Rolling goes from member to member, Canary in steps, with time to look between them.",
    ),
  maxUnavailable: z
    .int32()
    .min(1)
    .max(2)
    .default(1)
    .describe(
      "maxUnavailable is how many members may be away at once during a roll. A majority stays in any case, and the leader moves alone.",
    ),
  pending: z
    .enum(["OnApproval", "InWindow", "NextRoll"])
    .default("OnApproval")
    .describe(
      "pending says when a template that only quorate's version or the Engine changed reaches the pods: OnApproval, once a person accepts it; InWindow, in the next maintenance window; NextRoll, together with the next change of the spec.",
    ),
  agents: z
    .enum(["WithPods", "InPlace"])
    .default("WithPods")
    .describe(
      "agents says how the agent of another version of quorate reaches members: WithPods, when their pods are replaced; InPlace, one member after the other while it runs. Engines and pods are left alone either way.",
    ),
  minReadySeconds: z
    .int32()
    .min(0)
    .max(3600)
    .default(10)
    .describe("minReadySeconds a replaced member must be ready and in sync before the next one is replaced."),
  partition: z
    .int32()
    .min(0)
    .max(5)
    .default(0)
    .describe(
      "partition is the number of members held back at their revision, the leader among them. Lower it to go on, 0 to finish.",
    ),
  jitterSeconds: z
    .int32()
    .min(0)
    .max(3600)
    .default(0)
    .describe(
      "jitterSeconds is the longest random wait before each step, so that many clusters changed at once do not step together.",
    ),
  switchoverDeadlineSeconds: z
    .int32()
    .min(5)
    .max(3600)
    .default(60)
    .describe("switchoverDeadlineSeconds the leader may take to hand over when the operator asks it to."),
  onSwitchoverFailure: z
    .enum(["Block", "Proceed"])
    .default("Block")
    .describe(
      "onSwitchoverFailure says what a roll does when the leader does not hand over: Block waits and tries again; Proceed replaces its pod, which costs a failover.",
    ),
  progressDeadlineSeconds: z
    .int32()
    .min(10)
    .max(86_400)
    .default(600)
    .describe(
      "progressDeadlineSeconds within which a replaced member must get ready, and an analysis of baked members get data; otherwise the revision fails. Copying data does not count.",
    ),
  onFailure: z
    .enum(["Rollback", "Hold"])
    .default("Rollback")
    .describe(
      "onFailure says what becomes of members at a failed revision: Rollback returns them to the last one that worked, Hold leaves everything as it is.",
    ),
  canary: Canary.prefault({}).describe("canary says how strategy Canary goes on."),
});
export type UpdatePolicy = z.infer<typeof UpdatePolicy>;

/** How far a roll is, for people and dashboards. */
export const RolloutStatus = z.object({
  revision: z.string().max(63).describe("revision that members are brought to: the hash of its template."),
  phase: z
    .enum(["Progressing", "Baking", "Blocked", "RollingBack", "RolledBack", "Held", "Complete"])
    .describe(
      "phase: Progressing, Baking between two steps, Blocked (see status.blocked), RollingBack, RolledBack, Held at a failed revision, or Complete.",
    ),
  step: z.string().max(63).optional().describe("step of a canary, for example 2/3: the members of the step, of all."),
  updated: z.array(z.string().max(63)).max(16).describe("updated members: those at the revision."),
  startedAt: timestamp("startedAt is when the revision was first wanted, or wanted again.").optional(),
  failed: z
    .array(
      z.object({
        revision: z.string().max(63).describe("revision that failed; it is not tried again by itself."),
        reason: z.string().max(1024).describe("reason why it failed."),
      }),
    )
    .max(8)
    .meta(listMap("revision"))
    .optional()
    .describe("failed revisions that are remembered."),
});
export type RolloutStatus = z.infer<typeof RolloutStatus>;
