// A real Prometheus on loopback with a data folder of its own, and an exporter whose text the test decides.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { claimPort } from "../../src/conformance/ports.ts";
import type { RuleGroup } from "../../src/slo/rule.ts";

const execute = promisify(execFile);

/** Starts an HTTP server on a free port of loopback. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** Ends a server and its connections. */
export async function close(server: Server): Promise<void> {
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

/** Makes a database of what was scraped in the past. */
async function writeHistory(lines: readonly string[], folder: string): Promise<void> {
  const file = join(folder, "history.txt");
  await writeFile(file, `${lines.join("\n")}\n# EOF\n`);
  await execute("/usr/bin/promtool", ["tsdb", "create-blocks-from", "openmetrics", file, join(folder, "data")]);
}

interface Exporter {
  readonly server: Server;
  scrapes: number;
}

function startExporter(metrics: () => Promise<string>): Exporter {
  const server = createServer((_, response) => {
    metrics().then(
      (text) => {
        exporter.scrapes += 1;
        response.setHeader("content-type", "text/plain; version=0.0.4");
        response.end(text);
      },
      (error: Error) => response.destroy(error),
    );
  });
  const exporter = { server, scrapes: 0 };
  return exporter;
}

/** A Prometheus that scrapes one exporter every second. */
export class HostPrometheus {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #exporter: Exporter;

  private constructor(url: string, child: ChildProcess, folder: string, exporter: Exporter) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
    this.#exporter = exporter;
  }

  /**
   * Starts both. @param metrics - The text that the exporter shows now. @param groups - Rules, evaluated every second.
   * @param history - What was scraped before, as lines of OpenMetrics with their times.
   */
  static async start(
    metrics: () => Promise<string>,
    groups: readonly RuleGroup[] = [],
    history: readonly string[] = [],
  ): Promise<HostPrometheus> {
    const exporter = startExporter(metrics);
    const target = `127.0.0.1:${await listen(exporter.server)}`;
    const folder = await mkdtemp(join(tmpdir(), "quorate-prometheus-"));
    const config = {
      global: { scrape_interval: "1s", scrape_timeout: "1s" },
      rule_files: ["rules.yml"],
      scrape_configs: [{ job_name: "quorate", honor_labels: true, static_configs: [{ targets: [target] }] }],
    };
    await writeFile(join(folder, "prometheus.yml"), JSON.stringify(config)); // JSON is YAML
    const rules = groups.map((group) => ({ ...group, interval: "1s" }));
    await writeFile(join(folder, "rules.yml"), JSON.stringify({ groups: rules }));
    if (history.length > 0) await writeHistory(history, folder);
    const address = `127.0.0.1:${await claimPort()}`;
    const child = spawn(
      "/usr/bin/prometheus",
      [
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        `--web.listen-address=${address}`,
        "--query.timeout=5s",
        "--log.level=error",
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    const started = new HostPrometheus(`http://${address}`, child, folder, exporter);
    await started.#whenReady();
    return started;
  }

  /** Resolves after `count` more scrapes, and a moment for the last to be stored. */
  async scraped(count: number): Promise<void> {
    const until = this.#exporter.scrapes + count;
    while (this.#exporter.scrapes < until) await pause(50);
    await pause(500);
  }

  async #whenReady(): Promise<void> {
    const deadlineMs = performance.now() + 60_000;
    while (performance.now() < deadlineMs) {
      const ok = await fetch(`${this.url}/-/ready`).then(
        (response) => response.ok,
        () => false,
      );
      if (ok) return;
      if (this.#child.exitCode !== null) throw new Error(`prometheus ended with code ${this.#child.exitCode}`);
      await pause(100);
    }
    throw new Error("prometheus did not get ready within a minute");
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await ended;
    await close(this.#exporter.server);
    await rm(this.#folder, { recursive: true, force: true });
  }
}
