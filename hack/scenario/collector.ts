/** A real OpenTelemetry Collector between those who send spans and a test that looks at them. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { claimPorts } from "../../src/conformance/ports.ts";
import { run, until } from "./shell.ts";
import { SpanInbox } from "./span-inbox.ts";

const LAB = join(import.meta.dirname, "../lab/lab");
/** Of the version in hack/lab/env.sh. */
const PROGRAM = join(process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate"), "bin/otelcol-v0.165.0");

/** A collector that runs; what it took arrives in `inbox`. */
export interface Collector {
  /** What the operator is told. */
  readonly url: string;
  readonly inbox: SpanInbox;
  stop(): Promise<void>;
}

/** Starts a collector. @param host - Address that it is reached at. */
export async function startCollector(host = "127.0.0.1"): Promise<Collector> {
  await run([LAB, "build-collector"], { timeoutMs: 900_000 });
  const inbox = await SpanInbox.open();
  const folder = await mkdtemp(join(tmpdir(), "quorate-collector-"));
  const [port = 0] = await claimPorts(1);
  const config = {
    receivers: { otlp: { protocols: { http: { endpoint: `${host}:${port}` } } } },
    exporters: { otlp_http: { endpoint: inbox.url, encoding: "json", compression: "none" } },
    service: {
      telemetry: { metrics: { level: "none" } },
      pipelines: { traces: { receivers: ["otlp"], exporters: ["otlp_http"] } },
    },
  };
  const file = join(folder, "config.yaml");
  await writeFile(file, JSON.stringify(config));
  const child = spawn(PROGRAM, [`--config=${file}`], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = `http://${host}:${port}`;
  await until("the collector", 30_000, async () => ((await fetch(url)).status === 404 ? true : undefined));
  return {
    url,
    inbox,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
      await inbox.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
