// What quorate reports of topology Sharded: its shards in a line each; each has a ClusterSpec of its own that says more.
import type { ShardSummary } from "../api/cluster-status.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { ClusterView, Observation } from "../plan/observation.ts";
import { conditionOf, shardsOf, type ShardView, wantedShards } from "../plan/shards.ts";
import { lengthOf } from "../plan/slots.ts";
import type { Verdict } from "./conditions.ts";

/** The shards of a whole, in numbers and one by one. */
export interface ShardsCount {
  readonly ready: number;
  readonly desired: number;
  readonly revision: undefined;
  readonly shards: ShardSummary[];
}

/** Counts the shards. */
export function countShards(seen: Observation, cluster: ClusterView): ShardsCount {
  const shards = stayingShards(seen, cluster).map(toSummary);
  const ready = shards.filter((shard) => shard.ready).length;
  return { ready, desired: wantedShards(cluster).length, revision: undefined, shards };
}

function stayingShards(seen: Observation, cluster: ClusterView): readonly ShardView[] {
  return shardsOf(seen, cluster).filter(({ deleting }) => !deleting);
}

function leaderOf({ status }: ShardView): string | undefined {
  return conditionOf(status, "Available") === "True" ? status.leader : undefined;
}

function toSummary(shard: ShardView): ShardSummary {
  const { name, status } = shard;
  const leader = leaderOf(shard);
  const slots = status.shard?.slots ?? "";
  return { name, ready: conditionOf(status, "Ready") === "True", ...(leader === undefined ? {} : { leader }), slots };
}

const MAX_TOLD = 5;

/** Whether every key can be written, and whether all shards are as they shall be. */
export function shardsVerdicts(
  seen: Observation,
  cluster: ClusterView,
  engine: EngineSpec | undefined,
): readonly [available: Verdict, degraded: Verdict] {
  const found = stayingShards(seen, cluster);
  const shards = found.map(toSummary);
  const led = found.filter((shard) => leaderOf(shard) !== undefined);
  const served = led.reduce((sum, { slots }) => sum + lengthOf(slots), 0);
  const all = engine?.slots ?? 0;
  const available: Verdict =
    all > 0 && served >= all
      ? {
          type: "Available",
          status: "True",
          reason: "ShardsServe",
          message: `${led.length} shards serve all ${all} slots.`,
        }
      : {
          type: "Available",
          status: "False",
          reason: "SlotsNotServed",
          message: `${served} of ${all} slots are served: keys of the others can be neither read nor written.${told(shards.filter(({ leader }) => leader === undefined))}`,
        };
  const wanted = wantedShards(cluster);
  const missing = wanted.filter((name) => !shards.some((shard) => shard.name === name && shard.ready));
  const degraded: Verdict =
    missing.length === 0
      ? {
          type: "Degraded",
          status: "False",
          reason: "AllShardsReady",
          message: `All ${wanted.length} shards are Ready.`,
        }
      : {
          type: "Degraded",
          status: "True",
          reason: "ShardsNotReady",
          message: `Not Ready: ${missing.slice(0, MAX_TOLD).join(", ")}${missing.length > MAX_TOLD ? " and more" : ""}.`,
        };
  return [available, degraded];
}

function told(leaderless: readonly ShardSummary[]): string {
  if (leaderless.length === 0) return "";
  const names = leaderless.slice(0, MAX_TOLD).map(({ name }) => name);
  return ` Without a leader: ${names.join(", ")}${leaderless.length > MAX_TOLD ? " and more" : ""}.`;
}
