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

it("says what was not tried: keys unless a client looks for them, and what the Engine does not declare", () => {
  const { actions } = shippedSpec("postgres");
  const keys = expect.stringContaining("--client") as string;
  for (const topology of ["ActivePassive", "Sharded"] as const) {
    expect(untried(topology, false, actions)).toContainEqual(keys);
    expect(untried(topology, true, actions)).not.toContainEqual(keys);
  }
  const neither = "backup and restore: the Engine declares neither";
  expect(untried("Consensus", false, {})).toContain(neither);
  expect(untried("Consensus", false, actions)).not.toContain(neither);
  for (const topology of Topology.options) expect(untried(topology, true, actions).length).toBeGreaterThan(1);
});
