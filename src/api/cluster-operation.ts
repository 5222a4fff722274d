/** ClusterOperation: something to be done once to a cluster, such as a switchover. */
import * as z from "zod";
import { cel, listSet, named, objectMeta, timestamp } from "./schema.ts";

/** What a person states and accepts who lets a member lead although acknowledged writes may be lost. */
export const ForcePromotion = z
  .object({
    lostMembers: z
      .array(z.string().min(1).max(63))
      .max(15)
      .meta(listSet)
      .describe(
        "lostMembers are members that cannot run any more, as you have made sure of: their nodes are off or their pods are gone. One that still runs, cut off, goes on writing beside the new leader. Every other member has to answer. What is on their volumes and nowhere else is lost; they are copied anew when they come back.",
      ),
    epoch: z
      .int32()
      .min(1)
      .describe(
        "epoch of the last leader, as `kubectl quorate force-promote` shows it: if anybody has led since, the order is void and loses nothing.",
      ),
    acceptedLoss: z
      .string()
      .min(10)
      .max(512)
      .describe(
        "acceptedLoss says in your words which writes you accept to lose. It stays in the operation and in an Event.",
      ),
    approvedBy: z
      .string()
      .min(1)
      .max(256)
      .describe(
        "approvedBy is who orders this: your user name, as `kubectl auth whoami` shows it. With the admission policies installed, the API server refuses anybody else's.",
      ),
    reason: z
      .string()
      .min(10)
      .max(512)
      .describe("reason for the order, for those who look into it later, such as an incident's number."),
  })
  .describe("forcePromotion is the consent to a ForcePromote: who is lost, what may be lost, who orders it and why.");
export type ForcePromotion = z.infer<typeof ForcePromotion>;

/** The part of a ClusterOperation that a user writes. It cannot be changed afterwards. */
export const OperationIntent = z
  .object({
    clusterName: named("clusterName is the ClusterSpec in the same namespace that the operation is for."),
    type: z
      .enum([
        "Switchover",
        "Restart",
        "Rebuild",
        "Promote",
        "Abort",
        "Defragment",
        "Recover",
        "ForcePromote",
        "Backup",
        "Verify",
        "Repair",
      ])
      .describe(
        "type of the operation: Switchover moves the leader, Restart restarts engines one after the other, Rebuild clones one member anew, Promote lets a canary go on to its next step, Abort gives up the revision that is being tried, Defragment gives free space inside the data back to the file system, one member after the other, Recover begins a cluster of topology Consensus or ActiveActive anew from its most advanced member when the majority is lost for good, ForcePromote lets a member of any other topology lead although acknowledged writes may be lost, when those that have them are gone for good. Backup copies all data to spec.backup, Verify looks for damage in the copies of the members, Repair mends what it can of that; these three hold up no other operation and no update.",
      ),
    member: named(
      "member concerned: the new leader for Switchover (chosen when absent), the member to restart, defragment, verify or repair (all when absent), to rebuild, to promote by force, or to make the Backup (a follower in sync when absent).",
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
    forcePromotion: ForcePromotion.optional(),
    deadlineSeconds: z
      .int32()
      .min(1)
      .max(86400)
      .optional()
      .describe(
        "deadlineSeconds after which an operation that has not finished is Failed. When absent 300; 86400 for Backup, Verify and Repair, which take the longer the more data there is.",
      ),
  })
  .meta(
    cel([
      {
        rule: "self == oldSelf",
        message: "spec of a ClusterOperation cannot be changed: create another ClusterOperation",
        reason: "FieldValueForbidden",
      },
      {
        rule: "!(self.type in ['Rebuild', 'ForcePromote']) || has(self.member)",
        message: "member is required for Rebuild and ForcePromote: name the member, for example orders-1",
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
        rule: "self.type != 'ForcePromote' || has(self.forcePromotion)",
        message:
          "forcePromotion is required for ForcePromote: say who is lost, what you accept to lose, who you are and why; `kubectl quorate force-promote` helps",
        fieldPath: ".forcePromotion",
        reason: "FieldValueRequired",
      },
      {
        rule: "!has(self.forcePromotion) || self.type == 'ForcePromote'",
        message: "forcePromotion is for ForcePromote alone: remove forcePromotion",
        fieldPath: ".forcePromotion",
      },
      {
        rule: "!has(self.forcePromotion) || !has(self.member) || !(self.member in self.forcePromotion.lostMembers)",
        message: "lostMembers must not hold member, which is to lead: remove it from lostMembers",
        fieldPath: ".forcePromotion.lostMembers",
      },
      {
        rule: "!has(self.forcePromotion) || self.forcePromotion.lostMembers.all(m, m.startsWith(self.clusterName + '-'))",
        message: "lostMembers must be members of clusterName: <clusterName>-<ordinal>, for example orders-0",
        fieldPath: ".forcePromotion.lostMembers",
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

/** Types of operations that members carry out while they serve, beside whatever else is done to the cluster. */
export type TaskType = Extract<OperationIntent["type"], "Backup" | "Verify" | "Repair">;

const TASK_TYPES: ReadonlySet<OperationIntent["type"]> = new Set<TaskType>(["Backup", "Verify", "Repair"]);

/** Whether an operation disturbs nobody, and so waits for nothing. */
export function isTask(type: OperationIntent["type"]): type is TaskType {
  return TASK_TYPES.has(type);
}

/** When an operation that has not finished is Failed, in seconds from its start. */
export function deadlineSeconds({
  type,
  deadlineSeconds: own,
}: Pick<OperationIntent, "type" | "deadlineSeconds">): number {
  return own ?? (isTask(type) ? 86_400 : 300);
}

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
    path: z
      .string()
      .max(256)
      .optional()
      .describe("path of the finished Backup, for spec.restore.path of a new ClusterSpec."),
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
