/**
 * The agent: one per member, child of quorate-init in the engine's container.
 *
 * `agent install FOLDER` copies the folder that holds it, the whole runtime, into a volume (init container); `agent run` is the agent itself,
 * or the one that was taken in its place since the pod began, which is started as `agent run HASH`;
 * `agent wait SECONDS` waits for a random time up to that and ends (init container of topology Stateless, which has no agent).
 */
import { setTimeout as pause } from "node:timers/promises";
import { copyRuntime } from "./agent/install.ts";

async function waitUpTo(seconds: number): Promise<void> {
  process.on("SIGTERM", () => process.exit(0)); // the first process of a container ignores what it does not ask for
  await pause(seconds * 1000 * Math.random());
}

const [command, argument] = process.argv.slice(2);
if (command === "install" && argument !== undefined) await copyRuntime(import.meta.dirname, argument);
else if (command === "wait" && Number(argument) >= 0) await waitUpTo(Number(argument));
else if (command === "run") {
  const { launchChosen } = await import("./agent/replacement/launch.ts");
  const runDir = process.env["QUORATE_RUN_DIR"] ?? "/run";
  if (argument !== undefined || !(await launchChosen(runDir, (code) => process.exit(code)))) {
    // What it consists of takes a third of a second of processor time to load: not where files are copied only.
    await import("./agent/schemas-as-written.ts");
    const { runAgent } = await import("./agent/run.ts");
    await runAgent();
  }
} else {
  process.stderr.write("usage: agent install FOLDER | agent wait SECONDS | agent run\n");
  process.exitCode = 2;
}
