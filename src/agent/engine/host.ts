/** Init's client in the words of engine control. */
import { randomUUID } from "node:crypto";
import { constants } from "node:os";
import type { InitClient } from "../init-client.ts";
import type { EngineHost } from "./control.ts";

/** The engine's processes as init holds them. */
export function engineHost(init: InitClient): EngineHost {
  return {
    start: async (argv, env) => {
      await init.start({ id: randomUUID(), argv, env });
    },
    stop: (signal, graceMs) => init.stop(constants.signals[signal as NodeJS.Signals], graceMs),
    kill: () => init.kill(),
  };
}
