/** The faults that demo, tests and benchmarks inject, by name. Each tells when it took effect. */
import { nameOf } from "../../src/api/names.ts";
import { kubectl, lab, type PodProcess, podProcesses } from "./lab.ts";
import { apply } from "./lab.ts";

/** A cluster under test. */
export interface Target {
  readonly namespace: string;
  readonly cluster: string;
}

/** What was broken, and how to mend it. */
export interface Injected {
  readonly atMs: number;
  readonly description: string;
  readonly heal: () => Promise<void>;
}

/** Names of the faults; the figures use the same words. */
export const FAULTS = [
  "engine-kill",
  "container-kill",
  "pod-delete",
  "node-cut",
  "switchover",
  "drain",
  "agent-pause",
  "engine-pause",
  "both-pause",
] as const;
export type Fault = (typeof FAULTS)[number];

const nothing = (): Promise<void> => Promise.resolve();

/** Member that leads now, by the pods' labels. */
export async function leaderPod({
  namespace,
  cluster,
}: Target): Promise<{ pod: string; node: string; member: string }> {
  const line = await kubectl(
    ...["-n", namespace, "get", "pods", "-l", `quorate.io/cluster=${cluster},quorate.io/role=leader`],
    ...[
      "-o",
      'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.metadata.labels.quorate\\.io/member}{"\\n"}{end}',
    ],
  );
  const leaders = line
    .trim()
    .split("\n")
    .filter((one) => one !== "");
  const [pod = "", node = "", member = ""] = (leaders.at(-1) ?? "").split(" ");
  if (pod === "") throw new Error(`${cluster} has no leader`);
  return { pod, node, member };
}

/** The engine's own processes: neither init nor the agent nor what the agent runs. */
function isEngine(process: PodProcess): boolean {
  return !/quorate-init|agent\.mjs|ld-linux|psql/.test(process.command);
}

function isAgent(process: PodProcess): boolean {
  return process.command.includes("agent.mjs") && !process.command.includes("quorate-init");
}

/** Injects one fault into the current leader. */
export async function inject(fault: Fault, target: Target): Promise<Injected> {
  const { pod, node, member } = await leaderPod(target);
  const { namespace } = target;
  const signal = async (
    verb: "kill" | "pause" | "resume",
    which: (process: PodProcess) => boolean,
  ): Promise<number> => {
    const pids = (await podProcesses(namespace, pod)).filter(which).map((process) => String(process.pid));
    const atMs = Date.now();
    await lab(verb, ...pids);
    return atMs;
  };
  const paused = async (which: (process: PodProcess) => boolean, description: string): Promise<Injected> => {
    const atMs = await signal("pause", which);
    return { atMs, description, heal: async () => void (await signal("resume", which)) };
  };
  switch (fault) {
    case "engine-kill": {
      const [main] = (await podProcesses(namespace, pod)).filter(isEngine);
      const atMs = Date.now();
      await lab("kill", String(main?.pid));
      return { atMs, description: `kill -9 of ${member}'s engine`, heal: nothing };
    }
    case "container-kill": {
      const atMs = await signal("kill", (process) => process.command.includes("quorate-init"));
      return { atMs, description: `kill -9 of all of ${member}'s container`, heal: nothing };
    }
    case "pod-delete": {
      const atMs = Date.now();
      await kubectl("-n", namespace, "delete", "pod", pod, "--force", "--grace-period=0", "--wait=false");
      return { atMs, description: `${member}'s pod deleted by force`, heal: nothing };
    }
    case "node-cut": {
      const atMs = Date.now();
      await lab("cut", node, "all");
      return {
        atMs,
        description: `${member}'s node ${node} cut off`,
        heal: async () => void (await lab("heal", node)),
      };
    }
    case "switchover": {
      const atMs = Date.now();
      await apply(JSON.stringify(switchoverOf(target)));
      return { atMs, description: `switchover away from ${member}`, heal: nothing };
    }
    case "drain": {
      const atMs = Date.now();
      await kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s");
      return {
        atMs,
        description: `${member}'s node ${node} drained`,
        heal: async () => void (await kubectl("uncordon", node)),
      };
    }
    case "agent-pause":
      return paused(isAgent, `${member}'s agent stopped (SIGSTOP)`);
    case "engine-pause":
      return paused(isEngine, `${member}'s engine stopped (SIGSTOP)`);
    case "both-pause":
      return paused(
        (process) => isAgent(process) || isEngine(process),
        `${member}'s agent and engine stopped (SIGSTOP)`,
      );
    default:
      return fault satisfies never;
  }
}

function switchoverOf({ namespace, cluster }: Target): object {
  return {
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterOperation",
    metadata: { name: `switchover-${Date.now()}`, namespace },
    spec: { clusterName: cluster, type: "Switchover" },
  };
}

/** Address clients write to. */
export function writeHost({ namespace, cluster }: Target): string {
  return `${nameOf.readWrite(cluster)}.${namespace}.svc.cluster.local`;
}
