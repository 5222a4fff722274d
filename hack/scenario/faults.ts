/** The faults that demo, tests and benchmarks inject, by name. Each tells when it took effect. */
import { kubectl, lab, type PodProcess, podProcesses } from "./lab.ts";
import type { FaultSubject } from "./subject.ts";

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
  "init-pause",
  "cut-api",
  "cut-peers",
  "cut-bridge",
  "cut-in",
  "cut-out",
  "slow-network",
  "slow-disk",
  "kubelet-stop",
] as const;
export type Fault = (typeof FAULTS)[number];

const nothing = (): Promise<void> => Promise.resolve();

/** Injects one fault into the current leader. */
export async function inject(fault: Fault, subject: FaultSubject): Promise<Injected> {
  const { pod, node, member } = await subject.leader();
  const { namespace } = subject.writer;
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
  /** Two commands of the lab: the one that breaks, and the one that mends. */
  const during = async (begin: readonly string[], end: readonly string[], description: string): Promise<Injected> => {
    const atMs = Date.now();
    await lab(...begin);
    return { atMs, description, heal: async () => void (await lab(...end)) };
  };
  const cut = (mode: "all" | "api" | "peers" | "bridge" | "in" | "out", description: string): Promise<Injected> =>
    during(["cut", node, mode], ["heal", node], description);
  switch (fault) {
    case "engine-kill": {
      const [main] = (await podProcesses(namespace, pod)).filter(subject.isEngine);
      const atMs = Date.now();
      await lab("kill", String(main?.pid));
      return { atMs, description: `kill -9 of ${member}'s engine`, heal: nothing };
    }
    case "container-kill": {
      const atMs = await signal("kill", subject.isFirstProcess);
      return { atMs, description: `kill -9 of all of ${member}'s container`, heal: nothing };
    }
    case "pod-delete": {
      const atMs = Date.now();
      await kubectl("-n", namespace, "delete", "pod", pod, "--force", "--grace-period=0", "--wait=false");
      return { atMs, description: `${member}'s pod deleted by force`, heal: nothing };
    }
    case "node-cut":
      return cut("all", `${member}'s node ${node} cut off`);
    case "cut-api":
      return cut("api", `${member}'s node ${node} cut off from the API server`);
    case "cut-peers":
      return cut("peers", `${member}'s node ${node} cut off from all other nodes`);
    case "cut-bridge":
      return cut("bridge", `${member}'s node ${node} and one other do not reach each other`);
    case "cut-in":
      return cut("in", `nothing reaches ${member}'s node ${node}`);
    case "cut-out":
      return cut("out", `nothing leaves ${member}'s node ${node}`);
    case "slow-network":
      return during(
        ["network", "slow", node],
        ["network", "fast", node],
        `the network of ${member}'s node ${node} slow`,
      );
    case "slow-disk":
      return during(["disk", "slow", namespace, pod], ["disk", "fast", namespace, pod], `${member}'s disk slow`);
    case "kubelet-stop":
      return during(
        ["kubelet", "stop", node],
        ["kubelet", "start", node],
        `the kubelet of ${member}'s node ${node} stopped`,
      );
    case "switchover": {
      const atMs = Date.now();
      await subject.switchover();
      return { atMs, description: `switchover away from ${member}`, heal: nothing };
    }
    case "drain": {
      const atMs = Date.now();
      const only = subject.drainedPods === undefined ? [] : [`--pod-selector=${subject.drainedPods}`];
      await kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s", ...only);
      return {
        atMs,
        description: `${member}'s node ${node} drained`,
        heal: async () => void (await kubectl("uncordon", node)),
      };
    }
    case "agent-pause":
      return paused(subject.isAgent, `${member}'s agent stopped (SIGSTOP)`);
    case "engine-pause":
      return paused(subject.isEngine, `${member}'s engine stopped (SIGSTOP)`);
    case "both-pause":
      return paused(
        (process) => subject.isAgent(process) || subject.isEngine(process),
        `${member}'s agent and engine stopped (SIGSTOP)`,
      );
    case "init-pause":
      return paused(subject.isFirstProcess, `${member}'s init stopped (SIGSTOP)`);
    default:
      return fault satisfies never;
  }
}
