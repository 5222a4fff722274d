/** Engines that form their group themselves keep every rule of the contract. */
import { describe } from "vitest";
import { checkNames } from "../../src/conformance/conformance.ts";
import { hasMariadb } from "./host-mariadb.ts";
import { hasRabbitmq } from "./host-rabbitmq.ts";
import { ETCD, FIRST_RULES, GALERA, keepsRules, RABBITMQ } from "./trial.ts";

describe("etcd keeps the rule", () => {
  const others = checkNames("Consensus").filter((name) => !FIRST_RULES.includes(name));
  keepsRules(ETCD, "Consensus", others);
});
describe.skipIf(!hasMariadb)("galera keeps the rule", () => {
  keepsRules(GALERA, "ActiveActive");
});
describe.skipIf(!hasRabbitmq)("rabbitmq keeps the rule", () => {
  keepsRules(RABBITMQ, "Consensus");
});
