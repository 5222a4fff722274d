/** ClusterOperation: something to be done once to a cluster, such as a switchover. */
import { z } from "zod";
import { cel, listSet, named, objectMeta, timestamp } from "./schema.ts";

/** The part of a ClusterOperation that a user writes. It cannot be changed afterwards. */
export const OperationIntent = z
  .object({
    clusterName: named("clusterName is the ClusterSpec in the same namespace that the operation is for."),
    type: z
      .enum(["Switchover", "Restart", "Rebuild", "Promote", "Abort", "Defragment", "Recover"])
      .describe(
        "type of the operation: Switchover moves the leader, Restart restarts engines one after the other, Rebuild clones one member anew, Promote lets a canary go on to its next step, Abort gives up the revision that is being tried, Defragment gives free space inside the data back to the file system, one member after the other, Recover begins a cluster of topology Consensus anew from its most advanced member when the majority is lost for good.",
      ),
    member: named(
      "member concerned: the new leader for Switchover (chosen when absent), the member to restart or defragment (all when absent) or to rebuild.",
    ).optional(),
    role: z
      .enum(["Followers", "Leader"])
      .optional()
      .describe("role of the members to restart: Followers, or the Leader, which hands over before; all when absent."),
    consent: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .describe(
        "consent to a Recover, as the message of a Recover without consent asks for it: it names the copy that the cluster would go on from, and writes that are not in that copy are lost. A Recover without consent changes nothing.",
      ),
    deadlineSeconds: z
      .int32()
      .min(1)
      .max(86400)
      .default(300)
      .describe("deadlineSeconds after which an operation that has not finished is Failed."),
  })
  .meta(
    cel([
      {
        rule: "self == oldSelf",
        message: "spec of a ClusterOperation cannot be changed: create another ClusterOperation",
        reason: "FieldValueForbidden",
      },
      {
        rule: "self.type != 'Rebuild' || has(self.member)",
        message: "member is required for Rebuild: name the member, for example orders-1",
        fieldPath: ".member",
        reason: "FieldValueRequired",
      },
      {
        rule: "!has(self.member) || !(self.type in ['Promote', 'Abort', 'Recover'])",
        message: "member is not for Promote, Abort and Recover, which concern the whole cluster: remove member",
        fieldPath: ".member",
      },
      {
        rule: "!has(self.consent) || self.type == 'Recover'",
        message: "consent is for Recover alone: remove consent",
        fieldPath: ".consent",
      },
      {
        rule: "!has(self.role) || (self.type == 'Restart' && !has(self.member))",
        message: "role is for Restart without member: remove role, or remove member to restart all of that role",
        fieldPath: ".role",
      },
      {
        rule: "!has(self.member) || self.member.startsWith(self.clusterName + '-')",
        message: "member must be a member of clusterName: <clusterName>-<ordinal>, for example orders-1",
        fieldPath: ".member",
      },
    ]),
  )
  .describe("spec of the operation; it cannot be changed afterwards.");
export type OperationIntent = z.infer<typeof OperationIntent>;

/** How far the operation is. */
export const OperationStatus = z
  .object({
    phase: z
      .enum(["Pending", "Running", "Done", "Refused", "Failed"])
      .optional()
      .describe("phase is Done, Refused (a guard said no) or Failed at the end."),
    message: z.string().max(2048).optional().describe("message for people: what happened, or what is waited for."),
    startTime: timestamp("startTime is when the operation began to run.").optional(),
    members: z
      .array(z.string().max(63))
      .max(16)
      .meta(listSet)
      .optional()
      .describe("members that the operation concerns, fixed when it begins."),
    completionTime: timestamp("completionTime is when the operation was Done, Refused or Failed.").optional(),
  })
  .describe("status of the operation, written by the operator.");
export type OperationStatus = z.infer<typeof OperationStatus>;

/** The whole ClusterOperation object. */
export const ClusterOperation = z
  .object({
    apiVersion: z.literal("quorate.io/v1alpha1"),
    kind: z.literal("ClusterOperation"),
    metadata: objectMeta,
    spec: OperationIntent,
    status: OperationStatus.optional(),
  })
  .describe("ClusterOperation is something to be done once to a cluster, such as a switchover.");
export type ClusterOperation = z.infer<typeof ClusterOperation>;
