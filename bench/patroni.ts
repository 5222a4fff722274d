/** The peer: Patroni with its Kubernetes DCS, three members, volumes kept, fsync on, quorum commit. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { apply, kubectl, lab } from "../hack/scenario/lab.ts";
import { until } from "../hack/scenario/shell.ts";
import { type LeaderPod, podBySelector, type Subject } from "../hack/scenario/subject.ts";

/** Its timings, in seconds. */
export interface PatroniTimings {
  readonly ttl: number;
  readonly loopWait: number;
  readonly retryTimeout: number;
}

/** Installs one Patroni cluster in a namespace of its own. */
export async function patroniSubject(
  namespace: string,
  timings: PatroniTimings,
): Promise<{ subject: Subject; remove: () => Promise<void> }> {
  await lab("images", "patroni");
  await kubectl("create", "namespace", namespace).catch(() => undefined);
  const manifest = await readFile(join(import.meta.dirname, "patroni.yaml"), "utf8");
  await apply(
    manifest
      .replaceAll("@NAMESPACE@", namespace)
      .replaceAll("@TTL@", String(timings.ttl))
      .replaceAll("@LOOP_WAIT@", String(timings.loopWait))
      .replaceAll("@RETRY_TIMEOUT@", String(timings.retryTimeout)),
  );
  const leader = (): Promise<LeaderPod> =>
    until("a Patroni leader", 60_000, () => podBySelector(namespace, "application=patroni,role in (primary,master)"));
  const patronictl = (pod: string, ...args: readonly string[]): Promise<string> =>
    kubectl("-n", namespace, "exec", pod, "--", "patronictl", "-c", "/conf/patroni.yml", ...args);
  const subject: Subject = {
    name: "patroni",
    writer: {
      namespace,
      host: `demo.${namespace}.svc.cluster.local`,
      user: "postgres",
      database: "postgres",
      secret: { name: "patroni", key: "password" },
    },
    leader,
    switchover: async () => {
      const { pod } = await leader();
      await patronictl(pod, "switchover", "demo", "--primary", pod, "--force");
    },
    untilHealthy: async (timeoutMs) => {
      await until("three streaming Patroni members", timeoutMs, async () => {
        const { pod } = await leader();
        const members = JSON.parse(await patronictl(pod, "list", "-f", "json")) as { State: string; Role: string }[];
        const isRunning = members.every(({ State }) => State === "running" || State === "streaming");
        // Who is not in the quorum yet may not take over: a leader drained before that takes the writes with it.
        const standbys = members.filter(({ Role }) => Role === "Quorum Standby").length;
        return isRunning && standbys === 2 ? true : undefined;
      });
    },
    isEngine: (process) => process.command.includes("postgres") && !process.command.includes("patroni"),
    isAgent: (process) => process.command.includes("patroni"),
    isFirstProcess: (process) => process.command.includes("patroni"),
    drainedPods: "application=patroni",
  };
  return { subject, remove: async () => void (await kubectl("delete", "namespace", namespace)) };
}
