/** Whether passwords stay where they are. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { demand } from "./check.ts";
import type { HostCluster } from "./host-cluster.ts";

/** How often command lines are looked at: a program that is told a password there lives for some of these. */
const LOOK_MS = 20;

/** Demands that no password is on a command line now, or was printed by an engine. */
export function demandSecrecy(cluster: HostCluster): void {
  demand(!isOnCommandLine(cluster), "start or an action: a password is on the command line of a running process");
  const chatty = cluster.members.find((member) => shows(cluster, member.log));
  demand(chatty === undefined, "start: the engine prints a password");
}

/** The same for as long as `work` runs, so that programs of which actions are made are seen as well. */
export async function demandSecrecyDuring(cluster: HostCluster, work: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  const watching = untilOnCommandLine(cluster, over.signal);
  try {
    await work();
  } finally {
    over.abort();
  }
  demand(!(await watching), "start or an action: a password is on the command line of a running process");
  demandSecrecy(cluster);
}

async function untilOnCommandLine(cluster: HostCluster, over: AbortSignal): Promise<boolean> {
  while (!over.aborted) {
    if (isOnCommandLine(cluster)) return true;
    await pause(LOOK_MS);
  }
  return false;
}

function shows(cluster: HostCluster, text: string): boolean {
  return Object.values(cluster.software.passwords).some((password) => text.includes(password));
}

function isOnCommandLine(cluster: HostCluster): boolean {
  return readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && shows(cluster, commandLineOf(pid)));
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // ended meanwhile
  }
}
