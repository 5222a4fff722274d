/** What a campaign breaks: one cluster of each engine whose client can count, and those clients in one shape. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { apply, kubectl } from "../hack/scenario/lab.ts";
import { quorateSubject, type Subject } from "../hack/scenario/subject.ts";
import { WriterRun } from "../hack/scenario/writer-run.ts";
import { nameOf } from "../src/api/names.ts";
import { type CountingClient, followRoute, secretValue, startKeyClient, startRedisClient } from "./counting-clients.ts";

/** One cluster of the campaign. */
export interface Target {
  readonly engine: string;
  readonly subject: Subject;
  /** Applies the ClusterSpec. */
  readonly create: () => Promise<void>;
  /** Starts a client; resolves once something was acknowledged. */
  readonly startClient: () => Promise<CountingClient>;
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
  };
}

function redis(): Target {
  const [namespace, cluster, port, followers] = ["campaign-redis", "sessions", 6379, 2];
  return {
    engine: "redis",
    subject: quorateSubject(namespace, cluster),
    create: () => applyExample("redis", namespace),
    startClient: async () =>
      // Everybody's confirmation: two members may be taken at once, and this durability mode promises nothing else then.
      startRedisClient(
        followRoute(namespace, cluster, port),
        await secretValue(namespace, nameOf.connectionSecret(cluster, "app"), "password"),
        followers,
      ),
  };
}

function etcd(): Target {
  const [namespace, cluster] = ["campaign-etcd", "settings"];
  return {
    engine: "etcd",
    subject: quorateSubject(namespace, cluster),
    create: () => applyExample("etcd", namespace),
    startClient: async () =>
      startKeyClient(
        { namespace, selector: `quorate.io/cluster=${cluster}`, port: 2379 },
        await secretValue(namespace, nameOf.credentialsSecret(cluster), "app"),
      ),
  };
}

/** All of them. */
export const TARGETS: readonly Target[] = [postgres(), redis(), etcd()];
