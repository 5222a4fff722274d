/** Counts what clients ask of an engine that counts it itself: the share that fails is what they notice, where a probe only guesses. */
import { Counter, type Registry } from "prom-client";
import type { RequestCounts, RequestDurations } from "../api/engine-observation.ts";
import { type Clock, sleep } from "../clock.ts";
import { ActionError, type EngineDriver } from "./engine/driver.ts";
import { CountedHistogram } from "./counted-histogram.ts";

/** What is asked, and where it is counted. */
export interface RequestCountOptions {
  readonly driver: Pick<EngineDriver, "spec" | "countRequests">;
  readonly isEngineUp: () => boolean;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 10_000;

/**
 * Counts every ten seconds until `signal` aborts; an engine that declares no countRequests has no series.
 *
 * What the engine counted before the first look is not counted here: nobody knows when that was.
 */
export async function countRequests(options: RequestCountOptions): Promise<void> {
  const { driver, isEngineUp, registry, clock, signal } = options;
  if (driver.spec.actions.countRequests === undefined) return;
  const count = requestMetrics(registry);
  let before: RequestCounts = null;
  while (await sleep(clock, LOOK_EVERY_MS, signal)) {
    const now = isEngineUp() ? await look(driver) : undefined;
    if (now === undefined) continue; // what it counts meanwhile, the next look shows
    if (now !== null && before !== null) count(growth(before, now));
    before = now;
  }
}

type Counts = NonNullable<RequestCounts>;

/** @returns undefined for an engine that does not say; that the action failed is counted where all actions are. */
async function look(driver: RequestCountOptions["driver"]): Promise<RequestCounts | undefined> {
  try {
    return await driver.countRequests();
  } catch (error) {
    if (error instanceof ActionError) return undefined;
    throw error;
  }
}

/** What was counted in between; all of it when the engine was started anew and lost its counts. */
function growth(before: Counts, now: Counts): Counts {
  if (now.served < before.served || now.failed < before.failed) return now;
  const counts = { served: now.served - before.served, failed: now.failed - before.failed };
  // One that did not measure before begins with what it measured since whenever: nobody knows when that was.
  return now.took === undefined || before.took === undefined
    ? counts
    : { ...counts, took: slowed(before.took, now.took) };
}

function slowed(before: RequestDurations, now: RequestDurations): RequestDurations {
  if (now.requests < before.requests || now.seconds < before.seconds) return now;
  const within = Object.entries(now.within).map(([bound, count]) => [bound, count - (before.within[bound] ?? 0)]);
  return {
    seconds: now.seconds - before.seconds,
    requests: now.requests - before.requests,
    within: Object.fromEntries(within),
  };
}

/** The instruments, both series of what was asked at zero. @returns what adds to it. */
export function requestMetrics(registry: Registry): (counts: Counts) => void {
  const requests = new Counter({
    name: "quorate_member_requests_total",
    help: "Requests of clients, as the engine counts them: bad ones failed for a reason on its side. Absent for an engine that counts none.",
    labelNames: ["result"],
    registers: [registry],
  });
  const durations = new CountedHistogram(
    "quorate_member_request_seconds",
    "How long requests of clients took, as the engine measures it. Absent for an engine that does not.",
    registry,
  );
  const count = ({ served, failed, took }: Counts): void => {
    requests.inc({ result: "good" }, served);
    requests.inc({ result: "bad" }, failed);
    if (took !== undefined) durations.add(took);
  };
  count({ served: 0, failed: 0 });
  return count;
}
