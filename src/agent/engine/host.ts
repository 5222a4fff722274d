/** Init's client in the words of engine control. */
import { randomUUID } from "node:crypto";
import { constants } from "node:os";
import type { InitClient } from "../init-client.ts";
import type { EngineHost } from "./control.ts";

/** The engine's processes as init holds them. @param beforeStart - Resolves before the engine can read anything. */
export function engineHost(init: InitClient, beforeStart: () => Promise<void>): EngineHost {
  return {
    start: async (argv, env) => {
      await beforeStart();
      await init.start({ id: randomUUID(), argv, env });
    },
    stop: (signal, graceMs) => init.stop(constants.signals[signal as NodeJS.Signals], graceMs),
    kill: () => init.kill(),
  };
}
