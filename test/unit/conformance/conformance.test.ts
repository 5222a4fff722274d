/** Which checks an Engine is tried by, and what is said where there are none. No server is started. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { EngineSpec } from "../../../src/api/engine.ts";
import { Topology } from "../../../src/api/topology.ts";
import { checkNames, type Trial, tryEngine, untried } from "../../../src/conformance/conformance.ts";
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

  it("of topology Stateless whose port is in use", async () => {
    const server = createServer().listen(0);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const probes = { ready: { path: "/" }, startSeconds: 1 };
    const spec: EngineSpec = { ...shippedSpec("etcd"), port, probes, topologies: ["Stateless"] };
    expect(await refusal(spec, {})).toBe(
      `port ${port} is in use on this machine: end what listens there, or try the Engine in its image`,
    );
    server.close();
  });

  it("asked for a check of another topology", async () => {
    expect(await refusal(shippedSpec("etcd"), { only: ["majority", "seal"] })).toMatch(
      /^topology Consensus has no check seal: choose from initialize, add, /,
    );
  });

  it("asked for the fence where there is no quorate-init", async () => {
    expect(await refusal(shippedSpec("postgres"), { only: ["fence"] })).toBe(
      "fence cannot be tried: give the program quorate-init with --init",
    );
  });

  it("that declares nothing to write by", async () => {
    const { probeWrite: _, ...actions } = shippedSpec("galera").actions;
    expect(await refusal({ ...shippedSpec("galera"), actions }, {})).toBe(
      "declare the action probeWrite: the checks write by it",
    );
  });
});

it.each(Topology.options)("topology %s has no two checks of one name", (topology) => {
  const names = checkNames(topology);
  expect(names.length).toBeGreaterThan(4);
  expect(new Set(names).size).toBe(names.length);
});

it("says what was not tried: what nothing is at hand for, and what the Engine does not declare", () => {
  const { actions } = shippedSpec("postgres");
  const all = { client: "keys", init: "quorate-init" };
  const keys = expect.stringContaining("--client") as string;
  const fence = expect.stringContaining("--init") as string;
  for (const topology of ["ActivePassive", "Sharded"] as const) {
    expect(untried(topology, {}, actions)).toEqual(expect.arrayContaining([keys, fence]));
    for (const told of [keys, fence]) expect(untried(topology, all, actions)).not.toContainEqual(told);
  }
  // Engines that elect for themselves have no fence.
  expect(untried("Consensus", {}, actions)).not.toContainEqual(fence);
  const neither = "backup and restore: the Engine declares neither";
  expect(untried("Consensus", {}, {})).toContain(neither);
  expect(untried("Consensus", {}, actions)).not.toContain(neither);
  for (const topology of Topology.options) expect(untried(topology, all, actions).length).toBeGreaterThan(1);
});
