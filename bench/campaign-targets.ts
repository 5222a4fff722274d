/** What a campaign breaks: one cluster of each engine whose client can count, and those clients in one shape. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { apply, kubectl } from "../hack/scenario/lab.ts";
import { quorateSubject, type Subject } from "../hack/scenario/subject.ts";
import { WriterRun } from "../hack/scenario/writer-run.ts";
import { openEtcdLists } from "../hack/append/etcd-lists.ts";
import { openPostgresLists } from "../hack/append/postgres-lists.ts";
import { openRedisLists } from "../hack/append/redis-lists.ts";
import { podAddresses } from "../hack/scenario/pod-addresses.ts";
import { nameOf } from "../src/api/names.ts";
import { type AppendingClients, startAppending } from "./appending-clients.ts";
import {
  type CountingClient,
  followRoute,
  type Route,
  secretValue,
  startKeyClient,
  startRedisClient,
} from "./counting-clients.ts";

/** One cluster of the campaign. */
export interface Target {
  readonly engine: string;
  readonly subject: Subject;
  /** Applies the ClusterSpec. */
  readonly create: () => Promise<void>;
  /** Starts a client; resolves once something was acknowledged. */
  readonly startClient: () => Promise<CountingClient>;
  /** Starts clients that read and add to lists. */
  readonly startAppending: () => Promise<AppendingClients>;
}

/** Whoever takes writes, as the EndpointSlice says. @throws while it names nobody. */
async function routed(route: Route): Promise<{ readonly host: string; readonly port: number }> {
  const address = await route.find();
  if (address === undefined) throw new Error("nobody takes writes");
  return address;
}

async function applyExample(folder: string, namespace: string): Promise<void> {
  await kubectl("create", "namespace", namespace).catch(() => undefined);
  const manifest = await readFile(join(import.meta.dirname, "../examples", folder, "cluster.yaml"), "utf8");
  await apply(manifest.replaceAll("namespace: demo", `namespace: ${namespace}`));
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
    startAppending: async () => {
      const { user, database, secret } = subject.writer;
      const password = await secretValue(namespace, secret.name, secret.key);
      const route = followRoute(namespace, "orders", 5432);
      const open = async () =>
        openPostgresLists({ ...(await routed(route)), user, password, database }, "SERIALIZABLE");
      return startAppending(open, route.stop);
    },
  };
}

function redis(): Target {
  const [namespace, cluster, port, followers] = ["campaign-redis", "sessions", 6379, 2];
  const password = () => secretValue(namespace, nameOf.connectionSecret(cluster, "app"), "password");
  return {
    engine: "redis",
    subject: quorateSubject(namespace, cluster),
    create: () => applyExample("redis", namespace),
    startClient: async () =>
      // Everybody's confirmation: two members may be taken at once, and this durability mode promises nothing else then.
      startRedisClient(followRoute(namespace, cluster, port), await password(), followers),
    startAppending: async () => {
      const [route, secret] = [followRoute(namespace, cluster, port), await password()];
      return startAppending(async () => openRedisLists(await routed(route), secret, followers), route.stop);
    },
  };
}

function etcd(): Target {
  const [namespace, cluster] = ["campaign-etcd", "settings"];
  const pods = { namespace, selector: `quorate.io/cluster=${cluster}`, port: 2379 };
  const password = () => secretValue(namespace, nameOf.credentialsSecret(cluster), "app");
  return {
    engine: "etcd",
    subject: quorateSubject(namespace, cluster),
    create: () => applyExample("etcd", namespace),
    startClient: async () => startKeyClient(pods, await password()),
    startAppending: async () => {
      const [members, secret] = [podAddresses(pods), await password()];
      let at = 0;
      return startAppending(async () => {
        const known = await members();
        return openEtcdLists(known[at++ % known.length] ?? "", secret); // the next one, when this one does not answer
      });
    },
  };
}

/** All of them. */
export const TARGETS: readonly Target[] = [postgres(), redis(), etcd()];
