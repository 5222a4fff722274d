// kubectl quorate wait: for pipelines that go on when a cluster is as it was asked to be.
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { clusterProgress, progressLine } from "../progress.ts";
import { settledness } from "../settled.ts";
import { openLiveLine } from "./live-line.ts";
import { seconds } from "./operation.ts";
import { EXIT, inSession, readCluster, type Session } from "./session.ts";

const POLL_MS = 500;
const DEFAULT_SECONDS = 900; // three members that clone from nothing, and a canary that bakes

/** Adds the command. */
export function addWait(program: Command): void {
  program
    .command("wait")
    .argument("<name>", "ClusterSpec")
    .option("--timeout <seconds>", "how long to wait", seconds, DEFAULT_SECONDS)
    .description(
      "Wait until a cluster is ready for what was applied last. Exits with 2, and says why, as soon as waiting is in vain.",
    )
    .action((name: string, { timeout }: { readonly timeout: number }, command: Command) =>
      inSession(command, (session) => waitFor(session, name, timeout)),
    );
}

async function waitFor(session: Session, name: string, timeoutSeconds: number): Promise<void> {
  const { palette, print, signal } = session;
  const startMs = performance.now();
  const limitMs = timeoutSeconds * 1000;
  const line = openLiveLine(process.stdout);
  const result = (text: string): void => {
    line.end();
    print([text]);
  };
  try {
    while (!signal.aborted) {
      const cluster = await readCluster(session, name);
      const { state, message } = settledness(cluster);
      const elapsedMs = performance.now() - startMs;
      if (state === "Ready") return result(`${palette.green("Ready")} ${message}`);
      if (state === "Failed" || elapsedMs >= limitMs) {
        process.exitCode = EXIT.no;
        const why = state === "Failed" ? "Failed" : `Not ready within ${timeoutSeconds} s:`;
        return result(`${palette.red(why)} ${message}`);
      }
      const progress = progressLine(clusterProgress(cluster), { elapsedMs, limitMs }, palette);
      line.tell(`${palette.dim("Waiting")} ${message}`, progress);
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined); // aborted: the loop ends
    }
  } finally {
    line.end();
  }
}
