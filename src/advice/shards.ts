// How evenly the shards of a cluster are loaded and filled, and what helps where one of them is not like the others.
import { MAX_SHARDS } from "../api/sharding.ts";
import type { Advice } from "./advice.ts";
import { advise, keep, unknown } from "./verdict.ts";

/** What was measured of one shard; what nobody measured is undefined. */
export interface ShardLoad {
  readonly shard: string;
  readonly operationsPerSecond: number | undefined;
  readonly keys: number | undefined;
  readonly bytes: number | undefined;
  /** The slot that a look at its operations found most often, and its share of them. */
  readonly busiest: { readonly slot: number; readonly share: number } | undefined;
}

/** A shard is hot or large from this many times the mean on: below it chance and the slots' sizes make the difference. */
const STANDS_OUT = 1.5;
/** Below so many operations a second, all shards together, a few clients look like a hot shard. */
const BUSY_OPERATIONS = 100;
/** Below so many bytes, all shards together, it does not matter where they are. */
const FILLED_BYTES = 2 ** 28;
/** A slot that has this share of its shard's operations would make any shard hot that owns it. */
const HOT_SLOT_SHARE = 0.5;
/** Keys that are so many times as large as those of all shards are few that are large, not many. */
const LARGE_KEYS = 2;

/** Judges the shards of one cluster, its load first. */
export function adviseShards(shards: readonly ShardLoad[]): readonly Advice[] {
  return [adviseLoad(shards), adviseSize(shards)];
}

/** Whether one shard is asked for much more than the others, and whether more shards would change that. */
export function adviseLoad(shards: readonly ShardLoad[]): Advice {
  const compared = compare(shards, ({ operationsPerSecond }) => operationsPerSecond);
  if (typeof compared === "string") return unknown("Load", `${compared} how busy it is`);
  const { most, value, mean, sum } = compared;
  if (sum < BUSY_OPERATIONS)
    return unknown("Load", `all shards together carry out ${perSecond(sum)}: too little to tell a hot one by`);
  const found = `${most.shard} carries out ${perSecond(value)}, ${times(value / mean)} the mean of ${shards.length} shards`;
  if (value < STANDS_OUT * mean) return keep("Load", found);
  const { slot = -1, share = 0 } = most.busiest ?? {};
  if (share >= HOT_SLOT_SHARE) {
    const why = `${Math.round(share * 100)} % of that is about slot ${slot}, which no number of shards divides`;
    return advise(
      "Load",
      "Change",
      `${found}; ${why}: spread its keys over other names, or read them from followers`,
      [],
    );
  }
  const wanted = shardsFor(shards.length, value / mean);
  return wanted > shards.length
    ? advise("Load", "Raise", `${found}, spread over its slots`, [["spec.sharding.shards", wanted]])
    : advise("Load", "Change", `${found}; there can be no more shards: give members more processor`, []);
}

/** Whether one shard holds much more than the others, and whether it has more keys or larger ones. */
export function adviseSize(shards: readonly ShardLoad[]): Advice {
  const compared = compare(shards, ({ bytes }) => bytes);
  if (typeof compared === "string") return unknown("Size", `${compared} how much it holds`);
  const { most, value, mean, sum } = compared;
  if (sum < FILLED_BYTES) return keep("Size", `all shards together hold ${mebibytes(sum)}`);
  const found = `${most.shard} holds ${mebibytes(value)}, ${times(value / mean)} the mean of ${shards.length} shards`;
  if (value < STANDS_OUT * mean) return keep("Size", found);
  const keys = shards.reduce((total, shard) => total + (shard.keys ?? 0), 0);
  if (most.keys !== undefined && value * keys >= LARGE_KEYS * sum * Math.max(1, most.keys)) {
    const why = `its ${most.keys} keys are ${times((value * keys) / (sum * Math.max(1, most.keys)))} as large as the average`;
    return advise("Size", "Change", `${found}; ${why}, and a key is never divided: split the largest`, []);
  }
  const wanted = shardsFor(shards.length, value / mean);
  return wanted > shards.length
    ? advise("Size", "Raise", found, [["spec.sharding.shards", wanted]])
    : advise("Size", "Change", `${found}; there can be no more shards: give members more memory`, []);
}

/** So many that the fullest shard's part of the slots shrinks to what is the mean now. */
function shardsFor(shards: number, timesTheMean: number): number {
  return Math.min(MAX_SHARDS, Math.ceil(shards * timesTheMean));
}

interface Compared {
  readonly most: ShardLoad;
  readonly value: number;
  readonly mean: number;
  readonly sum: number;
}

/** The shard with most of something, beside the mean of all; the beginning of a sentence when some shard does not say. */
function compare(shards: readonly ShardLoad[], of: (shard: ShardLoad) => number | undefined): Compared | string {
  const silent = shards.find((shard) => of(shard) === undefined);
  if (silent !== undefined) return `${silent.shard} does not say`;
  const [most] = shards.toSorted((a, b) => (of(b) ?? 0) - (of(a) ?? 0));
  if (most === undefined) return "there is no shard that says";
  const sum = shards.reduce((total, shard) => total + (of(shard) ?? 0), 0);
  return { most, value: of(most) ?? 0, mean: sum / shards.length, sum };
}

function perSecond(operations: number): string {
  return `${Math.round(operations)} operations a second`;
}

function times(factor: number): string {
  return `${factor.toFixed(1)} times`;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
