// Where sequences of specs begin, and which fields go another way than there and back.

/** A cluster whose rolls wait for nothing. */
export const BASE = {
  resources: { requests: { memory: "1Gi" } },
  update: { minReadySeconds: 0 },
  slo: { whenExhausted: "Ignore" },
};

/** A cluster of topology Stateless. */
export const FLEET_BASE = {
  engine: { name: "tiny", version: "1" },
  topology: "Stateless",
  update: { minReadySeconds: 0 },
};

/** Fields that cannot be set back, by the beginning of their names. */
export const ONE_WAY = ["engine.name", "topology", "storage.data."];

/**
 * Fields that only other topologies than ActivePassive have, or other engines; `shard` is written by the operator alone, and the engine
 * of these tests takes no rules for accounts.
 */
export const OTHER_TOPOLOGIES = ["sharding.", "shard.", "autoscaling.", "serving.", "accounts[].rules"];

/** Fields that replace pods, which takes seconds. */
export const ROLLING = [
  "engine.",
  "resources.",
  "parameters",
  "pods.",
  "members",
  "stopped",
  "paused",
  "failover.profile",
];
