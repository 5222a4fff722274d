/** Runs the actions that a person asked this member for while it serves: backup, verify and repair. */
import type { Intent, TaskRequest } from "../api/agent-wire.ts";
import type { Clock } from "../clock.ts";
import { makeBackup } from "./backup/backup.ts";
import { openStore } from "./backup/open-store.ts";
import type { ActionContext } from "./engine/context.ts";
import { ActionError, type EngineDriver, IMPOSSIBLE } from "./engine/driver.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { OneShotOutcome } from "./one-shots.ts";
import { openOwnDriver } from "./own-driver.ts";
import type { AgentSettings } from "./settings.ts";

/** What a task needs of its member. */
export interface TaskOptions {
  readonly settings: AgentSettings;
  /** The intent that asked for it. */
  readonly intent: Intent;
  /** What actions are told of the other members now. */
  readonly context: Partial<ActionContext>;
  readonly clock: Clock;
  readonly metrics: Pick<AgentMetrics, "actionSeconds">;
  /** Ends it: it is not wanted any more. */
  readonly signal: AbortSignal;
}

/** Runs one task to its end. Never rejects: whatever goes wrong is the answer. */
export async function runTask(request: TaskRequest, options: TaskOptions): Promise<OneShotOutcome> {
  const { settings, metrics } = options;
  let driver: EngineDriver | undefined;
  try {
    driver = await openOwnDriver(settings, metrics);
    return { result: "Done", message: await carryOut(request, driver, options) };
  } catch (error) {
    if (options.signal.aborted) return { result: "Failed", message: `${request.action} is not wanted any more` };
    return { result: "Failed", message: error instanceof ActionError ? error.detail : textOf(error) };
  } finally {
    driver?.closeSessions();
  }
}

async function carryOut(request: TaskRequest, driver: EngineDriver, options: TaskOptions): Promise<string> {
  const { context, signal } = options;
  switch (request.action) {
    case "backup":
      return backUp(request, driver, options);
    case "verify": {
      const { checked, damage } = await driver.verify(context, signal);
      if (damage.length === 0) return `no damage in ${checked}`;
      throw new Error(`damage in ${checked}: ${damage.join(", ")}`);
    }
    case "repair":
      try {
        await driver.run("repair", context, signal);
      } catch (error) {
        if (!(error instanceof ActionError) || error.code !== IMPOSSIBLE) throw error;
        throw new Error(`${error.detail}; rebuild the member from another`, { cause: error });
      }
      return "nothing is left to repair";
    default:
      return request.action satisfies never;
  }
}

async function backUp({ path = "" }: TaskRequest, driver: EngineDriver, options: TaskOptions): Promise<string> {
  const { intent, settings, context, clock, signal } = options;
  const { store } = intent;
  if (store === undefined) throw new Error("spec.backup does not say where backups go");
  const catalogue = await openStore(store, settings.QUORATE_STORE_DIR);
  const { engine, keep } = store;
  const { record, dropped, pruneError } = await makeBackup(driver, catalogue, {
    ...{ path, engine, keep, context, signal },
    nowMs: () => clock.now().getTime(),
  });
  const kept = `${settings.QUORATE_MEMBER} kept ${record.bytes} bytes in s3://${[store.bucket, store.prefix, path].filter((part) => part !== "").join("/")}`;
  if (pruneError !== undefined) return `${kept}; older ones could not be deleted: ${pruneError}`;
  return dropped.length === 0 ? kept : `${kept}; ${dropped.length} older ones were deleted`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
