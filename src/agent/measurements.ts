/** What is measured of every engine for as long as its member runs. */
import type { Clock } from "../clock.ts";
import type { EngineDriver } from "./engine/driver.ts";
import type { AgentMetrics } from "./metrics.ts";
import { countRequests } from "./requests.ts";
import { probeWrites } from "./write-probe.ts";

/** What is measured, and where it is shown. */
export interface MeasurementOptions {
  readonly driver: EngineDriver;
  /** The epoch under which this member serves writes; undefined while it does not. */
  readonly servingEpoch: () => number | undefined;
  readonly isEngineUp: () => boolean;
  readonly metrics: AgentMetrics;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The measurements, each until `signal` aborts. */
export function measureEngine(options: MeasurementOptions): readonly Promise<void>[] {
  return [probeWrites(options), countRequests({ ...options, registry: options.metrics.registry })];
}
