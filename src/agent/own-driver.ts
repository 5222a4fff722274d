/** A driver for what runs beside the member's own work: hooks of an update, and tasks. */
import { actionContext, type AgentSettings, readEngine } from "./settings.ts";
import { EngineDriver } from "./engine/driver.ts";
import type { AgentMetrics } from "./metrics.ts";

/**
 * Makes one for a single action; whoever asked closes its sessions.
 *
 * The Engine is read anew, because the action may have been added since this agent started; sessions are its own, so that it holds up
 * no probe.
 * @throws {Error} that names the field of an Engine that cannot be read.
 */
export async function openOwnDriver(
  settings: AgentSettings,
  { actionSeconds }: Pick<AgentMetrics, "actionSeconds">,
): Promise<EngineDriver> {
  const engine = await readEngine(settings.QUORATE_ENGINE_DIR);
  return new EngineDriver(engine, actionContext(settings, engine), (action, seconds, ok) =>
    actionSeconds.observe({ action, result: ok ? "ok" : "error" }, seconds),
  );
}
