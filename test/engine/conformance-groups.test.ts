/** Engines that form their group themselves keep every rule of the contract. */
import { describe } from "vitest";
import { hasMariadb } from "./host-mariadb.ts";
import { hasRabbitmq } from "./host-rabbitmq.ts";
import { ETCD, GALERA, keepsRules, RABBITMQ } from "./trial.ts";

describe("etcd keeps the rule", () => {
  keepsRules(ETCD, "Consensus");
});
describe.skipIf(!hasMariadb)("galera keeps the rule", () => {
  keepsRules(GALERA, "ActiveActive");
});
describe.skipIf(!hasRabbitmq)("rabbitmq keeps the rule", () => {
  keepsRules(RABBITMQ, "Consensus");
});
