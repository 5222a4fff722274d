/** The first data set of a cluster: an empty one, or one that is made of a backup. */
import type { Intent } from "../../api/agent-wire.ts";
import type { ActionContext } from "../engine/context.ts";
import type { EngineDriver } from "../engine/driver.ts";
import type { Teller } from "../teller.ts";
import { restoreBackup } from "./backup.ts";
import { openStore } from "./open-store.ts";

/** Makes the first data set, in an empty data folder (engine stopped). */
export type MakeFirstData = (
  driver: EngineDriver,
  context: Partial<ActionContext>,
  signal?: AbortSignal,
) => Promise<void>;

/** An empty one. */
export const emptyData: MakeFirstData = async (driver, context, signal) => {
  await driver.run("initialize", context, signal);
};

/** By what the intent says at the time; `folder` is where the keys to the store are. */
export function dataByIntent(intent: () => Intent | undefined, folder: string, tell: Teller): MakeFirstData {
  return async (driver, context, signal) => {
    const store = intent()?.store;
    const path = store?.restorePath;
    if (store === undefined || path === undefined) return emptyData(driver, context, signal);
    tell("info", "RestoreBegun", `The first data set is made of backup ${path}`);
    const order = { path, engine: store.engine, context, signal };
    try {
      const { bytes, startedAt } = await restoreBackup(driver, () => openStore(store, folder), order);
      tell("info", "Restored", `The cluster begins with backup ${path} of ${startedAt}, ${bytes} bytes`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      tell("warning", "RestoreFailed", `Backup ${path} could not be restored; it is tried again: ${why}`);
      throw error;
    }
  };
}
