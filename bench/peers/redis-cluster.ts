/** The peer of Redis in shards: Redis Cluster, whose servers elect the leaders of their shards themselves. */
import { kubectl } from "../../hack/scenario/lab.ts";
import { readOwners } from "../../hack/scenario/shard-client.ts";
import { until } from "../../hack/scenario/shell.ts";
import type { LeaderPod } from "../../hack/scenario/subject.ts";
import { startShardClient } from "../counting-clients.ts";
import type { Contender } from "./contender.ts";
import { plainContender } from "./plain-contender.ts";
import { engineDefaults, PASSWORD, PlainSet } from "./plain-set.ts";

const NAME = "redis";
const PORT = 6379;
const SHARDS = 3;
const MEMBERS = 2;
const PODS = SHARDS * MEMBERS;

/**
 * A pod gets another address when it comes back. The servers that stayed learn it from the newcomer; when all come back at once,
 * nobody knows anybody, so each is told where the others are now, as every chart for Redis Cluster does in some way.
 */
function serverScript(domain: string, parameters: string, nodeTimeoutMs: number): string {
  return `#!/bin/bash
known=''
[ ! -e /data/nodes.conf ] || known=yes
cat >/data/redis.conf <<CONF
port ${PORT}
dir /data
protected-mode no
appendonly yes
save ""
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout ${nodeTimeoutMs}
user default on nopass ~* &* +@all
user app on >${PASSWORD} ~* &* +@all
${parameters}
CONF
meet() {
  until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.2; done
  for round in $(seq 60); do
    for n in $(seq 0 ${PODS - 1}); do
      address=$(getent ahostsv4 "${NAME}-$n.${domain}" | sed -n '1s/ .*//p')
      [ -z "$address" ] || redis-cli cluster meet "$address" ${PORT} >/dev/null
    done
    sleep 1
    [ "$round" -lt 5 ] || ! redis-cli cluster info | grep -q cluster_state:ok || return 0
  done
}
[ -z "$known" ] || meet &
exec redis-server /data/redis.conf
`;
}

/** A line of CLUSTER NODES. */
interface ClusterNode {
  readonly id: string;
  readonly host: string;
  readonly flags: string;
  readonly leader: string;
  readonly isLinked: boolean;
  readonly hasSlots: boolean;
}

function readNodes(text: string): ClusterNode[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [id = "", address = "", flags = "", leader = "", , , , link = "", ...slots] = line.split(" ");
      const [host = ""] = address.split(":");
      return { id, host, flags, leader, isLinked: link === "connected", hasSlots: slots.length > 0 };
    });
}

/** @param nodeTimeoutMs - How long a server may be silent until the others take it for down; 15 s by default. */
export async function redisClusterContender(
  name: string,
  namespace: string,
  nodeTimeoutMs: number,
): Promise<Contender> {
  const domain = `${NAME}.${namespace}.svc.cluster.local`;
  const defaults = Object.entries(await engineDefaults("redis")).map(([key, value]) => `${key} ${value}`);
  const set = new PlainSet({
    namespace,
    name: NAME,
    image: "localhost/redis:7.0",
    replicas: PODS,
    port: PORT,
    containers: [
      {
        name: "server",
        command: ["/files/server"],
        resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "256Mi" } },
        readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 2 },
      },
    ],
    files: { server: serverScript(domain, defaults.join("\n"), nodeTimeoutMs) },
  });
  const podsByHost = async (): Promise<ReadonlyMap<string, LeaderPod>> => {
    const columns = '{range .items[*]}{.status.podIP} {.metadata.name} {.spec.nodeName}{"\\n"}{end}';
    const text = await kubectl("-n", namespace, "get", "pods", "-l", set.pods.selector, "-o", `jsonpath=${columns}`);
    return new Map(
      text
        .trim()
        .split("\n")
        .map((line) => {
          const [host = "", pod = "", node = ""] = line.split(" ");
          return [host, { pod, node, member: pod }];
        }),
    );
  };
  const nodes = (): Promise<string> => set.execAnywhere("redis-cli", "cluster", "nodes");
  /** Who leads the shard of the first slot. */
  const leader = (): Promise<LeaderPod> =>
    until("a leader of the first shard", 60_000, async () => {
      const [owner = ""] = readOwners(await nodes());
      return (await podsByHost()).get(owner.split(":")[0] ?? "");
    });
  /** Three leaders on three nodes, and the follower of each on another node than its leader. */
  const form = async (): Promise<void> => {
    const pods = [...(await podsByHost())].map(([host, pod]) => ({ host, ...pod }));
    const nodeNames = [...new Set(pods.map(({ node }) => node))];
    const ofNode = (at: number) => pods.filter(({ node }) => node === nodeNames[at % nodeNames.length]);
    const leaders = nodeNames.map((_, at) => ofNode(at)[0]);
    const addresses = leaders.map((pod) => `${pod?.host}:${PORT}`);
    await set.execAnywhere(
      "redis-cli",
      "--cluster",
      "create",
      ...addresses,
      "--cluster-replicas",
      "0",
      "--cluster-yes",
    );
    for (const [at, one] of leaders.entries()) {
      const follower = ofNode(at + 1)[1];
      if (one === undefined || follower === undefined) throw new Error("the pods are not spread over three nodes");
      const id = (await set.exec(one.pod, "redis-cli", "cluster", "myid")).trim();
      await set.exec(follower.pod, "redis-cli", "cluster", "meet", one.host, String(PORT));
      await until(`${follower.pod} to follow`, 30_000, async () =>
        (await set.exec(follower.pod, "redis-cli", "cluster", "replicate", id)).includes("OK") ? true : undefined,
      );
    }
  };
  return plainContender(name, namespace, {
    set,
    leader,
    wholeness: "all servers to know each other",
    isWhole: async () => {
      const [pods, state, seen] = [
        await podsByHost(),
        await set.execAnywhere("redis-cli", "cluster", "info"),
        readNodes(await nodes()),
      ];
      const isWhole =
        seen.filter(({ host, flags }) => pods.has(host) && !/fail|noaddr|handshake/.test(flags)).length === PODS;
      const followed = new Set(seen.filter(({ flags }) => flags.includes("slave")).map((node) => node.leader));
      const isLinked = seen.every((node) => node.isLinked);
      return isWhole && isLinked && followed.size === SHARDS && state.includes("cluster_state:ok") ? true : undefined;
    },
    formMs: 120_000,
    form,
    switchover: async () => {
      const [first = ""] = readOwners(await nodes());
      const seen = readNodes(await nodes());
      const owner = seen.find(({ host, hasSlots }) => hasSlots && first.startsWith(`${host}:`));
      const follower = seen.find((node) => node.leader === owner?.id);
      const pod = (await podsByHost()).get(follower?.host ?? "");
      await set.exec(pod?.pod ?? "", "redis-cli", "cluster", "failover");
    },
    isEngine: ({ command }) => command.includes("redis-server"),
    startClient: () => startShardClient(set.pods, PASSWORD),
  });
}
