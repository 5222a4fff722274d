/** Data parted by key over many shards, each of which is a cluster with a leader and followers of its own. */
import * as z from "zod";
import { SlotText } from "./engine-observation.ts";
import { cel, type CelRule, named, timestamp } from "./schema.ts";

/** Shards are told apart by the number at the end of their names. */
export const MAX_SHARDS = 64;

/** `.spec.sharding`. */
export const Sharding = z.object({
  shards: z
    .int32()
    .min(1)
    .max(MAX_SHARDS)
    .default(3)
    .describe(
      "shards that the data is parted into, each with spec.members members. New ones take slots over from all others; those that are to go give all of theirs away first.",
    ),
  batchSlots: z
    .int32()
    .min(1)
    .max(4096)
    .default(64)
    .describe("batchSlots that move at once when shards come or go; a larger batch is quicker and disturbs more."),
  slotsPerSecond: z
    .int32()
    .min(1)
    .max(4096)
    .default(32)
    .describe("slotsPerSecond that move on average at the most, however small the batches are."),
  tls: z
    .boolean()
    .optional()
    .describe(
      "tls true makes members of all shards speak TLS with each other, under one authority, and serve clients that want it at the Engine's tlsPort. It cannot be changed, because servers that do and servers that do not cannot talk: decide when you create the ClusterSpec.",
    ),
});
export type Sharding = z.infer<typeof Sharding>;

/** What holds while `spec.sharding` says nothing. */
export const DEFAULT_SHARDING: Sharding = Sharding.parse({});

const SlotRequest = z
  .object({
    action: z
      .enum(["Assign", "Move"])
      .describe("action on slots: Assign makes the shard own some that nobody owns, Move gives some to another shard."),
    slots: SlotText.describe("slots that are meant, such as 0-99,120."),
    to: named("to which ClusterSpec of a shard they move.").optional(),
    askedAt: timestamp("askedAt is when the operator asked for it."),
  })
  .meta(
    cel([
      {
        rule: "(self.action == 'Move') == has(self.to)",
        message: "to belongs to action Move: add to, or remove it",
        fieldPath: ".to",
      },
    ]),
  );
export type SlotRequest = z.infer<typeof SlotRequest>;

/** `.spec.shard`. */
export const ShardPlace = z.object({
  of: named("of which ClusterSpec of topology Sharded this is a shard."),
  shards: z
    .array(z.string().min(1).max(63))
    .min(1)
    .max(2 * MAX_SHARDS)
    .meta({ "x-kubernetes-list-type": "set" })
    .describe("shards that there are, this one included, by the names of their ClusterSpecs."),
  request: SlotRequest.optional().describe("request about slots to the leader of this shard."),
  tls: z
    .boolean()
    .optional()
    .describe(
      "tls says that members of all shards speak TLS, under the authority of the ClusterSpec that this is a shard of.",
    ),
});
export type ShardPlace = z.infer<typeof ShardPlace>;

function speaksTls(self: string): string {
  return `(has(${self}.sharding) && has(${self}.sharding.tls) && ${self}.sharding.tls)`;
}

/** Rules between the fields of a ClusterSpec that concern topology Sharded. */
export const shardingRules: readonly CelRule[] = [
  {
    rule: "!has(self.sharding) || self.topology == 'Sharded'",
    message: "sharding is for topology Sharded alone: set topology, or remove sharding",
    fieldPath: ".sharding",
  },
  {
    rule: "!has(self.shard) || self.topology == 'ActivePassive'",
    message: "shard is written by the operator, on ClusterSpecs of topology ActivePassive: remove shard",
    fieldPath: ".shard",
  },
  {
    rule: "has(self.shard) == has(oldSelf.shard) && (!has(self.shard) || self.shard.of == oldSelf.shard.of)",
    message: "shard cannot be added, removed or given to another ClusterSpec: change that ClusterSpec instead",
    fieldPath: ".shard",
  },
  {
    rule: `${speaksTls("self")} == ${speaksTls("oldSelf")}`,
    message:
      "sharding.tls cannot be changed: servers that speak TLS and servers that do not cannot talk. Create another ClusterSpec, and move the data there",
    fieldPath: ".sharding",
  },
  ...["readWrite", "readOnly"].map((name) => ({
    rule: `self.topology != 'Sharded' || (self.services.${name}.type == 'ClusterIP' && !has(self.services.${name}.annotations))`,
    message: `services.${name} does not apply in topology Sharded, where clients go to the shard that owns a key: set up services.read, which reaches every ready member`,
    fieldPath: `.services.${name}`,
  })),
];

/** Rules between the fields of an Engine that concern topology Sharded. */
export const shardedEngineRules: readonly CelRule[] = [
  {
    rule: "'Sharded' in self.topologies ? 'ActivePassive' in self.topologies : size(self.topologies) == 1",
    message:
      "topologies must be one, or ActivePassive together with Sharded, whose shards are clusters of topology ActivePassive: add or remove one",
    fieldPath: ".topologies",
  },
  {
    rule: "('Sharded' in self.topologies) == has(self.slots)",
    message: "slots are for topology Sharded, which needs them: add slots, or remove them",
    fieldPath: ".slots",
  },
];
