// kubectl quorate wait: for pipelines that go on when a cluster is as it was asked to be.
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { settledness } from "../settled.ts";
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
  const endMs = performance.now() + timeoutSeconds * 1000;
  let said = "";
  while (!signal.aborted) {
    const { state, message } = settledness(await readCluster(session, name));
    if (state === "Ready") return print([`${palette.green("Ready")} ${message}`]);
    if (state === "Failed" || performance.now() >= endMs) {
      process.exitCode = EXIT.no;
      const why = state === "Failed" ? "Failed" : `Not ready within ${timeoutSeconds} s:`;
      return print([`${palette.red(why)} ${message}`]);
    }
    if (message !== said) print([`${palette.dim("Waiting")} ${message}`]);
    said = message;
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined); // aborted: the loop ends
  }
}
