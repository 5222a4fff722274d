/** What a campaign breaks: one cluster of each engine whose client can count, and those clients in one shape. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KeyClient } from "../hack/scenario/key-client.ts";
import { apply, kubectl } from "../hack/scenario/lab.ts";
import { podAddresses } from "../hack/scenario/pod-addresses.ts";
import { RedisClient } from "../hack/scenario/redis-client.ts";
import { pause, until } from "../hack/scenario/shell.ts";
import { quorateSubject, type Subject } from "../hack/scenario/subject.ts";
import { WriterRun } from "../hack/scenario/writer-run.ts";

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

/** One cluster of the campaign. */
export interface Target {
  readonly engine: string;
  readonly subject: Subject;
  /** Applies the ClusterSpec. */
  readonly create: () => Promise<void>;
  /** Starts a client; resolves once something was acknowledged. */
  readonly startClient: () => Promise<CountingClient>;
}

const FIRST_ACKS_MS = 120_000;

async function applyExample(folder: string, namespace: string): Promise<void> {
  await kubectl("create", "namespace", namespace).catch(() => undefined);
  const manifest = await readFile(join(import.meta.dirname, "../examples", folder, "cluster.yaml"), "utf8");
  await apply(manifest.replaceAll("namespace: demo", `namespace: ${namespace}`));
}

async function secretValue(namespace: string, name: string, key: string): Promise<string> {
  const value = await kubectl("-n", namespace, "get", "secret", name, "-o", `jsonpath={.data.${key}}`);
  return Buffer.from(value, "base64").toString();
}

async function started(client: CountingClient): Promise<CountingClient> {
  await until("the first acknowledged writes", FIRST_ACKS_MS, () =>
    Promise.resolve(client.acked() > 20 ? true : undefined),
  );
  return client;
}

function postgres(): Target {
  const namespace = "campaign-postgres";
  const subject = quorateSubject(namespace, "orders");
  return {
    engine: "postgres",
    subject,
    create: () => applyExample("postgres", namespace),
    startClient: async () => {
      const writer = new WriterRun({ ...subject.writer, name: `writer-${Date.now()}`, seconds: 0 });
      await writer.start();
      return {
        acked: () => writer.lastTick?.acked ?? 0,
        finish: async () => {
          const { acked, unknown, lost, unexpected, outOfOrder, largestGapMs, ...evidence } = await writer.finish();
          if (lost + unexpected + outOfOrder > 0) process.stdout.write(`${JSON.stringify(evidence)}\n`);
          return { acked, unknown, lost, wrong: unexpected, outOfOrder, largestGapMs };
        },
      };
    },
  };
}

function redis(): Target {
  const [namespace, cluster, port, followers] = ["campaign-redis", "sessions", 6379, 2];
  let host = "";
  const look = async (): Promise<void> => {
    const address = "jsonpath={.endpoints[0].addresses[0]}";
    host = await kubectl("-n", namespace, "get", "endpointslice", `${cluster}-rw`, "-o", address).catch(() => host);
  };
  return {
    engine: "redis",
    subject: quorateSubject(namespace, cluster),
    create: () => applyExample("redis", namespace),
    startClient: async () => {
      const stop = new AbortController();
      const looking = (async () => {
        while (!stop.signal.aborted) {
          await look();
          await pause(500);
        }
      })();
      const route = () => Promise.resolve(host === "" ? undefined : { host, port });
      // Everybody's confirmation: two members may be taken at once, and this durability mode promises nothing else then.
      const client = new RedisClient(route, await secretValue(namespace, `${cluster}-app`, "password"), followers);
      client.start();
      return started({
        acked: () => client.acked,
        finish: async () => {
          const verdict = await client.finish();
          stop.abort();
          await looking;
          return { ...verdict, wrong: 0, outOfOrder: 0 };
        },
      });
    },
  };
}

function etcd(): Target {
  const [namespace, cluster] = ["campaign-etcd", "settings"];
  return {
    engine: "etcd",
    subject: quorateSubject(namespace, cluster),
    create: () => applyExample("etcd", namespace),
    startClient: async () => {
      const members = podAddresses({ namespace, cluster, port: 2379 });
      const client = new KeyClient(members, await secretValue(namespace, `${cluster}-credentials`, "app"));
      client.start();
      return started({
        acked: () => client.acked,
        finish: async () => {
          const { stale, ...verdict } = await client.finish();
          return { ...verdict, wrong: stale, outOfOrder: 0 };
        },
      });
    },
  };
}

/** All of them. */
export const TARGETS: readonly Target[] = [postgres(), redis(), etcd()];
