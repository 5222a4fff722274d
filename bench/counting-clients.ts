/** Clients that count, one kind for each engine, in one shape: whoever the cluster belongs to, ours or a peer's, gets the same. */
import { KeyClient } from "../hack/scenario/key-client.ts";
import { kubectl } from "../hack/scenario/lab.ts";
import { podAddresses, type PodsOf } from "../hack/scenario/pod-addresses.ts";
import { QueueClient } from "../hack/scenario/queue-client.ts";
import { RedisClient } from "../hack/scenario/redis-client.ts";
import type { RedisAddress } from "../hack/scenario/redis-connection.ts";
import { ShardClient } from "../hack/scenario/shard-client.ts";
import { until } from "../hack/scenario/shell.ts";
import { CREATE_TABLES, SqlClient, sqlSession } from "../hack/scenario/sql-client.ts";
import { WriteRoute } from "../hack/scenario/write-route.ts";
import { nameOf } from "../src/api/names.ts";

/** What a client found at the end of a round. All but `acked`, `unknown` and the gap must be 0. */
export interface Verdict {
  readonly acked: number;
  readonly unknown: number;
  /** Acknowledged, and not there. */
  readonly lost: number;
  /** There, and never written; or acknowledged, and not seen by a read that followed. */
  readonly wrong: number;
  /** Taken by a leader of an older epoch after one of a newer had taken something. */
  readonly outOfOrder: number;
  readonly largestGapMs: number;
}

/** A client that writes until it is told to finish, then reads everything back. */
export interface CountingClient {
  /** Acknowledged so far. */
  readonly acked: () => number;
  readonly finish: () => Promise<Verdict>;
}

const FIRST_ACKS_MS = 120_000;
const SQL_CLIENTS = 3;
const SQL_DEADLINE_MS = 60_000;

/** A value of a Secret. */
export async function secretValue(namespace: string, name: string, key: string): Promise<string> {
  const value = await kubectl("-n", namespace, "get", "secret", name, "-o", `jsonpath={.data.${key}}`);
  return Buffer.from(value, "base64").toString();
}

/** Waits until something was acknowledged. */
export async function started(client: CountingClient): Promise<CountingClient> {
  await until("the first acknowledged writes", FIRST_ACKS_MS, () =>
    Promise.resolve(client.acked() > 20 ? true : undefined),
  );
  return client;
}

/** How a client finds who takes writes, and what ends the finding. */
export interface Route {
  readonly find: () => Promise<RedisAddress | undefined>;
  readonly stop: () => void;
}

/** Follows a cluster of ours by the EndpointSlice of its writes. */
export function followRoute(namespace: string, cluster: string, port: number): Route {
  const route = new WriteRoute(namespace, nameOf.readWrite(cluster));
  return {
    find: () => Promise.resolve(route.host === "" ? undefined : { host: route.host, port }),
    stop: () => route.stop(),
  };
}

/** @param followers - A write counts as acknowledged once so many followers have confirmed it (WAIT). */
export function startRedisClient(route: Route, password: string, followers: number): Promise<CountingClient> {
  const client = new RedisClient(route.find, password, followers);
  client.start();
  return started({
    acked: () => client.acked,
    finish: async () => {
      const verdict = await client.finish();
      route.stop();
      return { ...verdict, wrong: 0, outOfOrder: 0 };
    },
  });
}

/** A client of Redis in cluster mode. */
export function startShardClient(pods: PodsOf, password: string): Promise<CountingClient> {
  const client = new ShardClient({ members: podAddresses(pods), password });
  client.start();
  return started({
    acked: () => client.acked,
    finish: async () => ({ ...(await client.finish()), wrong: 0, outOfOrder: 0 }),
  });
}

/** A client of etcd. */
export function startKeyClient(pods: PodsOf, password: string): Promise<CountingClient> {
  const client = new KeyClient(podAddresses(pods), password);
  client.start();
  return started({
    acked: () => client.acked,
    finish: async () => {
      const { stale, ...verdict } = await client.finish();
      return { ...verdict, wrong: stale, outOfOrder: 0 };
    },
  });
}

/**
 * Three clients of a database whose members all write, which begin at three members and go on to the next when one does not take
 * their writes. The gap is the largest of the three.
 */
export async function startSqlClients(pods: PodsOf, password: string): Promise<CountingClient> {
  const members = podAddresses(pods);
  const addressAt = async (at: number) => {
    const known = await members();
    const [host = "", port = ""] = (known[at % known.length] ?? "").split(":");
    return { host, port: Number(port) };
  };
  const ask = (statement: string): Promise<readonly string[]> =>
    until("an answer of a member that belongs to the group", SQL_DEADLINE_MS, async () => {
      const session = sqlSession(await addressAt(Math.floor(Math.random() * SQL_CLIENTS)), password);
      try {
        const { stdout, stderr } = await session.run(
          `SET SESSION wsrep_sync_wait = 1; ${statement}`,
          SQL_DEADLINE_MS / 2,
        );
        if (stderr.length > 0) throw new Error(stderr.join("\n"));
        return stdout;
      } finally {
        session.close();
      }
    });
  await ask(CREATE_TABLES);
  const run = Date.now();
  const clients = Array.from({ length: SQL_CLIENTS }, (_, first) => {
    let at = first;
    return new SqlClient(() => addressAt(at++), password, `${run}-${first}`);
  });
  for (const client of clients) client.start();
  return started({
    acked: () => Math.min(...clients.map(({ acked }) => acked)),
    finish: async () => {
      const read = async (writer: string): Promise<number[]> =>
        (await ask(`SELECT seq FROM written WHERE writer = '${writer}';`)).map(Number);
      const verdicts = await Promise.all(clients.map((client) => client.finish(read)));
      const sum = (pick: (verdict: (typeof verdicts)[number]) => number): number =>
        verdicts.reduce((all, one) => all + pick(one), 0);
      return {
        acked: sum(({ acked }) => acked),
        unknown: sum(({ unknown, refused }) => unknown + refused),
        lost: sum(({ lost }) => lost),
        wrong: sum(({ unexpected }) => unexpected),
        outOfOrder: 0,
        largestGapMs: Math.max(...verdicts.map(({ largestGapMs }) => largestGapMs)),
      };
    },
  });
}

/** A publisher and a consumer of a message broker. */
export function startQueueClient(pods: PodsOf, password: string): Promise<CountingClient> {
  const client = new QueueClient(podAddresses(pods), password);
  client.start();
  return started({
    acked: () => client.confirmed,
    finish: async () => {
      const { confirmed, missed, unknown, lost, largestGapMs } = await client.finish();
      return { acked: confirmed, unknown, lost, wrong: missed, outOfOrder: 0, largestGapMs };
    },
  });
}
