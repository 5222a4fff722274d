/** Our side of bench/engines.ts: a cluster of each engine as its example has it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { patchSpec } from "../../hack/scenario/change.ts";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { apply, kubectl } from "../../hack/scenario/lab.ts";
import type { PodsOf } from "../../hack/scenario/pod-addresses.ts";
import { until } from "../../hack/scenario/shell.ts";
import { type FaultSubject, quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { LABEL_CLUSTER, LABEL_SHARD_OF, nameOf } from "../../src/api/names.ts";
import {
  type CountingClient,
  followRoute,
  secretValue,
  startKeyClient,
  startQueueClient,
  startRedisClient,
  startShardClient,
  startSqlClients,
} from "../counting-clients.ts";
import type { Contender } from "./contender.ts";

const NAME = "quorate";
/** A leader of ours that stayed so long is no longer counted by the failover budget. */
const BUDGET_QUIET_MS = 16_000;
const QUIET_MS = 3_000;
const CREATED_MS = 300_000;
const CHANGED_MS = 400_000;

/** What differs from one engine to the next. */
interface OurCluster {
  readonly namespace: string;
  readonly cluster: string;
  /** Under examples/. */
  readonly example: string;
  /** What is written otherwise than in the example, each in place of what stands there. */
  readonly edits: readonly (readonly [string, string])[];
  readonly port: number;
  /** What members hold themselves back by after a failover; absent where the engine elects. */
  readonly hasFailoverBudget?: boolean;
  readonly startClient: (pods: PodsOf, password: string) => Promise<CountingClient>;
}

async function applyExample({ namespace, example, edits }: OurCluster): Promise<void> {
  await kubectl("create", "namespace", namespace).catch(() => undefined);
  let manifest = await readFile(join(import.meta.dirname, "../../examples", example), "utf8");
  for (const [from, to] of [["namespace: demo", `namespace: ${namespace}`] as const, ...edits]) {
    if (!manifest.includes(from)) throw new Error(`examples/${example} has no ${from}`);
    manifest = manifest.replace(from, to);
  }
  await apply(manifest);
}

/** Waits until every pod runs with that request and is Ready: so much that is seen of a roll from outside. */
async function untilRolled(namespace: string, selector: string, cpu: string): Promise<void> {
  const ready = '{.status.conditions[?(@.type=="Ready")].status}';
  const columns = `{range .items[*]}{.spec.containers[0].resources.requests.cpu} ${ready}{"\\n"}{end}`;
  await until("the roll to be over", CHANGED_MS, async () => {
    const text = await kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", `jsonpath=${columns}`);
    return text
      .trim()
      .split("\n")
      .every((line) => line === `${cpu} True`)
      ? true
      : undefined;
  });
}

/** Waits until a cluster counts so many members, all Ready. */
async function untilSize(namespace: string, cluster: string, members: number): Promise<void> {
  await until(`${members} members`, CHANGED_MS, async () => {
    const { status } = (await readCluster(namespace, cluster)) ?? {};
    const isReady = status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
    return isReady && status?.readyMembers === members && status.members?.length === members ? true : undefined;
  });
}

/** What both kinds of clusters of ours have in common. */
function ours(described: OurCluster, subject: FaultSubject, selector: string): Contender {
  const { namespace, cluster, port } = described;
  return {
    name: NAME,
    subject,
    allPods: selector,
    quietMs: described.hasFailoverBudget === true ? BUDGET_QUIET_MS : QUIET_MS,
    create: async () => {
      await applyExample(described);
      await subject.untilHealthy(CREATED_MS);
    },
    remove: () => removeNamespace(namespace),
    startClient: async () =>
      described.startClient(
        { namespace, selector, port },
        await secretValue(namespace, nameOf.connectionSecret(cluster, "app"), "password"),
      ),
    roll: async (run) => {
      const cpu = `${100 + run}m`;
      await patchSpec(namespace, cluster, { resources: { requests: { cpu } } });
      await untilRolled(namespace, selector, cpu);
      await subject.untilHealthy(CHANGED_MS);
    },
  };
}

