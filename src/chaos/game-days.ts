/** Scripted game days, one for each scenario that has a runbook: what to watch, what is done, what must come of it. Pure. */
import type { Topology } from "../api/topology.ts";
import type { ExperimentName } from "./experiments.ts";
import type { ExpectationId } from "./expectations.ts";

/** The names, which are those of the pages in docs/runbooks/scenarios. */
export const GAME_DAY_NAMES = [
  "control-plane-outage",
  "cold-start-burst",
  "split-brain-post-mortem",
  "cache-cost-and-latency",
  "rebalance-storm",
] as const;
export type GameDayName = (typeof GAME_DAY_NAMES)[number];

/** One step of a game day. */
export interface GameStep {
  readonly experiment: ExperimentName;
  readonly rounds: number;
  /** Why it is done, and what those who take part should see, as a sentence. */
  readonly watch: string;
  readonly expects: readonly ExpectationId[];
}

/** One game day. */
export interface GameDay {
  readonly name: GameDayName;
  readonly title: string;
  readonly topologies: readonly Topology[];
  /** Commands for the windows beside this one; NAME stands for the cluster, NAMESPACE for its namespace. */
  readonly beside: readonly string[];
  readonly steps: readonly GameStep[];
  /** What it leaves to people: it cannot be done or seen by way of the API server. */
  readonly notTried: string;
}

const TREE = "kubectl quorate -n NAMESPACE status NAME --watch";

/** All game days by name. */
export const GAME_DAYS: Readonly<Record<GameDayName, GameDay>> = {
  "control-plane-outage": {
    name: "control-plane-outage",
    title: "The control plane is away, and clusters serve on",
    topologies: ["ActivePassive", "Consensus"],
    beside: [TREE, "kubectl -n quorate-system get pods --watch"],
    steps: [
      {
        experiment: "kill-operator",
        rounds: 1,
        watch:
          "The operator is gone. Nothing of the cluster may change: the same leader, the same members, no gap in writes.",
        expects: ["leader-stays", "nobody-came-or-went", "budget-whole"],
      },
      {
        experiment: "kill-leader",
        rounds: 1,
        watch: "The leader is lost right after. Members elect by themselves, whether the new operator is up or not.",
        expects: ["epoch-grew", "one-leader-an-epoch", "others-follow", "budget-whole"],
      },
    ],
    notTried:
      "An API server that is away: stop one of yours, and the leader must stay. Everything else follows docs/runbooks/scenarios/control-plane-outage.md.",
  },
  "cold-start-burst": {
    name: "cold-start-burst",
    title: "All clients come at once, and servers are cold",
    topologies: ["Stateless"],
    beside: [TREE, "kubectl -n NAMESPACE get pods -l quorate.io/cluster=NAME --watch"],
    steps: [
      {
        experiment: "kill-member",
        rounds: 1,
        watch: "One server is lost. The others take its clients, and one that is cold comes in its place.",
        expects: ["half-serves", "only-the-taken-went"],
      },
      {
        experiment: "kill-half",
        rounds: 1,
        watch:
          "Half of the servers are lost at once. Those that come start jittered and cold: watch the latency of the others.",
        expects: ["half-serves", "only-the-taken-went", "budget-whole"],
      },
    ],
    notTried: "The clients' burst itself: run your load generator beside it.",
  },
  "split-brain-post-mortem": {
    name: "split-brain-post-mortem",
    title: "Who led when: a change of leader that can be told afterwards",
    topologies: ["ActivePassive"],
    beside: [
      TREE,
      "kubectl -n NAMESPACE get lease NAME --watch",
      "kubectl -n NAMESPACE get events --field-selector reason=LeaderChanged --watch",
    ],
    steps: [
      {
        experiment: "kill-leader",
        rounds: 1,
        watch:
          "The leader is lost without a word. Exactly one other may lead, in a higher epoch, and the old one follows when it is back.",
        expects: ["epoch-grew", "one-leader-an-epoch", "others-follow", "register-agrees", "change-was-told"],
      },
      {
        experiment: "switchover",
        rounds: 1,
        watch: "The leader hands over as planned. The record of who led when has no gap between the two.",
        expects: ["epoch-grew", "one-leader-an-epoch", "others-follow", "register-agrees", "change-was-told"],
      },
    ],
    notTried:
      "A leader that is cut off and does not know: freeze its pod or cut its node's network, and walk docs/runbooks/scenarios/split-brain-post-mortem.md.",
  },
  "cache-cost-and-latency": {
    name: "cache-cost-and-latency",
    title: "A cache whose copy takes over: is it warm, and what does it cost",
    topologies: ["ActivePassive"],
    beside: [TREE, "kubectl quorate -n NAMESPACE advise NAME --seconds 15"],
    steps: [
      {
        experiment: "kill-member",
        rounds: 1,
        watch: "A copy is lost and fills itself anew. The leader must not notice: the same latency, the same leader.",
        expects: ["leader-stays", "only-the-taken-went", "budget-whole"],
      },
      {
        experiment: "switchover",
        rounds: 1,
        watch: "The copy takes over. If it is warm, the database behind it notices nothing.",
        expects: ["epoch-grew", "others-follow", "successor-is-warm", "budget-whole"],
      },
    ],
    notTried:
      "What a smaller cache costs the database: lower maxmemory in steps, as docs/runbooks/scenarios/cache-cost-and-latency.md says.",
  },
  "rebalance-storm": {
    name: "rebalance-storm",
    title: "Consumers come and go, and the others stay",
    topologies: ["Stateless"],
    beside: [TREE, "kubectl -n NAMESPACE get pods -l quorate.io/cluster=NAME --watch"],
    steps: [
      {
        experiment: "evict-member",
        rounds: 1,
        watch:
          "One consumer is drained. The work is shared anew once when it goes and once when another comes, and no more.",
        expects: ["only-the-taken-went", "half-serves"],
      },
      {
        experiment: "kill-member",
        rounds: 2,
        watch:
          "Two more are lost, one after the other. Nobody else may come or go: each of them would have the work shared anew.",
        expects: ["only-the-taken-went", "half-serves", "budget-whole"],
      },
    ],
    notTried: "How long sharing anew takes: read it from your consumers' lag, and set update.minReadySeconds above it.",
  },
};

/** A command for the windows beside, for one cluster. */
export function commandFor(command: string, namespace: string, name: string): string {
  return command.replaceAll("NAMESPACE", namespace).replaceAll("NAME", name);
}
