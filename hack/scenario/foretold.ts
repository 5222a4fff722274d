/** What `kubectl quorate plan` says of a change beforehand, in the words in which it can be compared with what then happens. */
import { join } from "node:path";
import type { Forecast } from "../../src/forecast/forecast.ts";
import { KUBECONFIG, kubectl } from "./lab.ts";
import { run } from "./shell.ts";

const PLUGIN = join(import.meta.dirname, "../../dist/kubectl-quorate.mjs");

/** Pods that are replaced, in their order, and how often leadership passes. */
export interface Course {
  readonly replaced: readonly string[];
  readonly leaderChanges: number;
}

/** What is foretold for a JSON merge patch of `.spec`, which is not made; undefined when something would hold it back. */
export async function foretell(namespace: string, cluster: string, spec: object): Promise<Course | undefined> {
  const patch = ["--type=merge", "-p", JSON.stringify({ spec }), "--dry-run=server", "-o", "json"];
  const edited = await kubectl("-n", namespace, "patch", "qcs", cluster, ...patch);
  const plan = ["--kubeconfig", KUBECONFIG, "-n", namespace, "plan", "-f", "-", "-o", "json"];
  // It ends with 2 when something would hold the change back.
  const command = ["/bin/sh", "-c", '"$@" || [ $? -eq 2 ]', "sh", process.execPath, PLUGIN, ...plan];
  const { events, blocked } = JSON.parse(await run(command, { input: edited })) as Forecast;
  if (blocked.length > 0) return undefined;
  return {
    replaced: events.filter(({ kind }) => kind === "ReplacePod").map(({ object }) => object),
    leaderChanges: events.filter(({ gap }) => gap === "HandOver").length,
  };
}

/** Members whose pods are others than `before`, the longest replaced first. @param before - What `podsOf` said then. */
export async function replacedSince(before: readonly Born[], namespace: string, cluster: string): Promise<string[]> {
  const known = new Set(before.map(({ uid }) => uid));
  const now = await podsOf(namespace, cluster);
  return now.filter(({ uid }) => !known.has(uid)).map(({ member }) => member);
}

/** A member's pod. */
export interface Born {
  readonly member: string;
  readonly uid: string;
}

/** The pods of a cluster, the oldest first. */
export async function podsOf(namespace: string, cluster: string): Promise<Born[]> {
  const columns = "custom-columns=:.metadata.labels.quorate\\.io/member,:.metadata.uid";
  const which = ["-l", `quorate.io/cluster=${cluster}`, "--sort-by=.metadata.creationTimestamp"];
  const text = await kubectl("-n", namespace, "get", "pods", ...which, "--no-headers", "-o", columns);
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [member = "", uid = ""] = line.trim().split(/ +/);
      return { member, uid };
    });
}
