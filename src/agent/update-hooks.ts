/** Runs the Engine's hooks around an update: on the leader, in the office that it was asked in, with the Engine as it is now. */
import type { HookRequest } from "../api/agent-wire.ts";
import { type Clock, sleep } from "../clock.ts";
import { ActionError } from "./engine/driver.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { OneShotOutcome } from "./one-shots.ts";
import { openOwnDriver } from "./own-driver.ts";
import type { AgentSettings } from "./settings.ts";

/** What a hook needs of its member. */
export interface HookOptions {
  readonly settings: AgentSettings;
  /** The epoch under which this member serves writes; undefined while it does not. */
  readonly servingEpoch: () => number | undefined;
  readonly clock: Clock;
  readonly metrics: Pick<AgentMetrics, "actionSeconds">;
}

/** Exit code by which a hook says no; see the Engine contract. */
const NO = 3;
/** How long an agent that has just started may take to lead again. */
const OFFICE_WAIT_MS = 15_000;
const LOOK_EVERY_MS = 250;

/**
 * Runs one hook to its end. Never rejects: whatever goes wrong is the answer.
 *
 * A leader that loses its office kills the program.
 */
export async function runHook(request: HookRequest, options: HookOptions): Promise<OneShotOutcome> {
  const { settings, servingEpoch, clock, metrics } = options;
  const { action, epoch } = request;
  const startMs = clock.monotonicMs();
  while (servingEpoch() === undefined && clock.monotonicMs() - startMs < OFFICE_WAIT_MS)
    await sleep(clock, LOOK_EVERY_MS);
  const own = servingEpoch();
  if (own !== epoch) {
    const instead = own === undefined ? "it does not lead" : `it leads in epoch ${own}`;
    return { result: "Failed", message: `${action} was asked for in epoch ${epoch}, and ${instead}` };
  }
  const office = new AbortController();
  const over = new AbortController();
  const watching = watchOffice({ ...options, epoch, office, over: over.signal });
  try {
    const driver = await openOwnDriver(settings, metrics);
    await driver.run(action, contextOf(request), office.signal).finally(() => driver.closeSessions());
    return { result: "Done", message: `${action} succeeded` };
  } catch (error) {
    if (office.signal.aborted) return { result: "Failed", message: "leadership passed on while it ran" };
    if (error instanceof ActionError)
      return { result: error.code === NO ? "Refused" : "Failed", message: error.detail };
    return { result: "Failed", message: error instanceof Error ? error.message : String(error) };
  } finally {
    over.abort();
    await watching;
  }
}

interface Watch extends Pick<HookOptions, "servingEpoch" | "clock"> {
  readonly epoch: number;
  readonly office: AbortController;
  readonly over: AbortSignal;
}

/** Aborts `office` as soon as the member does not serve in it any more. */
async function watchOffice({ servingEpoch, clock, epoch, office, over }: Watch): Promise<void> {
  while (await sleep(clock, LOOK_EVERY_MS, over)) if (servingEpoch() !== epoch) office.abort();
}

function contextOf(request: HookRequest): Record<`QUORATE_${string}`, string> {
  return {
    QUORATE_EPOCH: String(request.epoch),
    QUORATE_UPDATE_ID: request.update,
    QUORATE_FROM_VERSION: request.fromVersion,
    QUORATE_FROM_REVISION: request.fromRevision,
    QUORATE_TO_VERSION: request.toVersion,
    QUORATE_TO_REVISION: request.toRevision,
    QUORATE_CONSENT: String(request.consent),
  };
}
