/** A database cluster under test, ours or a peer's, in the words that faults and measurements need. */
import { ClusterSpec } from "../../src/api/cluster-spec.ts";
import { nameOf } from "../../src/api/names.ts";
import { apply, kubectl, lab, type PodProcess } from "./lab.ts";
import { until } from "./shell.ts";
import type { WriterOptions } from "./writer-run.ts";

/** The pod that leads. */
export interface LeaderPod {
  readonly pod: string;
  readonly node: string;
  readonly member: string;
}

/** One cluster under test. */
export interface Subject {
  readonly name: string;
  /** How a client reaches it. */
  readonly writer: Omit<WriterOptions, "name" | "seconds" | "onTick">;
  readonly leader: () => Promise<LeaderPod>;
  /** Asks for a planned change of leader. */
  readonly switchover: () => Promise<void>;
  /** Waits until all members are in place again. */
  readonly untilHealthy: (timeoutMs: number) => Promise<void>;
  readonly isEngine: (process: PodProcess) => boolean;
  readonly isAgent: (process: PodProcess) => boolean;
  /** The container's first process: with it, all others end. */
  readonly isFirstProcess: (process: PodProcess) => boolean;
  /** Which pods a drain of the leader's node evicts, as a label selector; absent: all. For subjects that share nodes. */
  readonly drainedPods?: string;
}

/** What a fault needs to know of a cluster: of its clients only where they are. */
export interface FaultSubject extends Omit<Subject, "writer"> {
  readonly writer: Pick<Subject["writer"], "namespace">;
}

/** The pods that match a selector and have a node. */
export async function podsBySelector(namespace: string, selector: string): Promise<LeaderPod[]> {
  const columns =
    '{range .items[*]}{.metadata.name} {.spec.nodeName} {.metadata.labels.quorate\\.io/member}{"\\n"}{end}';
  const text = await kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", `jsonpath=${columns}`);
  return text.split("\n").flatMap((line) => {
    const [pod = "", node = "", member = ""] = line.split(" ");
    return node === "" ? [] : [{ pod, node, member: member === "" ? pod : member }];
  });
}

/** The last of the pods that match a selector. */
export async function podBySelector(namespace: string, selector: string): Promise<LeaderPod | undefined> {
  return (await podsBySelector(namespace, selector)).at(-1);
}

/** Reads a ClusterSpec. @returns undefined when there is none. */
export async function readCluster(namespace: string, cluster: string): Promise<ClusterSpec | undefined> {
  const json = await kubectl("-n", namespace, "get", "qcs", cluster, "-o", "json", "--ignore-not-found");
  return json === "" ? undefined : ClusterSpec.parse(JSON.parse(json));
}

/** A cluster of ours. */
export function quorateSubject(namespace: string, cluster: string): Subject {
  const leader = (): Promise<LeaderPod> =>
    until("a leader", 30_000, () => podBySelector(namespace, `quorate.io/cluster=${cluster},quorate.io/role=leader`));
  return {
    name: "quorate",
    writer: {
      namespace,
      host: `${nameOf.readWrite(cluster)}.${namespace}.svc.cluster.local`,
      user: "app",
      database: "app",
      secret: { name: nameOf.credentialsSecret(cluster), key: "app" },
    },
    leader,
    switchover: async () => {
      await apply(
        JSON.stringify({
          apiVersion: "quorate.io/v1alpha1",
          kind: "ClusterOperation",
          metadata: { name: `switchover-${Date.now()}`, namespace },
          spec: { clusterName: cluster, type: "Switchover" },
        }),
      );
    },
    untilHealthy: async (timeoutMs) => {
      await until(`${cluster} to be whole again`, timeoutMs, async () => {
        const { spec, status } = (await readCluster(namespace, cluster)) ?? {};
        const whole =
          status?.readyMembers === spec?.members && status?.members?.every((one) => one.state === "Running");
        const leaders = status?.members?.filter((one) => one.role === "Leader").length;
        return whole === true && leaders === 1 ? true : undefined;
      });
    },
    isEngine: (process) => !/quorate-init|agent\.mjs|ld-linux|psql/.test(process.command),
    isAgent: (process) => process.command.includes("agent.mjs") && !process.command.includes("quorate-init"),
    isFirstProcess: (process) => process.command.includes("quorate-init"),
  };
}

/** Whether the pod's server runs writable: a follower has no WAL writer. Seen from outside, whatever is cut. */
export async function isWritable(namespace: string, pod: string): Promise<boolean> {
  return /postgres:.*walwriter/.test(await lab("pod-pids", namespace, pod));
}
