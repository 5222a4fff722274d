/** A Prometheus on the host that the lab's operator asks. It scrapes nothing: queries of scenarios compute their own values. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kubectl, LAB_HOST } from "./lab.ts";
import { run, until } from "./shell.ts";

const PORT = 9099;
const OPERATOR = ["-n", "quorate-system"] as const;
const DEPLOYMENT = "deployment/quorate-operator";

/** Starts it and lets the operator know; resolves once the operator runs again. @returns what undoes both. */
export async function giveOperatorPrometheus(): Promise<() => Promise<void>> {
  await run([join(import.meta.dirname, "../host-prometheus")], { timeoutMs: 300_000 });
  const folder = await mkdtemp(join(tmpdir(), "quorate-scenario-prometheus-"));
  await writeFile(join(folder, "prometheus.yml"), "{}\n");
  const address = `${LAB_HOST}:${PORT}`;
  const options = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
  const child = spawn("/usr/bin/prometheus", [...options, `--web.listen-address=${address}`], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await until("Prometheus", 60_000, async () => ((await fetch(`http://${address}/-/ready`)).ok ? true : undefined));
  await setOperator(`QUORATE_PROMETHEUS_URL=http://${address}`);
  return async () => {
    await setOperator("QUORATE_PROMETHEUS_URL-");
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
}

/** Sets or, with a minus at its end, takes away a variable of the operator; resolves once it runs with that. */
export async function setOperator(variable: string): Promise<void> {
  await kubectl(...OPERATOR, "set", "env", DEPLOYMENT, variable);
  await kubectl(...OPERATOR, "rollout", "status", DEPLOYMENT, "--timeout=120s");
}
