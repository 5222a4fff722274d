/** The built-in Engine of topology Consensus that starts fast keeps the rules that make most of the contract; the others are tried with slower ones. */
import { describe } from "vitest";
import { ETCD, FIRST_RULES, keepsRules } from "./trial.ts";

describe("etcd keeps the rule", () => {
  keepsRules(ETCD, "Consensus", FIRST_RULES);
});
