/** A Prometheus on the host that the lab's operator asks. It scrapes nothing: queries of scenarios compute their own values. */
import { join } from "node:path";
import { startHostServer } from "./host-server.ts";
import { kubectl, LAB_HOST } from "./lab.ts";
import { run } from "./shell.ts";

const PORT = 9099;
const OPERATOR = ["-n", "quorate-system"] as const;
const DEPLOYMENT = "deployment/quorate-operator";

/** Starts it and lets the operator know; resolves once the operator runs again. @returns what undoes both. */
export async function giveOperatorPrometheus(): Promise<() => Promise<void>> {
  await run([join(import.meta.dirname, "../host-prometheus")], { timeoutMs: 300_000 });
  const address = `${LAB_HOST}:${PORT}`;
  const prometheus = await startHostServer({
    program: "/usr/bin/prometheus",
    args: (folder) => [
      ...[`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`],
      ...[`--web.listen-address=${address}`, "--log.level=error"],
    ],
    files: { "prometheus.yml": "{}\n" },
    readyUrl: `http://${address}/-/ready`,
  });
  await setOperator(`QUORATE_PROMETHEUS_URL=http://${address}`);
  return async () => {
    await setOperator("QUORATE_PROMETHEUS_URL-");
    await prometheus.stop();
  };
}

/** Sets or, with a minus at its end, takes away a variable of the operator; resolves once it runs with that. */
export async function setOperator(variable: string): Promise<void> {
  await kubectl(...OPERATOR, "set", "env", DEPLOYMENT, variable);
  await kubectl(...OPERATOR, "rollout", "status", DEPLOYMENT, "--timeout=120s");
}
