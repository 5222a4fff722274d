/** The JSON that agents exchange: the protocol's messages in an envelope that says who speaks and where its pod is. */
import * as z from "zod";

const PositionJson = z.object({
  history: z.string().max(128),
  value: z.string().regex(/^[0-9]{1,30}$/),
  ancestors: z
    .array(z.object({ history: z.string().max(128), value: z.string().regex(/^[0-9]{1,30}$/) }))
    .max(256)
    .readonly(),
  sendable: z.boolean().optional(),
});
const Epoch = z.int().min(0);
const Reason = z.string().max(512).nullable();
const Sync = z.object({ epoch: Epoch, version: z.int().min(0) });
const Base = z.object({ sync: Sync, recover: z.boolean() });
const Lineage = z.array(Epoch).max(64).readonly();

/** A protocol message as it arrives; anything else is refused before the protocol sees it. The compiler holds it against `Message`, both ways. */
export const MessageJson = z.discriminatedUnion("type", [
  z.object({ type: z.literal("PreVote"), epoch: Epoch, base: Base, early: z.boolean() }),
  z.object({ type: z.literal("Seal"), epoch: Epoch, base: Base }),
  z.object({ type: z.literal("Promise"), epoch: Epoch }),
  z.object({
    type: z.literal("Activated"),
    epoch: Epoch,
    sync: Sync,
    // Agents of earlier versions do not say these two.
    position: PositionJson.nullable().default(null),
    lineage: Lineage.default([]),
  }),
  z.object({
    type: z.literal("Heartbeat"),
    epoch: Epoch,
    sync: Sync,
    position: PositionJson.nullable(),
    lineage: Lineage,
  }),
  z.object({ type: z.literal("Nominate"), epoch: Epoch }),
  z.object({ type: z.literal("Stopped"), epoch: Epoch }),
]);

/** An answer as it arrives. */
export const ReplyJson = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("PreVoteReply"),
    granted: z.boolean(),
    reason: Reason,
    epoch: Epoch,
    position: PositionJson.nullable(),
  }),
  z.object({
    type: z.literal("SealReply"),
    sealed: z.boolean(),
    reason: Reason,
    epoch: Epoch,
    position: PositionJson.nullable(),
  }),
  z.object({ type: z.literal("PromiseReply"), granted: z.boolean(), epoch: Epoch }),
  z.object({ type: z.literal("ActivatedReply"), epoch: Epoch, sync: Sync }),
  z.object({
    type: z.literal("HeartbeatReply"),
    epoch: Epoch,
    sync: Sync,
    position: PositionJson.nullable(),
    healthy: z.boolean(),
  }),
  z.object({ type: z.literal("NominateReply"), epoch: Epoch }),
  z.object({ type: z.literal("StoppedReply"), epoch: Epoch }),
]);

/** Where a member's pod is; the leader needs it to route reads to followers. */
export const PodInfo = z.object({ pod: z.string(), podUid: z.string(), address: z.string(), node: z.string() });
export type PodInfo = z.infer<typeof PodInfo>;

/** A request to another member. */
export const RequestEnvelope = z.object({
  cluster: z.string(),
  from: z.string(),
  to: z.string(),
  info: PodInfo,
  message: MessageJson,
});
export type RequestEnvelope = z.infer<typeof RequestEnvelope>;

/** Its answer. */
export const ReplyEnvelope = z.object({ from: z.string(), info: PodInfo, reply: ReplyJson });
export type ReplyEnvelope = z.infer<typeof ReplyEnvelope>;
