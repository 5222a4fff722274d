// Reading an agent over HTTP: bounded in time and size.
import { createServer } from "node:http";
import { afterEach, expect, test } from "vitest";
import { HEALTH_PORT } from "../../../src/api/names.ts";
import { startHealthServer } from "../../../src/agent/health-server.ts";
import { agentMetrics } from "../../../src/agent/metrics.ts";
import { listen, type Listener } from "../../../src/listener.ts";
import { toSample } from "../../../src/observe/exposition.ts";
import { readAgentMetrics } from "../../../src/observe/measurer.ts";

const ADDRESS = "127.0.74.12"; // agents' port is fixed; an address of loopback that nobody else uses
const never = new AbortController().signal;
let server: Listener | undefined;

afterEach(() => server?.close());

test("an agent's metrics are read from its health port", async () => {
  const metrics = agentMetrics({ cluster: "orders", namespace: "shop", member: "orders-0", node: "n" });
  metrics.writeSlices.inc({ result: "good" }, 5);
  const source = { ready: () => undefined, metrics: () => metrics.registry.metrics(), status: () => ({}) };
  server = await startHealthServer(source, HEALTH_PORT, ADDRESS);
  expect(toSample(await readAgentMetrics(ADDRESS, never))?.slices).toEqual({ good: 5, bad: 0 });
});

test("an agent that hangs is left after two seconds", async () => {
  server = await listen(
    createServer(() => undefined),
    HEALTH_PORT,
    ADDRESS,
  );
  await expect(readAgentMetrics(ADDRESS, never)).rejects.toThrow("not within 2000 ms");
});

test("nobody there is an error, and so is being told to stop", async () => {
  await expect(readAgentMetrics(ADDRESS, never)).rejects.toThrow("no answer");
  server = await listen(
    createServer(() => undefined),
    HEALTH_PORT,
    ADDRESS,
  );
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 20);
  await expect(readAgentMetrics(ADDRESS, stop.signal)).rejects.toThrow("no answer");
});
