/** The agent as it runs: all its parts made and started. */
import { setTimeout as pause } from "node:timers/promises";
import type { MemberParts } from "./equipment.ts";
import type { GroupMember } from "./group/member.ts";
import type { Member } from "./member.ts";
import { agentMetrics, usageMetrics } from "./metrics.ts";
import { InitClient } from "./init-client.ts";
import { isGroup } from "./group/topology.ts";
import { VERSION } from "../version.ts";
import { readEngine, readSettings } from "./settings.ts";
import { noteProof } from "./replacement/launch.ts";
import { readUsage } from "./usage.ts";
import { startHealthServer } from "./health-server.ts";
import { systemClock } from "../clock.ts";
import { KubeClient } from "../kube/client.ts";
import { EventRecorder } from "../kube/events.ts";
import { inClusterConnection } from "../kube/connection.ts";
import { createLogger, withContext } from "../telemetry/logger.ts";

/** How long the port of probes waits for the engine's start, which is the more urgent; a kubelet asks seconds later at the earliest. */
const HEALTH_WITHIN_MS = 1000;

/** Starts the agent; resolves once it is at work. */
export async function runAgent(): Promise<void> {
  delete process.env["GLIBC_TUNABLES"]; // quorate-init meant this process, not the engine's tools
  const settings = readSettings(process.env);
  const {
    QUORATE_NAMESPACE: namespace,
    QUORATE_CLUSTER: cluster,
    QUORATE_MEMBER: member,
    QUORATE_NODE: node,
  } = settings;
  const log = withContext(createLogger({ program: "agent", version: VERSION, level: settings.QUORATE_LOG_LEVEL }), {
    cluster,
    namespace,
    member,
    node,
  });
  const exit = (code: number): void => process.exit(code);
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "Uncaught exception");
    exit(1);
  });
  const init = InitClient.open();
  const boot = await init.hello();
  const connection = await inClusterConnection(process.env);
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
  const instance = await memberOf(parts);
  const atWork = instance.start(boot);
  await Promise.race([atWork, pause(HEALTH_WITHIN_MS)]);
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
  await atWork;
  const isExtended = async (): Promise<boolean> =>
    boot.deadlineNs === null || ((await init.hello()).deadlineNs ?? 0n) > boot.deadlineNs;
  noteProof(settings.QUORATE_RUN_DIR, async () => instance.ready() === undefined && (await isExtended())).catch(
    (error: unknown) => log.error({ err: error }, "It could not be noted that this agent serves"),
  );
}

/** Loads what its kind of member consists of: the other kind would cost every agent memory and a part of its start. */
async function memberOf(parts: MemberParts): Promise<Member | GroupMember> {
  if (isGroup(parts.engine)) return new (await import("./group/member.ts")).GroupMember(parts);
  return new (await import("./member.ts")).Member(parts);
}
