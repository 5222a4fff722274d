/** The built-in Engine of topology Sharded keeps every rule of the contract. */
import { describe } from "vitest";
import { hasRedis } from "./host-redis.ts";
import { keepsRules, REDIS_SHARDS } from "./trial.ts";

describe.skipIf(!hasRedis)("redis as shards keeps the rule", () => {
  keepsRules(REDIS_SHARDS, "Sharded");
});
