/** An agent that runs one engine and keeps its fence away for as long as it lives: ten seconds after its end the engine is killed. */
import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { InitClient } from "../../src/agent/init-client.ts";
import { noteProof } from "../../src/agent/replacement/launch.ts";

const WINDOW_NS = 10_000_000_000n;

/** Says that it began, as `name`, and serves. Resolves once it was noted that it does. */
export async function serve(name: string): Promise<void> {
  const runDir = process.env["QUORATE_RUN_DIR"] ?? "";
  appendFileSync(`${runDir}/starts`, `${name}\n`);
  const init = InitClient.open();
  const { engine, deadlineNs } = await init.hello();
  const extend = async (): Promise<void> => init.fence((await init.nowNs()) + WINDOW_NS);
  await extend();
  if (engine === "stopped") await init.start({ id: "engine", argv: ["sleep", "1000"] });
  const serving = (async (): Promise<void> => {
    for (;;) {
      await pause(200);
      await extend();
    }
  })();
  serving.catch(() => process.exit(1));
  const isExtended = async (): Promise<boolean> => ((await init.hello()).deadlineNs ?? 0n) > (deadlineNs ?? 0n);
  noteProof(runDir, isExtended).catch(() => process.exit(1));
  await pause(150);
}
