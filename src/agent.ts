/**
 * The agent: one per member, child of quorate-init in the engine's container.
 *
 * `agent install FOLDER` copies the folder that holds it, the whole runtime, into a volume (init container); `agent run` is the agent itself;
 * `agent wait SECONDS` waits for a random time up to that and ends (init container of topology Stateless, which has no agent).
 */
import { setTimeout as pause } from "node:timers/promises";
import type { MemberParts } from "./agent/equipment.ts";
import { agentMetrics, usageMetrics } from "./agent/metrics.ts";
import { copyRuntime } from "./agent/install.ts";
import { InitClient } from "./agent/init-client.ts";
import { GroupMember } from "./agent/group/member.ts";
import { Member } from "./agent/member.ts";
import { AGENT_VERSION } from "./agent/version.ts";
import { readEngine, readSettings } from "./agent/settings.ts";
import { readUsage } from "./agent/usage.ts";
import { startHealthServer } from "./agent/health-server.ts";
import { systemClock } from "./clock.ts";
import { KubeClient } from "./kube/client.ts";
import { EventRecorder } from "./kube/events.ts";
import { inClusterConnection, kubeconfigConnection } from "./kube/connection.ts";
import { createLogger, withContext } from "./telemetry/logger.ts";

async function run(): Promise<void> {
  delete process.env["MALLOC_ARENA_MAX"]; // quorate-init meant this process, not the engine's tools
  const settings = readSettings(process.env);
  const {
    QUORATE_NAMESPACE: namespace,
    QUORATE_CLUSTER: cluster,
    QUORATE_MEMBER: member,
    QUORATE_NODE: node,
  } = settings;
  const log = withContext(
    createLogger({ program: "agent", version: AGENT_VERSION, level: settings.QUORATE_LOG_LEVEL }),
    { cluster, namespace, member, node },
  );
  const exit = (code: number): void => process.exit(code);
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "Uncaught exception");
    exit(1);
  });
  const init = InitClient.open();
  const boot = await init.hello();
  const connection =
    process.env["KUBERNETES_SERVICE_HOST"] === undefined
      ? await kubeconfigConnection()
      : await inClusterConnection(process.env);
  const metrics = agentMetrics({ cluster, namespace, member, node });
  const showUsage = usageMetrics(metrics.registry);
  init.on("exited", () => metrics.engineExits.inc());
  const api = new KubeClient(connection);
  const events = new EventRecorder({ api, controller: "quorate.io/agent", instance: settings.QUORATE_POD });
  const engine = await readEngine(settings.QUORATE_ENGINE_DIR);
  const parts: MemberParts = {
    settings,
    engine,
    api,
    init,
    clock: systemClock,
    log,
    metrics,
    events,
    exit,
  };
  const instance = engine.topologies.includes("Consensus") ? new GroupMember(parts) : new Member(parts);
  await startHealthServer(
    {
      ready: () => instance.ready(),
      metrics: async () => {
        showUsage(await readUsage(settings.QUORATE_DATA_DIR));
        return metrics.registry.metrics();
      },
      status: () => instance.status(),
    },
    settings.QUORATE_HEALTH_PORT,
    settings.QUORATE_LISTEN_HOST,
  );
  await instance.start(boot);
}

async function waitUpTo(seconds: number): Promise<void> {
  process.on("SIGTERM", () => process.exit(0)); // the first process of a container ignores what it does not ask for
  await pause(seconds * 1000 * Math.random());
}

const [command, argument] = process.argv.slice(2);
if (command === "install" && argument !== undefined) await copyRuntime(import.meta.dirname, argument);
else if (command === "wait" && Number(argument) >= 0) await waitUpTo(Number(argument));
else if (command === "run") await run();
else {
  process.stderr.write("usage: agent install FOLDER | agent wait SECONDS | agent run\n");
  process.exitCode = 2;
}
