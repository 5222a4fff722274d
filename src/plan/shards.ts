// What is seen of the shards of a cluster, as their own ClusterSpecs say it.
import { ClusterIntent } from "../api/cluster-spec.ts";
import { ClusterStatus } from "../api/cluster-status.ts";
import { DEFAULT_SHARDING, type ShardPlace, type SlotRequest } from "../api/sharding.ts";
import { nameOf } from "../api/names.ts";
import { shardIndex, type ShardSpec } from "../build/shard.ts";
import type { ClusterView, Observation } from "./observation.ts";
import { parseSlots, type SlotMap, type SlotMove, type SlotRange } from "./slots.ts";

/** One shard. */
export interface ShardView {
  readonly name: string;
  readonly uid: string;
  readonly deleting: boolean;
  /** What it was last told to be; undefined when that cannot be understood. */
  readonly spec: ShardSpec | undefined;
  /** Where among the others it was last told to be. */
  readonly place: ShardPlace | undefined;
  readonly request: SlotRequest | undefined;
  readonly status: ClusterStatus;
  /** Slots that it says it owns. */
  readonly slots: readonly SlotRange[];
  /** Slots that it says are on their way from it. */
  readonly move: SlotMove | undefined;
  /** It is as it was last told to be, and serves. */
  readonly isSettled: boolean;
  /** It says that it does not serve as it should; one that was only just told something else is not in trouble. */
  readonly isInTrouble: boolean;
}

/** Whether a cluster is the whole of shards that have ClusterSpecs of their own. */
export function isWhole({ intent }: Pick<ClusterView, "intent">): boolean {
  return intent.topology === "Sharded";
}

/** How slots and shards shall be. */
export function shardingOf({ intent }: Pick<ClusterView, "intent">): typeof DEFAULT_SHARDING {
  return intent.sharding ?? DEFAULT_SHARDING;
}

/** Names of the shards that the user wants. */
export function wantedShards(cluster: ClusterView): readonly string[] {
  return Array.from({ length: shardingOf(cluster).shards }, (_, index) => nameOf.shard(cluster.name, index));
}

interface LiveShard {
  readonly metadata: { readonly name: string; readonly generation?: number };
  readonly spec?: unknown;
  readonly status?: unknown;
}

const parsed = new WeakMap<object, Omit<ShardView, "uid" | "deleting">>(); // by live object, which never changes

/** The shards that there are, in the order of their numbers. */
export function shardsOf(seen: Observation, cluster: ClusterView): readonly ShardView[] {
  return [...seen.children]
    .flatMap(([key, { uid, deleting, live }]) => {
      const name = key.startsWith("ClusterSpec/") ? key.slice("ClusterSpec/".length) : "";
      const index = shardIndex(cluster.name, name);
      return index === undefined ? [] : [{ index, view: { uid, deleting, ...toShard(live as LiveShard) } }];
    })
    .toSorted((a, b) => a.index - b.index)
    .map(({ view }) => view);
}

function toShard(live: LiveShard): Omit<ShardView, "uid" | "deleting"> {
  const known = parsed.get(live) ?? parseShard(live);
  parsed.set(live, known);
  return known;
}

function parseShard({ metadata, spec, status }: LiveShard): Omit<ShardView, "uid" | "deleting"> {
  const intent = ClusterIntent.safeParse(spec).data;
  const { shard, ...rest } = intent ?? {};
  const said = ClusterStatus.safeParse(status ?? {}).data ?? {};
  const isCurrent = said.observedGeneration === metadata.generation;
  return {
    name: metadata.name,
    spec: intent === undefined ? undefined : (rest as ShardSpec),
    place: shard,
    request: shard?.request,
    status: said,
    slots: parseSlots(said.shard?.slots ?? ""),
    move: moveOf(metadata.name, said),
    isSettled: isCurrent && conditionOf(said, "Ready") === "True",
    isInTrouble: conditionOf(said, "Ready") !== "True",
  };
}

function moveOf(name: string, { shard }: ClusterStatus): SlotMove | undefined {
  if (shard === undefined || shard.moving === "") return undefined;
  return { from: name, to: shard.movingTo, slots: parseSlots(shard.moving) };
}

/** Status of a condition; undefined when it is not told. */
export function conditionOf({ conditions = [] }: ClusterStatus, type: string): string | undefined {
  return conditions.find((condition) => condition.type === type)?.status;
}

/** Whether all shards rest, as they were asked to. */
export function areShardsStopped(seen: Observation, cluster: ClusterView): boolean {
  const shards = shardsOf(seen, cluster);
  return shards.length > 0 && shards.every(isShardStopped);
}

/** Whether a shard rests, as it was asked to. */
export function isShardStopped({ status: { conditions = [] } }: ShardView): boolean {
  return conditions.some(({ type, reason }) => type === "Ready" && reason === "Stopped");
}

/** Whether a shard says what it owns: its leader does, once there is one. */
export function tellsSlots({ status }: ShardView): boolean {
  return status.shard !== undefined;
}

/** What the shards own. A slot on its way is its giver's until that one has let it go for good. */
export function slotsOf(shards: readonly ShardView[]): {
  readonly owned: SlotMap;
  readonly moving: SlotMove | null;
} {
  const moves = shards.flatMap(({ move }) => move ?? []);
  const owned = shards.map(({ name, slots: said }) => {
    const arriving = moves.filter(({ to }) => to === name).flatMap(({ slots }) => slots);
    const leaving = moves.filter(({ from }) => from === name).flatMap(({ slots }) => slots);
    return [name, unite(subtract(said, arriving), leaving)] as const;
  });
  return { owned: Object.fromEntries(owned), moving: moves[0] ?? null };
}

function numbersOf(ranges: SlotMap[string]): readonly number[] {
  return ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at));
}

function subtract(ranges: SlotMap[string], others: SlotMap[string]): SlotMap[string] {
  const gone = new Set(numbersOf(others));
  return others.length === 0 ? ranges : numbersOf(ranges).flatMap((n) => (gone.has(n) ? [] : { first: n, last: n }));
}

function unite(ranges: SlotMap[string], others: SlotMap[string]): SlotMap[string] {
  return others.length === 0 ? ranges : [...subtract(ranges, others), ...others];
}
