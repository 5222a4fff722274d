/** Shards that come and go under load: what writers wait for meanwhile, how long it takes, and whether every key is there in the end. */
import { patchSpec } from "../hack/scenario/change.ts";
import { podAddresses } from "../hack/scenario/pod-addresses.ts";
import { ShardClient } from "../hack/scenario/shard-client.ts";
import { pause } from "../hack/scenario/shell.ts";
import { nameOf } from "../src/api/names.ts";
import { secretValue } from "./counting-clients.ts";
import { record } from "./figures.ts";
import { SHARDED, SHARDED_PODS, untilSharded } from "./peers/quorate.ts";

const KEYS = Number(process.env["KEYS"] ?? 100_000);
const WRITERS = 4;
const AT_REST_MS = 30_000;
const RESHARDED_MS = 900_000;

/** 3 → 5 → 3 shards of the cluster that bench/engines.ts has made. */
export async function measureResharding(): Promise<void> {
  const { namespace, cluster } = SHARDED;
  const client = new ShardClient({
    members: podAddresses(SHARDED_PODS),
    password: await secretValue(namespace, nameOf.connectionSecret(cluster, "app"), "password"),
    writers: WRITERS,
  });
  const keys = Array.from({ length: KEYS }, (_, at) => `key-${at}`);
  await client.put(keys);
  client.start();
  const about = (name: string) => ({ bench: "engines", case: "3-5-3-shards", subject: "shards quorate", metric: name });
  const phase = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    client.takeLatenciesMs();
    const fromMs = performance.now();
    await work();
    const seconds = (performance.now() - fromMs) / 1000;
    const latenciesMs = client.takeLatenciesMs().map((ms) => Number(ms.toFixed(1)));
    await record({ ...about(`latency_${name}`), unit: "ms" }, latenciesMs, { seconds: Number(seconds.toFixed(1)) });
  };
  const reshard = async (shards: number): Promise<void> => {
    await patchSpec(namespace, cluster, { sharding: { shards } });
    await untilSharded(shards, RESHARDED_MS);
  };
  await phase("before", () => pause(AT_REST_MS));
  await phase("out", () => reshard(5));
  await phase("at_five", () => pause(AT_REST_MS));
  await phase("in", () => reshard(3));
  await phase("after", () => pause(AT_REST_MS));
  const { acked, unknown, lost, largestGapMs } = await client.finish();
  const missing = await client.countMissing(keys);
  const counts = { keys: KEYS, acked, unknown, lost: lost + missing };
  await record({ ...about("largest_gap"), unit: "ms" }, [largestGapMs], counts);
}
