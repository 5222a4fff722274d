/** What the observe action of an Engine prints: where the engine's log ends, who follows, who is in its group. */
import * as z from "zod";

/** A place in an engine's log. Values of different histories are comparable only through `ancestors`. */
export const EnginePosition = z.object({
  history: z.string().max(128),
  value: z.string().regex(/^[0-9]{1,30}$/),
  ancestors: z
    .array(z.object({ history: z.string().max(128), value: z.string().regex(/^[0-9]{1,30}$/) }))
    .max(256)
    .default([]),
  /**
   * A follower that receives from nobody, and whose log ends with a whole entry: others may receive it from this member, and a promotion
   * would begin its history exactly at `value`. Absent in engines that pass on nothing while they are followers.
   */
  sendable: z.boolean().optional(),
});
export type EnginePosition = z.infer<typeof EnginePosition>;

/** A member as a group of topology Consensus or ActiveActive counts it. */
export const EngineGroupMember = z.object({
  id: z.string().min(1).max(64),
  /** Empty for one that is none of the cluster's members. */
  name: z.string().max(63),
  votes: z.boolean(),
  /** Where the others' engines reach it, in the engine's own form. */
  address: z.string().max(512),
});
export type EngineGroupMember = z.infer<typeof EngineGroupMember>;

/** What an engine of topology Consensus or ActiveActive says of its group; known also while there is no majority. */
export const EngineGroup = z.object({
  /** Identity of the asked member. */
  id: z.string().min(1).max(64),
  /**
   * Identity of the leader; empty while the member knows of none. Where every member writes: any identity while the member belongs
   * to the part of the group that may write, else empty.
   */
  leaderId: z.string().max(64),
  /** Grows with every election; where every member writes, with every change of the members, and never goes back. */
  term: z.int().min(0),
  members: z.array(EngineGroupMember).max(64),
});
export type EngineGroup = z.infer<typeof EngineGroup>;

/** Slots as text: `0-99,120`; empty for none. */
export const SlotText = z
  .string()
  .max(16_384)
  .regex(/^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$/, "expected slots such as 0-99,120");

/** What the data of a shard says of its slots (topology Sharded). */
export const EngineShard = z.object({
  slots: SlotText,
  /** Those that are on their way to the shard `movingTo`. They may be among `slots`, and with the other shard already. */
  moving: SlotText,
  movingTo: z.string().max(63),
});
export type EngineShard = z.infer<typeof EngineShard>;

/** The line of JSON that the measureSlots action prints: what a shard holds, and what it was asked for. */
export const SlotLoad = z.object({
  /** Operations since the server's start. */
  operations: z.int().min(0),
  keys: z.int().min(0),
  /** What the data takes in memory, or on disk where it is not kept in memory. */
  bytes: z.int().min(0),
  /** How many operations on keys a short look saw; a look that saw few says little. */
  sampled: z.int().min(0),
  /** The slot that most of those were about. */
  busiest: z.object({ slot: z.int().min(0), operations: z.int().min(1) }).optional(),
});
export type SlotLoad = z.infer<typeof SlotLoad>;

/** How long requests took, as the engine measures it: a cumulative histogram with the same bounds every time. */
export const RequestDurations = z.object({
  /** All their time together, in seconds. */
  seconds: z.number().nonnegative(),
  /** All that were measured. */
  requests: z.int().min(0),
  /** How many took no longer than each bound, a decimal number of seconds: `{"0.001": 5180, "0.01": 5209}`. */
  within: z.record(z.string().regex(/^\d+([.]\d+)?$/), z.int().min(0)),
});
export type RequestDurations = z.infer<typeof RequestDurations>;

/**
 * The line of JSON that the countRequests action prints: requests of clients since the engine began to count. Null while what clients ask
 * cannot be told from the rest, for example on a follower that replays the leader's commands.
 */
export const RequestCounts = z
  .object({
    /** Answered, also with an error that the client brought about. */
    served: z.int().min(0),
    /** Failed for a reason on the engine's side. */
    failed: z.int().min(0),
    took: RequestDurations.optional(),
  })
  .nullable();
export type RequestCounts = z.infer<typeof RequestCounts>;

/** The line of JSON that the inspect action prints: where the log of a stopped copy ends; null when it holds nothing of its own. */
export const EngineCopy = z.object({ position: EnginePosition.nullable() });
export type EngineCopy = z.infer<typeof EngineCopy>;

/** What members that all write cost each other, counted since the engine's start. */
export const EngineContention = z.object({
  /** Transactions of this member's clients that were rolled back because another member had changed the same rows. */
  conflicts: z.int().min(0),
  /** Time in which writes stood still until the slowest member had caught up. */
  pausedSeconds: z.number().nonnegative(),
});
export type EngineContention = z.infer<typeof EngineContention>;

/**
 * The line of JSON that the observe action prints. In topology Consensus `writable` means: this member leads; in topology
 * ActiveActive: it takes writes now.
 */
export const EngineObservation = z.object({
  writable: z.boolean(),
  position: EnginePosition,
  /** Whether the engine is receiving from a leader right now. */
  receiving: z.boolean().default(false),
  /** Followers as the leader sees them; `position` is what they have flushed. */
  followers: z
    .array(
      z.object({
        name: z.string(),
        value: z.string().regex(/^[0-9]{1,30}$/),
        streaming: z.boolean(),
        lagSeconds: z.number().nonnegative().optional(),
      }),
    )
    .max(64)
    .default([]),
  /** The synchronous set in force, as the engine itself reports it. */
  syncSet: z.object({ names: z.array(z.string()).max(64), ack: z.int().min(0) }).default({ names: [], ack: 0 }),
  version: z.string().max(64).default(""),
  /** Seconds since the newest applied change was made on the leader; only followers know. */
  replayLagSeconds: z.number().nonnegative().optional(),
  /** Only, and always, in the topologies Consensus and ActiveActive. */
  group: EngineGroup.optional(),
  /** Only, and always, in a shard of topology Sharded. */
  shard: EngineShard.optional(),
  /** Only in topology ActiveActive. */
  contention: EngineContention.optional(),
});
export type EngineObservation = z.infer<typeof EngineObservation>;

/** The line of JSON that the verify action prints: what it looked at, and what is damaged in the member's copy. */
export const EngineVerdict = z.object({
  /** For people, such as `214 indexes of 3 databases`. */
  checked: z.string().min(1).max(256),
  /** A sentence part for each damage, such as `index orders_pkey lacks 3 rows`; none: nothing was found. */
  damage: z.array(z.string().min(1).max(256)).max(64),
});
export type EngineVerdict = z.infer<typeof EngineVerdict>;
