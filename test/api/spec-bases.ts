// Where sequences of specs begin, and which fields go another way than there and back.
import { minimalEngine, type NamedObject } from "./crd-cases.ts";

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

/** An Engine of topologies ActivePassive and Sharded that takes rules for accounts; more shards than `slots` have nothing to own. */
export function partedEngine(name: string, slots: number, speaksTls = true): NamedObject {
  const uri = "tiny://$(username):$(password)@$(host)";
  const connection = { type: "tiny", uri, ...(speaksTls ? { tlsUri: "tinys://$(host)" } : {}) };
  return minimalEngine(
    {
      ...{ topologies: ["ActivePassive", "Sharded"], slots, memberPort: 4321 },
      ...(speaksTls ? { clientTls: true, tlsPort: 4322 } : {}),
      versions: [{ version: "15", image: "tiny:15" }],
      accounts: [{ name: "admin" }, { name: "app", connection }],
      ...{ applicationConnection: connection, accountRule: "(read|write) /[a-z]+" },
      durabilityModes: ["Async", "Quorum", "All"],
      parameters: { reloadable: ["work_mem"] },
    },
    name,
  );
}

/** A cluster of topology Sharded whose rolls wait for nothing, and whose shards leave no volumes. */
export const SHARDED_BASE = {
  ...BASE,
  engine: { name: "parted" },
  topology: "Sharded",
  deletionProtection: false,
  volumeRetention: { whenDeleted: "Retain", whenScaled: "Delete" },
};

/** Fields that cannot be set back, by the beginning of their names; `shard` is written by the operator alone. */
export const ONE_WAY = ["engine.name", "topology", "storage.data.", "sharding.tls", "shard.", "restore."];

/** Fields that only other topologies than ActivePassive have, or engines that take rules for accounts. */
export const OTHER_TOPOLOGIES = ["sharding.", "autoscaling.", "serving.", "accounts[].rules"];

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
  "backup.",
];
