/** Which checks an Engine is tried by, and what is said where there are none. No server is started. */
import { describe, expect, it } from "vitest";
import type { EngineSpec } from "../../../src/api/engine.ts";
import type { Topology } from "../../../src/api/topology.ts";
import { checkNames, type Trial, tryEngine } from "../../../src/conformance/conformance.ts";
import { shippedSpec } from "../../engine/host-cluster.ts";

async function refusal(spec: EngineSpec, trial: Trial): Promise<string> {
  const software = { spec, user: { uid: 1, gid: 1 }, passwords: {}, programs: {} };
  try {
    await tryEngine(software, trial).next();
  } catch (error) {
    return (error as Error).message;
  }
  return "tried";
}

describe("an Engine that cannot be tried as asked is told what to change", () => {
  it("asked for a topology that it does not have", async () => {
    expect(await refusal(shippedSpec("etcd"), { topology: "ActivePassive" })).toBe(
      "the Engine has no topology ActivePassive: choose from Consensus",
    );
  });

  it("asked for a topology that has no checks, where it has another one", async () => {
    expect(await refusal(shippedSpec("redis"), { topology: "Sharded" })).toBe(
      "no checks exist for topology Sharded, only for ActivePassive, Consensus, ActiveActive: choose ActivePassive",
    );
  });

  it("that has only a topology without checks", async () => {
    const spec: EngineSpec = { ...shippedSpec("etcd"), topologies: ["Stateless"] };
    expect(await refusal(spec, {})).toContain("no checks exist for topology Stateless");
  });

  it("asked for a check of another topology", async () => {
    expect(await refusal(shippedSpec("etcd"), { only: ["majority", "seal"] })).toMatch(
      /^topology Consensus has no check seal: choose from initialize, add, /,
    );
  });

  it("that declares nothing to write by", async () => {
    const { probeWrite: _, ...actions } = shippedSpec("galera").actions;
    expect(await refusal({ ...shippedSpec("galera"), actions }, {})).toBe(
      "declare the action probeWrite: the checks write by it",
    );
  });
});

it.each<Topology>(["ActivePassive", "Consensus", "ActiveActive"])(
  "topology %s has no two checks of one name",
  (topology) => {
    const names = checkNames(topology);
    expect(names.length).toBeGreaterThan(5);
    expect(new Set(names).size).toBe(names.length);
  },
);
