// A shard of a cluster that is sharded: a ClusterSpec of its own, of topology ActivePassive, that says what the whole's says.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { ShardPlace } from "../api/sharding.ts";
import { ANNOTATION_TRACEPARENT, API_VERSION, LABEL_SHARD_OF, nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { child } from "./labels.ts";
import type { Manifest } from "./manifest.ts";

/** What users decide about a shard: all of its spec but its place among the others. */
export type ShardSpec = Omit<ClusterIntent, "shard">;

/** What is wanted of shards that stay, and of those that go. */
interface WantedSpecs {
  readonly stays: ShardSpec;
  readonly goes: ShardSpec;
}

const wantedSpecs = new WeakMap<ClusterIntent, WantedSpecs>(); // asked for about every shard in every pass

/** What the whole's spec wants of a shard. @param stays - False for one that is to go: its volumes follow whenScaled. */
export function shardSpec({ intent }: Pick<BuildContext, "intent">, stays: boolean): ShardSpec {
  const wanted = wantedSpecs.get(intent) ?? { stays: specFrom(intent, true), goes: specFrom(intent, false) };
  wantedSpecs.set(intent, wanted);
  return stays ? wanted.stays : wanted.goes;
}

function specFrom(intent: ClusterIntent, stays: boolean): ShardSpec {
  const { sharding: _, shard: __, services, topology: ___, volumeRetention, ...spec } = intent;
  const { whenDeleted, whenScaled } = volumeRetention;
  return {
    ...spec,
    topology: "ActivePassive",
    volumeRetention: { whenScaled, whenDeleted: stays ? whenDeleted : whenScaled },
    services: services.from === undefined ? PLAIN_SERVICES : { ...PLAIN_SERVICES, from: services.from },
  };
}

/** Clients reach shards through the Service of the whole and by the addresses that servers tell them. */
const PLAIN_SERVICES: ClusterIntent["services"] = {
  readWrite: { type: "ClusterIP" },
  readOnly: { type: "ClusterIP" },
  read: { type: "ClusterIP" },
};

/** The ClusterSpec of one shard. */
export function buildShard(context: BuildContext, name: string, spec: ShardSpec, place: ShardPlace): Manifest {
  const shard = child(context, { apiVersion: API_VERSION, kind: "ClusterSpec" }, name, {
    spec: { ...spec, shard: place },
  });
  const { trace } = context;
  const traced = trace === undefined ? {} : { annotations: { [ANNOTATION_TRACEPARENT]: trace.traceparent } };
  return {
    ...shard,
    metadata: { ...shard.metadata, ...traced, labels: { ...shard.metadata.labels, [LABEL_SHARD_OF]: context.name } },
  };
}

/** Number of a shard of `cluster` by its name; undefined for a name that is no shard's. */
export function shardIndex(cluster: string, name: string): number | undefined {
  const number = name.startsWith(`${cluster}-s`) ? name.slice(cluster.length + 2) : "";
  return /^(0|[1-9][0-9]*)$/.test(number) ? Number(number) : undefined;
}

/** The Secret with the passwords of a cluster: that of the whole for a shard. */
export function passwordsOf({ name, intent }: Pick<BuildContext, "name" | "intent">): string {
  return nameOf.credentialsSecret(intent.shard?.of ?? name);
}

/** The Secret with the certificate of a cluster's members: that of the whole for a shard that speaks TLS with the others. */
export function certificateOf({ name, intent }: Pick<BuildContext, "name" | "intent">): string {
  return nameOf.peerSecret(intent.shard?.tls === true ? intent.shard.of : name);
}
