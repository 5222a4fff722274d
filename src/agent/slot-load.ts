/** Measures what a shard holds and is asked for, while its leader serves: a shard or a slot that is busier than others shows by it. */
import { Gauge, type Registry } from "prom-client";
import type { SlotLoad } from "../api/engine-observation.ts";
import { type Clock, sleep } from "../clock.ts";
import { ActionError, type EngineDriver } from "./engine/driver.ts";

/** A look at a shard, and how busy it was since the look before. */
export interface ShardFigures extends Omit<SlotLoad, "operations"> {
  /** undefined after the first look, and after a restart of the server, which counts anew. */
  readonly operationsPerSecond: number | undefined;
}

/** What is measured, and where it is shown. */
export interface SlotMeterOptions {
  readonly driver: Pick<EngineDriver, "spec" | "measureSlots">;
  /** The epoch under which this member serves writes; undefined while it does not. */
  readonly servingEpoch: () => number | undefined;
  /** Whether the member is one of a shard. */
  readonly isOfShard: () => boolean;
  /** Shows the figures; undefined: there are none, as this member does not lead a shard. */
  readonly show: (figures: ShardFigures | undefined) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 10_000;

/** Measures every ten seconds until `signal` aborts; does nothing for an engine that declares no measureSlots. */
export async function measureSlots(options: SlotMeterOptions): Promise<void> {
  const { driver, servingEpoch, isOfShard, show, clock, signal } = options;
  if (driver.spec.actions.measureSlots === undefined) return;
  let before: Look | undefined;
  while (await sleep(clock, LOOK_EVERY_MS, signal)) {
    const now = servingEpoch() !== undefined && isOfShard() ? await look(driver, clock) : undefined;
    show(now === undefined ? undefined : figuresOf(now, before));
    before = now;
  }
}

interface Look {
  readonly atMs: number;
  readonly load: SlotLoad;
}

/** An engine that does not say has no figures; that the action failed is counted where all actions are. */
async function look(driver: SlotMeterOptions["driver"], clock: Clock): Promise<Look | undefined> {
  try {
    const load = await driver.measureSlots();
    return { atMs: clock.monotonicMs(), load };
  } catch (error) {
    if (error instanceof ActionError) return undefined;
    throw error;
  }
}

function figuresOf({ atMs, load: { operations, ...load } }: Look, before: Look | undefined): ShardFigures {
  const isComparable = before !== undefined && atMs > before.atMs && operations >= before.load.operations;
  const seconds = (atMs - (before?.atMs ?? atMs)) / 1000;
  return {
    ...load,
    operationsPerSecond: isComparable ? (operations - before.load.operations) / seconds : undefined,
  };
}

/** Instruments of a shard's leader. @returns what shows figures; what they lack has no series. */
export function shardMetrics(registry: Registry): SlotMeterOptions["show"] {
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name: `quorate_shard_${name}`, help, registers });
  const gauges = {
    operations: gauge(
      "operations_per_second",
      "Operations that the shard was asked for, a second, since the look before.",
    ),
    keys: gauge("keys", "Keys that the shard holds."),
    bytes: gauge("data_bytes", "Bytes that the shard's data takes."),
    slot: gauge("busiest_slot", "The slot that most operations of a short look were about."),
    share: gauge("busiest_slot_share", "Share of the operations of a short look that were about the busiest slot."),
  };
  const put = (instrument: Gauge, value: number | undefined): void => {
    if (value === undefined) instrument.remove();
    else instrument.set(value);
  };
  const show = (figures: ShardFigures | undefined): void => {
    const { busiest, sampled = 0 } = figures ?? {};
    put(gauges.operations, figures?.operationsPerSecond);
    put(gauges.keys, figures?.keys);
    put(gauges.bytes, figures?.bytes);
    put(gauges.slot, busiest?.slot);
    put(gauges.share, busiest === undefined || sampled === 0 ? undefined : busiest.operations / sampled);
  };
  show(undefined); // an instrument without labels begins at 0, which would be a figure
  return show;
}
