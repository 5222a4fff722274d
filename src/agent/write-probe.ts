/** Measures availability where it counts: slices of time in which the leader did or did not get a probe write acknowledged. */
import { type Clock, sleep } from "../clock.ts";
import type { EngineDriver } from "./engine/driver.ts";
import type { AgentMetrics } from "./metrics.ts";

/** What is probed, and where it is counted. */
export interface WriteProbeOptions {
  readonly driver: EngineDriver;
  /** The epoch under which this member serves writes; undefined while it does not. */
  readonly servingEpoch: () => number | undefined;
  readonly metrics: AgentMetrics;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Length of a slice, without the probe itself. */
const SLICE_MS = 1000;

/** Probes once a slice until `signal` aborts; does nothing for an engine that declares no probe write. */
export async function probeWrites({ driver, servingEpoch, metrics, clock, signal }: WriteProbeOptions): Promise<void> {
  if (driver.spec.actions.probeWrite === undefined) return;
  while (await sleep(clock, SLICE_MS, signal)) {
    const epoch = servingEpoch();
    if (epoch === undefined) continue;
    const good = await driver.run("probeWrite", { QUORATE_EPOCH: String(epoch) }).then(
      () => true,
      () => false,
    );
    metrics.writeSlices.inc({ result: good ? "good" : "bad" });
  }
}
