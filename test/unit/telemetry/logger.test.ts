import { readdir, readFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { RetryableError } from "../../../src/errors.ts";
import { createLogger, SECRET_FIELDS, withContext } from "../../../src/telemetry/logger.ts";
import * as metrics from "../../../src/telemetry/metrics.ts";
import { ClusterRegistry } from "../../../src/telemetry/cluster-registry.ts";

function logged(write: (logger: ReturnType<typeof createLogger>) => void): {
  readonly text: string;
  readonly line: unknown;
} {
  let text = "";
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  write(createLogger({ program: "operator", version: "1", destination }));
  return { text, line: JSON.parse(text) as unknown };
}

test("a line carries its context and a constant message", () => {
  const { line } = logged((logger) =>
    withContext(logger, { cluster: "orders", namespace: "n", epoch: 7 }).info("Took over"),
  );
  expect(line).toMatchObject({
    level: "info",
    program: "operator",
    cluster: "orders",
    namespace: "n",
    epoch: 7,
    message: "Took over",
  });
});

test("no secret is printed, whatever is logged or thrown", () => {
  class ApiException extends Error {
    override readonly message = "HTTP-Code: 500 Body: canary Headers: canary";
    readonly code = 500;
    readonly body = "canary";
    readonly headers = { authorization: "canary" };
  }
  const wrapped = new RetryableError("failed", { reason: "Http500", object: "Secret n/a", cause: new ApiException() });
  const { text, line } = logged((logger) =>
    logger.error(
      {
        error: wrapped,
        password: "canary",
        secret: { data: { a: "canary" } },
        request: { headers: "canary", body: "canary", token: "canary" },
      },
      "Failed",
    ),
  );
  expect(text).not.toContain("canary");
  expect(line).toMatchObject({
    error: { reason: "Http500", object: "Secret n/a", cause: { type: "ApiException", code: 500 } },
  });
  expect(line).not.toHaveProperty("error.stack");
});

test("an error that nobody threw on purpose keeps its stack", () => {
  const { line } = logged((logger) => logger.error({ error: new TypeError("bug") }, "Failed"));
  expect(line).toMatchObject({
    error: { type: "TypeError", stack: expect.stringContaining("logger.test.ts") as string },
  });
});

test("no line names what it is about in a field that is never written", async () => {
  const folder = new URL("../../../src/", import.meta.url);
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts"));
  const found: string[] = [];
  let calls = 0;
  for (const file of files) {
    const text = await readFile(new URL(file, folder), "utf8");
    for (const [call, fields = ""] of text.matchAll(/\blog(?:\.\w+|\[\w+\])\(\s*\{([^}]*)\}/g)) {
      calls++;
      if (fields.split(",").some((field) => SECRET_FIELDS.includes(field.split(":")[0]?.trim() ?? "")))
        found.push(`${file}: ${call}`);
    }
  }
  expect(calls).toBeGreaterThan(20);
  expect(found).toEqual([]);
});

test("every series is there from the start, with base units and no double registration", async () => {
  const registry = new ClusterRegistry();
  const observeCall = metrics.apiCallMetrics(registry);
  const watch = metrics.watchMetrics(registry);
  watch("pods", () => 2500);
  watch("leases", () => 0).reconnecting("Gone");
  metrics.queueMetrics(registry);
  const reconcile = metrics.reconcileMetrics(registry);
  reconcile("cluster")("success", 0.2);
  reconcile("operation");
  metrics.eventMetrics(registry);
  metrics.leadershipMetrics(registry, () => true);
  observeCall({ verb: "get", resource: "pods", code: 0, seconds: 1 });
  const text = await registry.metrics();
  expect(text).toContain('quorate_api_requests_total{verb="get",code="none"} 1');
  expect(text).toContain('quorate_api_requests_total{verb="delete",code="5xx"} 0');
  expect(text).toContain('quorate_watch_last_event_age_seconds{resource="pods"} 2.5');
  expect(text).toContain('quorate_watch_reconnects_total{resource="leases",reason="Gone"} 1');
  expect(text).toContain('quorate_queue_depth{priority="failover"} 0');
  expect(text).toContain('quorate_reconcile_total{controller="operation",result="terminal"} 0');
  expect(text).toContain("quorate_operator_leading 1");
});