function whole(described: OurCluster): Contender {
  const { namespace, cluster } = described;
  const contender = ours(described, quorateSubject(namespace, cluster), `${LABEL_CLUSTER}=${cluster}`);
  return {
    ...contender,
    resize: async (members) => {
      await patchSpec(namespace, cluster, { members });
      await untilSize(namespace, cluster, members);
    },
  };
}

/** Redis with followers. */
export function redis(): Contender {
  const [namespace, cluster, port] = ["bench-redis", "sessions", 6379];
  return whole({
    ...{ namespace, cluster, port, example: "redis/cluster.yaml", edits: [], hasFailoverBudget: true },
    startClient: (_, password) => startRedisClient(followRoute(namespace, cluster, port), password, 1),
  });
}

/** A group of etcd. */
export function etcd(): Contender {
  return whole({
    ...{ namespace: "bench-etcd", cluster: "settings", port: 2379, example: "etcd/cluster.yaml", edits: [] },
    startClient: startKeyClient,
  });
}

/** MariaDB Galera, with less memory and smaller volumes than the example. */
export function galera(): Contender {
  return whole({
    ...{ namespace: "bench-galera", cluster: "shop", port: 3306, example: "galera/cluster.yaml" },
    edits: [
      ["memory: 1Gi", "memory: 256Mi"],
      ["size: 10Gi", "size: 2Gi"],
    ],
    startClient: startSqlClients,
  });
}

/** RabbitMQ, whose error budget a benchmark uses up. */
export function rabbitmq(): Contender {
  return whole({
    ...{ namespace: "bench-rabbitmq", cluster: "events", port: 5672, example: "broker/cluster.yaml" },
    edits: [["whenExhausted: Freeze", "whenExhausted: Warn"]],
    startClient: startQueueClient,
  });
}

/** Of the cluster in shards: where it is, and what it is called. */
export const SHARDED = { namespace: "bench-shards", cluster: "cache", port: 6379, shards: 3, members: 2 } as const;

/** The pods of all shards. */
export const SHARDED_PODS: PodsOf = {
  namespace: SHARDED.namespace,
  selector: `${LABEL_SHARD_OF}=${SHARDED.cluster}`,
  port: SHARDED.port,
};

/** Waits until so many shards own all slots, and are whole. */
export async function untilSharded(shards: number, timeoutMs: number): Promise<void> {
  const { namespace, cluster } = SHARDED;
  await until(`${shards} shards that own all slots`, timeoutMs, async () => {
    const { status } = (await readCluster(namespace, cluster)) ?? {};
    const isReady = status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
    const isNoneLeft = (await readCluster(namespace, nameOf.shard(cluster, shards))) === undefined;
    return isReady && isNoneLeft && status?.readyRatio === `${shards}/${shards}` ? true : undefined;
  });
  for (let index = 0; index < shards; index++) {
    await quorateSubject(namespace, nameOf.shard(cluster, index)).untilHealthy(timeoutMs);
  }
}

/** Redis in three shards of two; faults hit the first shard's leader. */
export function sharded(): Contender {
  const { namespace, cluster, port, members } = SHARDED;
  const first = quorateSubject(namespace, nameOf.shard(cluster, 0));
  const described: OurCluster = {
    ...{ namespace, cluster, port, example: "redis/sharded.yaml", hasFailoverBudget: true },
    edits: [
      ["members: 3", `members: ${members}`],
      ["batchSlots: 64, slotsPerSecond: 32, tls: true", "batchSlots: 128, slotsPerSecond: 256"],
    ],
    startClient: startShardClient,
  };
  const subject = { ...first, untilHealthy: (timeoutMs: number) => untilSharded(SHARDED.shards, timeoutMs) };
  return ours(described, subject, SHARDED_PODS.selector);
}
