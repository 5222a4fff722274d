// kubectl quorate advise, which asks agents by way of a real API server.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { agentMetrics, usageMetrics } from "../../src/agent/metrics.ts";
import { API_VERSION, HEALTH_PORT, nameOf } from "../../src/api/names.ts";
import { close } from "../prometheus/harness.ts";
import { admin, NAMESPACE, plane, read, runningCluster } from "./operator-world.ts";
import { type PluginResult, runPlugin } from "./plugin.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-advise-"));
});
afterAll(() => rm(folder, { recursive: true }));

function advise(...args: readonly string[]): Promise<PluginResult> {
  return runPlugin(["advise", ...args], plane.kubeconfig, folder);
}

/** The metrics of a member whose volume is nearly full, at an address that the API server may reach: its own loopback it refuses. */
async function startAgentMetrics(): Promise<{ readonly server: Server; readonly host: string }> {
  const addresses = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const host = addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  if (host === undefined) throw new Error("this machine has no address but loopback");
  const agent = agentMetrics({ namespace: NAMESPACE, cluster: "advised", member: "advised-0", node: "n0" });
  const show = usageMetrics(agent.registry);
  agent.isLeader.set(1);
  agent.engineUp.set(1);
  agent.leaseSeconds.observe({ result: "ok" }, 0.02);
  const server = createServer((_, response) => {
    show({
      cpuSeconds: performance.now() / 20_000, // 50 thousandths of a core
      cpuThrottledSeconds: 0,
      cpuCapacityCores: 2,
      memoryBytes: 2 ** 29,
      memoryLimitBytes: undefined,
      volumeSizeBytes: 10 * 2 ** 30,
      volumeFreeBytes: 2 ** 30,
    });
    agent.registry.metrics().then(
      (text) => response.end(text),
      (error: Error) => response.destroy(error),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(HEALTH_PORT, host, resolve);
  });
  return { server, host };
}

test("asks the members by way of the API server, says what to set and what it costs, and changes nothing", async () => {
  await runningCluster("advised");
  const agent = await startAgentMetrics();
  const prices = join(folder, "prices.yaml");
  await writeFile(prices, "{currency: EUR, cpuCoreHour: 0.03, memoryGiBHour: 0.004, storageGiBMonth: {default: 0.1}}");
  try {
    for (const member of ["advised-0", "advised-1", "advised-2"]) {
      const status = { podIP: agent.host, podIPs: [{ ip: agent.host }] };
      const pod = { apiVersion: "v1", kind: "Pod", namespace: NAMESPACE, name: nameOf.pod(member) };
      await admin.mergePatch(pod, { status }, { subresource: "status" });
    }
    const before = await read(API_VERSION, "ClusterSpec", "advised");
    const { code, out, err } = await advise("advised", "--seconds", "2", "--prices", prices);
    expect({ code, err }).toEqual({ code: 2, err: "" });
    expect(out).toMatch(/^advised: seen for [0-9a-z]+ by the members themselves$/m);
    expect(out).toMatch(
      /^\? cpu: the busiest member uses [0-9]+m \(P95\) of 250m requested, but less than a day was seen/m,
    );
    expect(out).toMatch(/^↑ volume: the fullest volume is 90 % full\n {4}set spec.storage.data.size to 15Gi$/m);
    expect(out).toMatch(/^✓ lease: 99 of 100 writes of the Lease take [0-9]+ ms at most/m);
    expect(out).toMatch(/costs [0-9.]+ EUR a month: processor 16.43, memory 9.31, storage 3.00$/m);
    expect(out).toContain(
      `kubectl patch clusterspec -n default advised --type merge --patch '{"spec":{"storage":{"data":{"size":"15Gi"}}}}'`,
    );
    const after = await read(API_VERSION, "ClusterSpec", "advised");
    expect(after.metadata.generation).toBe(before.metadata.generation);
  } finally {
    await close(agent.server);
  }
});

test("of members that cannot be asked ends with 1 and the way to ask somebody else", async () => {
  await runningCluster("unheard");
  const { code, err } = await advise("unheard");
  expect(code).toBe(1);
  expect(err).toMatch(/^no member of unheard says what it uses: .*; name a Prometheus with --prometheus$/m);
});

test("with a price table that is none says what it must have", async () => {
  const prices = join(folder, "no-prices.yaml");
  await writeFile(prices, "cpuCoreHour: cheap");
  const { code, err } = await advise("advised", "--prices", prices);
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("no-prices.yaml: prices: cpuCoreHour") });
});
