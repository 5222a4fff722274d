/** The lab as scenarios use it: where its kubeconfig is, and its faults. */
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "./shell.ts";

const LAB = join(import.meta.dirname, "..", "lab", "lab");

/** Folder of the running lab. */
export const LAB_STATE = process.env["QUORATE_LAB"] ?? "/var/lib/quorate-lab";

/** Kubeconfig of the cluster that scenarios run on: the lab's, or the user's own. */
export const KUBECONFIG = process.env["KUBECONFIG"] ?? join(LAB_STATE, "admin.conf");

/** Address of the host that pods of the lab can reach; hack/lab/env.sh gives it. */
export const LAB_HOST = "10.88.0.1";

/** kubectl with the right kubeconfig. */
export const KUBECTL: readonly string[] = [
  join(process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate"), "bin/kubectl-v1.34.4"),
  `--kubeconfig=${KUBECONFIG}`,
];

/** One of the lab's own commands, such as `cut n1 all`. */
export function lab(...args: readonly string[]): Promise<string> {
  return run([LAB, ...args], { timeoutMs: 600_000 });
}

/** kubectl, to its end. */
export function kubectl(...args: readonly string[]): Promise<string> {
  return run([...KUBECTL, ...args]);
}

/** Applies a manifest by server-side apply. */
export function apply(manifest: string): Promise<string> {
  return run([...KUBECTL, "apply", "--server-side", "--force-conflicts", "-f", "-"], { input: manifest });
}

/** One process of a pod, seen from the host. */
export interface PodProcess {
  readonly pid: number;
  readonly command: string;
}

/** Processes of a pod's containers, its pause process left out. */
export async function podProcesses(namespace: string, pod: string): Promise<PodProcess[]> {
  const rows = (await lab("pod-pids", namespace, pod))
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  return rows
    .filter(([, , container]) => container !== "-")
    .map(([pid, , , command]) => ({ pid: Number(pid), command: command ?? "" }));
}
