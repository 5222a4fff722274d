// What the API server must refuse of topology Sharded, each with its exact words.
import { actions, creation, type Creation, minimalCluster, minimalEngine, update, type Update } from "./crd-cases.ts";

const place = { of: "orders", shards: ["orders-s0"] };
const request = { action: "Move", slots: "0-9", to: "orders-s1", askedAt: "2030-01-01T00:00:00Z" };

/** What must not come into being, in the order in which the fields stand in the manual. */
export const shardingCreations: readonly Creation[] = [
  creation(
    "shards of what is not sharded",
    minimalCluster({ sharding: { shards: 5 } }),
    "spec.sharding: sharding is for topology Sharded alone: set topology, or remove sharding",
  ),
  creation(
    "a place among shards for what is no shard",
    minimalCluster({ topology: "Sharded", shard: place }),
    "spec.shard: shard is written by the operator, on ClusterSpecs of topology ActivePassive: remove shard",
  ),
  ...[
    { why: "slots that move nowhere", asked: { ...request, to: undefined } },
    { why: "slots that are assigned and move", asked: { ...request, action: "Assign" } },
  ].map(({ why, asked }) =>
    creation(
      why,
      minimalCluster({ shard: { ...place, request: asked } }),
      "spec.shard.request.to: to belongs to action Move: add to, or remove it",
    ),
  ),
  ...["readWrite", "readOnly"].map((name) =>
    creation(
      `services.${name} of many leaders`,
      minimalCluster({ topology: "Sharded", services: { [name]: { type: "NodePort" } } }),
      `spec.services.${name}: services.${name} does not apply in topology Sharded, where clients go to the shard that owns a key: set up services.read, which reaches every ready member`,
    ),
  ),
  creation(
    "a name to which no shard's number can be added",
    minimalCluster({ topology: "Sharded" }, "a".repeat(37)),
    "metadata.name: metadata.name must have at most 36 characters in topology Sharded: names of shards are made from it",
  ),
  ...[
    { why: "two topologies that do not belong together", topologies: ["ActivePassive", "Consensus"] },
    { why: "an engine that can only be sharded", topologies: ["Sharded"], slots: 16 },
  ].map(({ why, ...spec }) =>
    creation(
      why,
      minimalEngine(spec),
      "spec.topologies: topologies must be one, or ActivePassive together with Sharded, whose shards are clusters of topology ActivePassive: add or remove one",
    ),
  ),
  ...[{ topologies: ["ActivePassive", "Sharded"] }, { slots: 16 }].map((spec) =>
    creation(
      spec.slots === undefined ? "a sharded engine without slots" : "slots of an engine that is not sharded",
      minimalEngine(spec),
      "spec.slots: slots are for topology Sharded, which needs them: add slots, or remove them",
    ),
  ),
  creation(
    "an engine for Sharded that cannot moveSlots",
    minimalEngine({
      topologies: ["ActivePassive", "Sharded"],
      slots: 16,
      actions: { ...actions, moveSlots: undefined },
    }),
    "spec.actions: topology Sharded needs the actions assignSlots, moveSlots: declare those that are missing",
  ),
];

/** What must not be changed. */
export const shardingUpdates: readonly Update[] = [
  update("a cluster that becomes a shard", minimalCluster({}, "loner"), {
    spec: { shard: place },
    cause:
      "spec.shard: shard cannot be added, removed or given to another ClusterSpec: change that ClusterSpec instead",
  }),
  ...[
    { why: "shards that begin to speak TLS", name: "plain", before: { shards: 2 }, tls: true },
    { why: "shards that end speaking TLS", name: "encrypted", before: { shards: 2, tls: true }, tls: false },
  ].map(({ why, name, before, tls }) =>
    update(why, minimalCluster({ topology: "Sharded", sharding: before }, name), {
      spec: { sharding: { tls } },
      cause:
        "spec.sharding: sharding.tls cannot be changed: servers that speak TLS and servers that do not cannot talk. Create another ClusterSpec, and move the data there",
    }),
  ),
];
