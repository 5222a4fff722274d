/** What to look at first when a cluster is in trouble. */
import { type Check, fail, pass, unknown, type Verdict, warn } from "./checklist.ts";
import type { Facts } from "./facts.ts";

const MANY_RESTARTS = 3;

/** In the order in which one would ask. */
export const INCIDENT: readonly Check[] = [
  {
    id: "serves-writes",
    title: "There is a leader",
    judge: ({ cluster }) => {
      const leader = cluster.status?.leader ?? "";
      return leader === ""
        ? fail(
            "nobody leads: writes wait",
            "docs/failover.md; members elect a leader by themselves while a majority is up",
          )
        : pass(leader);
    },
  },
  {
    id: "has-majority",
    title: "A majority of members is ready",
    judge: ({ cluster }) => {
      const ready = cluster.status?.readyMembers ?? 0;
      const { members } = cluster.spec;
      const needed = Math.floor(members / 2) + 1;
      return ready >= needed
        ? pass(`${ready}/${members}`)
        : fail(`${ready} of ${members}, ${needed} are needed`, "kubectl get pods -l quorate.io/cluster");
    },
  },
  {
    id: "operator-works",
    title: "The operator works",
    judge: ({ operator, cluster }) => {
      if (operator === undefined) return unknown("Deployments of the operator's namespace cannot be read");
      if (operator === null || operator.available === 0)
        return fail("no replica is available", "kubectl -n quorate-system get pods; members fail over without it");
      const isBehind = cluster.status?.observedGeneration !== cluster.metadata.generation;
      return isBehind
        ? warn(
            "it has not dealt with the newest spec",
            `kubectl -n ${operator.namespace} logs deployment/quorate-operator`,
          )
        : pass("it has dealt with the newest spec");
    },
  },
  { id: "nodes-up", title: "The members' nodes are up", judge: nodesUp },
  {
    id: "no-crash-loop",
    title: "No member restarts again and again",
    judge: ({ pods }) => {
      if (pods === undefined) return unknown("pods cannot be read");
      const many = pods.filter(({ restarts }) => restarts > MANY_RESTARTS);
      return many.length === 0
        ? pass("none")
        : fail(many.map(({ name, restarts }) => `${name}: ${restarts} restarts`).join(", "), "kubectl quorate logs");
    },
  },
  {
    id: "replication",
    title: "Followers keep up",
    judge: ({ cluster }) => {
      const behind = (cluster.status?.members ?? []).filter(
        ({ role, lag }) => role === "Follower" && lag !== "0" && lag !== "<1Mi",
      );
      return behind.length === 0
        ? pass("all within 1 MiB")
        : warn(
            behind.map(({ name, lag }) => `${name}: ${lag ?? "unknown"}`).join(", "),
            "look at their disks and networks; they leave -ro by themselves",
          );
    },
  },
  {
    id: "change-going-on",
    title: "No change is going on",
    judge: ({ cluster }) => {
      const change = cluster.status?.change ?? "";
      return change === ""
        ? pass("none")
        : warn(change, `kubectl quorate rollout abort ${cluster.metadata.name}, if it is the cause`);
    },
  },
  {
    id: "held-back",
    title: "Nothing is held back",
    judge: ({ cluster }) => {
      const [block] = cluster.status?.blocked ?? [];
      return block === undefined
        ? pass("no guard")
        : warn(`${block.guard}: ${block.message}`, block.override ?? `kubectl quorate why ${cluster.metadata.name}`);
    },
  },
];

function nodesUp({ nodes, pods }: Facts): Verdict {
  if (nodes === undefined || pods === undefined) return unknown("Nodes or pods cannot be read");
  const down = pods.filter(({ node }) => nodes.some(({ name, isReady }) => name === node && !isReady));
  return down.length === 0
    ? pass("all")
    : fail(
        down.map(({ name, node }) => `${name} on ${node ?? ""}`).join(", "),
        "kubectl get nodes; a node that is certainly off may be tainted out-of-service",
      );
}
