/** The peer of Redis with followers: Redis Sentinel, one beside each server, reached as its clients reach it. */
import { Resolver } from "node:dns/promises";
import { LAB_HOST } from "../../hack/scenario/lab.ts";
import { type RedisAddress, RedisConnection } from "../../hack/scenario/redis-connection.ts";
import { podAddresses } from "../../hack/scenario/pod-addresses.ts";
import { until } from "../../hack/scenario/shell.ts";
import type { LeaderPod } from "../../hack/scenario/subject.ts";
import { type Route, startRedisClient } from "../counting-clients.ts";
import type { Contender } from "./contender.ts";
import { plainContender } from "./plain-contender.ts";
import { engineDefaults, PASSWORD, PlainSet } from "./plain-set.ts";

const NAME = "redis";
const SERVER_PORT = 6379;
const SENTINEL_PORT = 26_379;
const MEMBERS = 3;
const USERS = `user default on nopass ~* &* +@all\nuser app on >${PASSWORD} ~* &* +@all`;
const LEADER = ["redis-cli", "-p", String(SENTINEL_PORT), "sentinel", "get-master-addr-by-name", "main"] as const;

/** A server follows whom the sentinels name; where none has been named yet, the first pod leads. */
function serverScript(domain: string, parameters: string): string {
  return `#!/bin/bash
own=$HOSTNAME.${domain}
leader=''
for n in 0 1 2 3 4; do
  said=$(timeout 1 redis-cli -h "${NAME}-$n.${domain}" -p ${SENTINEL_PORT} sentinel get-master-addr-by-name main 2>/dev/null | head -n 1)
  [[ $said != *.${domain} ]] || leader=$said
done
[ -n "$leader" ] || leader=$(sed -n 's/^sentinel monitor main \\([^ ]*\\) .*/\\1/p' /data/sentinel.conf 2>/dev/null)
[ -n "$leader" ] || leader=${NAME}-0.${domain}
cat >/data/redis.conf <<CONF
port ${SERVER_PORT}
dir /data
protected-mode no
appendonly yes
save ""
replica-announce-ip $own
${USERS}
${parameters}
CONF
[ "$leader" = "$own" ] || echo "replicaof $leader ${SERVER_PORT}" >>/data/redis.conf
exec redis-server /data/redis.conf
`;
}

function sentinelScript(domain: string, downAfterMs: number): string {
  return `#!/bin/bash
if [ ! -e /data/sentinel.conf ]; then
  until getent hosts ${NAME}-0.${domain} >/dev/null; do sleep 0.2; done
  cat >/data/sentinel.conf <<CONF
port ${SENTINEL_PORT}
dir /data
protected-mode no
${USERS}
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $HOSTNAME.${domain}
sentinel monitor main ${NAME}-0.${domain} ${SERVER_PORT} ${Math.ceil((MEMBERS + 1) / 2)}
sentinel down-after-milliseconds main ${downAfterMs}
CONF
fi
exec redis-server /data/sentinel.conf --sentinel
`;
}

/** Asks one sentinel after the other who leads, and the cluster's DNS where that is: what libraries for Sentinel do. */
function sentinelRoute(set: PlainSet): Route {
  const members = podAddresses({ ...set.pods, port: SENTINEL_PORT });
  const resolver = new Resolver({ timeout: 500, tries: 2 });
  resolver.setServers([LAB_HOST]);
  let at = 0;
  return {
    find: async (): Promise<RedisAddress | undefined> => {
      const known = await members();
      const [host = "", port = ""] = (known[at++ % known.length] ?? "").split(":");
      const sentinel = await RedisConnection.open({ host, port: Number(port) }, PASSWORD);
      try {
        const [name = ""] = (await sentinel.ask("SENTINEL get-master-addr-by-name main")).split("\n");
        const [address] = await resolver.resolve4(name);
        return address === undefined ? undefined : { host: address, port: SERVER_PORT };
      } finally {
        sentinel.end();
      }
    },
    stop: () => undefined,
  };
}

/** @param downAfterMs - How long a server may be silent until a sentinel takes it for down; 30 s by default. */
export async function sentinelContender(name: string, namespace: string, downAfterMs: number): Promise<Contender> {
  const domain = `${NAME}.${namespace}.svc.cluster.local`;
  const defaults = Object.entries(await engineDefaults("redis")).map(([key, value]) => `${key} ${value}`);
  const parameters = [...defaults, "min-replicas-to-write 1", "min-replicas-max-lag 5"].join("\n");
  const set = new PlainSet({
    namespace,
    name: NAME,
    image: "localhost/redis:7.0",
    replicas: MEMBERS,
    port: SERVER_PORT,
    containers: [
      {
        name: "server",
        command: ["/files/server"],
        resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "256Mi" } },
        readinessProbe: { tcpSocket: { port: SERVER_PORT }, periodSeconds: 2 },
      },
      { name: "sentinel", command: ["/files/sentinel"], resources: { requests: { cpu: "20m", memory: "32Mi" } } },
    ],
    files: { server: serverScript(domain, parameters), sentinel: sentinelScript(domain, downAfterMs) },
  });
  const leader = (): Promise<LeaderPod> =>
    until("a leader that sentinels name", 30_000, async () => {
      const [host = ""] = (await set.execAnywhere(...LEADER)).split("\n");
      return set.pod(host.split(".")[0] ?? "");
    });
  const isEngine = ({ command }: { readonly command: string }): boolean =>
    command.includes("redis-server") && !command.includes("sentinel");
  return plainContender(name, namespace, {
    set,
    leader,
    wholeness: "all followers to be online",
    isWhole: async () => {
      const replication = await set.exec((await leader()).pod, "redis-cli", "info", "replication");
      const online = replication.match(/^slave\d+:.*state=online/gm)?.length ?? 0;
      return replication.includes("role:master") && online === set.replicas - 1 ? true : undefined;
    },
    formMs: 120_000,
    switchover: async () =>
      void (await set.execAnywhere("redis-cli", "-p", String(SENTINEL_PORT), "sentinel", "failover", "main")),
    isEngine,
    isAgent: ({ command }) => command.includes("sentinel"),
    startClient: () => startRedisClient(sentinelRoute(set), PASSWORD, 1),
    isElastic: true,
  });
}
