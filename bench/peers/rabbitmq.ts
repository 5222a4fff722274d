/** The peer of RabbitMQ under the operator: brokers under a StatefulSet that find each other by a list, with quorum queues of their own. */
import { until } from "../../hack/scenario/shell.ts";
import type { LeaderPod } from "../../hack/scenario/subject.ts";
import { startQueueClient } from "../counting-clients.ts";
import type { Contender } from "./contender.ts";
import { plainContender } from "./plain-contender.ts";
import { engineDefaults, PASSWORD, PlainSet } from "./plain-set.ts";

const NAME = "rabbit";
const PORT = 5672;
const MEMBERS = 3;
const PROGRAMS = "/usr/lib/rabbitmq/bin";

function environment(domain: string): string {
  return `#!/bin/bash
export HOME=/data RABBITMQ_USE_LONGNAME=true RABBITMQ_NODENAME=rabbit@$HOSTNAME.${domain}
export RABBITMQ_MNESIA_BASE=/data/brokers RABBITMQ_LOGS=- RABBITMQ_LOG_BASE=/tmp RABBITMQ_CONFIG_FILE=/data/rabbitmq.conf
export RABBITMQ_ENABLED_PLUGINS_FILE=/data/enabled_plugins RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2 +sbwt none"
`;
}

function serverScript(domain: string, parameters: readonly string[]): string {
  const nodes = Array.from(
    { length: MEMBERS },
    (_, at) => `cluster_formation.classic_config.nodes.${at + 1} = rabbit@${NAME}-${at}.${domain}`,
  );
  return `${environment(domain)}
rm -f /data/.erlang.cookie
printf %s ${PASSWORD} >/data/.erlang.cookie
chmod 400 /data/.erlang.cookie
echo '[].' >/data/enabled_plugins
cat >/data/rabbitmq.conf <<CONF
cluster_formation.peer_discovery_backend = classic_config
${nodes.join("\n")}
cluster_partition_handling = pause_minority
total_memory_available_override_value = 402653184
loopback_users = none
default_user = app
default_pass = ${PASSWORD}
listeners.tcp.1 = 0.0.0.0:${PORT}
${parameters.join("\n")}
CONF
until getent hosts "$HOSTNAME.${domain}" >/dev/null; do sleep 0.2; done
exec ${PROGRAMS}/rabbitmq-server
`;
}

function statusScript(domain: string): string {
  return `${environment(domain)}
exec ${PROGRAMS}/rabbitmqctl --quiet eval 'length(rabbit_nodes:all_running()).'
`;
}

/** The same timings as ours but one: how soon the brokers' runtime takes a silent node for down is 60 s by default, and 20 s with ours. */
export async function rabbitmqContender(name: string, namespace: string): Promise<Contender> {
  const domain = `${NAME}.${namespace}.svc.cluster.local`;
  const parameters = Object.entries(await engineDefaults("rabbitmq")).map(([key, value]) => `${key} = ${value}`);
  const set = new PlainSet({
    namespace,
    name: NAME,
    image: "localhost/rabbitmq:3.10",
    replicas: MEMBERS,
    port: PORT,
    containers: [
      {
        name: "server",
        command: ["/files/server"],
        resources: { requests: { cpu: "200m", memory: "384Mi" }, limits: { memory: "384Mi" } },
        readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 2 },
      },
    ],
    files: { server: serverScript(domain, parameters), status: statusScript(domain) },
  });
  /** The broker at which the client begins leads the client's queues. */
  const leader = (): Promise<LeaderPod> => until("a broker", 30_000, () => set.pod(`${NAME}-0`));
  return plainContender(name, namespace, {
    set,
    leader,
    wholeness: "all brokers to see each other",
    isWhole: async () => ((await set.execAnywhere("/files/status")).trim() === String(MEMBERS) ? true : undefined),
    formMs: 180_000,
    isEngine: ({ command }) => command.includes("beam.smp"),
    isFirstProcess: ({ command }) => command.includes("rabbitmq-server"),
    startClient: () => startQueueClient(set.pods, PASSWORD),
  });
}
