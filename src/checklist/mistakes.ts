/** The twenty mistakes that clusters die of, and whether this one makes them. */
import { parseQuantity } from "../build/quantity.ts";
import { type Check, fail, pass, unknown, type Verdict, warn } from "./checklist.ts";
import type { Facts, PodFacts } from "./facts.ts";

const MIN_LIVENESS_SECONDS = 60; // a clone, a checkpoint or a slow disk takes that long without anything being broken
const MAX_STALE_BYTES = 16 * 2 ** 20;
const MAX_OVERCOMMIT = 4;
const MANY_CLUSTERS = 20;
const SMALL_BYTES = 512 * 2 ** 20;
const DRILL_EVERY_MS = 90 * 86_400_000;

/** In the order of the list that everybody quotes. */
export const MISTAKES: readonly Check[] = [
  {
    id: "short-lease",
    title: "A lease so short that clocks and API servers break it",
    judge: ({ cluster }) =>
      cluster.spec.failover.profile === "Standard"
        ? pass("profile Standard tolerates 10 s of a slow API server")
        : warn(
            "profile Fast gives up an unreachable API server after 4 s",
            "measure the API server's worst minute first, or use profile Standard",
          ),
  },
  { id: "aggressive-probes", title: "Probes that kill what is only slow", judge: (facts) => ofPods(facts, slowProbes) },
  {
    id: "stale-reads",
    title: "Reads from members that lag",
    judge: ({ cluster }) => {
      const { maxLag } = cluster.spec.failover;
      return parseQuantity(maxLag) <= MAX_STALE_BYTES
        ? pass(`-ro leaves out members more than ${maxLag} behind`)
        : warn(
            `failover.maxLag is ${maxLag}`,
            "lower it: it bounds what a reader may miss and what a failover may lose",
          );
    },
  },
  { id: "quorum-size", title: "A quorum of the wrong size", judge: quorumSize },
  {
    id: "updates-without-budget",
    title: "Updates without readiness or disruption budget",
    judge: ({ hasBudget, cluster, pods }) => {
      if (hasBudget === undefined) return unknown("PodDisruptionBudgets cannot be read");
      if (!hasBudget && pods?.length === 0) return unknown(`${cluster.metadata.name} has no pods yet`);
      const { minReadySeconds } = cluster.spec.update;
      if (!hasBudget)
        return fail("the cluster has no PodDisruptionBudget yet", "wait for the operator, then look again");
      return pass(`one member at a time, each ready for ${minReadySeconds} s before the next`);
    },
  },
  {
    id: "alert-storms",
    title: "Alerts that go off in every rollout",
    judge: ({ cluster }) =>
      cluster.spec.slo === undefined
        ? warn(
            "alerts are not made from objectives",
            "state spec.slo; its alerts fire on burnt budget, which a rollout without errors does not burn",
          )
        : pass("alerts come from the error budget"),
  },
  { id: "no-headroom", title: "No room for what a lost node ran", judge: headroom },
  { id: "lost-volumes", title: "Volumes that vanish with their pod", judge: volumesKept },
  {
    id: "rebalance-storms",
    title: "Everybody moves at once",
    judge: ({ cluster }) => {
      const { maxUnavailable } = cluster.spec.update;
      return maxUnavailable === 1
        ? pass("update.maxUnavailable is 1")
        : warn(`update.maxUnavailable is ${maxUnavailable}`, "set it to 1 unless a roll takes too long");
    },
  },
  { id: "over-provisioning", title: "Paying for what nobody uses", judge: overcommit },
  {
    id: "missing-metrics",
    title: "No metrics when they are needed",
    judge: ({ monitors }) => {
      if (monitors === undefined) return unknown("PodMonitors cannot be read: is the Prometheus Operator there?");
      return monitors > 0
        ? pass(`${monitors} monitors in the operator's namespace`)
        : warn(
            "no PodMonitor or ServiceMonitor scrapes the operator",
            "helm upgrade quorate --set podMonitor.enabled=true",
          );
    },
  },
  { id: "weak-rbac", title: "Rights that go too far", judge: rights },
  {
    id: "no-requests",
    title: "No requests or limits",
    judge: (facts) =>
      ofPods(facts, ({ name, hasRequestsAndLimits }) => (hasRequestsAndLimits ? undefined : `${name} has none`)),
  },
  {
    id: "api-overload",
    title: "An API server that automation brings down",
    judge: ({ hasFlowSchema }) => {
      if (hasFlowSchema === undefined) return unknown("FlowSchemas cannot be read");
      return hasFlowSchema
        ? pass("leases and routes have a priority level of their own")
        : fail("FlowSchema quorate-leadership is missing", "kubectl apply --server-side -k deploy/flowschema");
    },
  },
  {
    id: "unlabelled-logs",
    title: "Logs that nobody can tell apart",
    judge: (facts) =>
      ofPods(facts, ({ name, hasClusterLabel }) =>
        hasClusterLabel ? undefined : `${name} has no label quorate.io/cluster`,
      ),
  },
  { id: "untested-failover", title: "A failover that was never tried", judge: drilled },
  {
    id: "incompatible-schema",
    title: "A change that cannot be taken back",
    judge: ({ cluster }) => {
      const { strategy, onFailure } = cluster.spec.update;
      if (onFailure !== "Rollback") return warn(`update.onFailure is ${onFailure}`, "set it to Rollback");
      return strategy === "Canary"
        ? pass("canary first, and back by itself")
        : warn("every member gets a new version in one roll", "set update.strategy to Canary with an analysis");
    },
  },
  {
    id: "too-many-clusters",
    title: "Many small clusters instead of a few",
    judge: ({ neighbours, cluster }) => {
      if (neighbours === undefined) return unknown("ClusterSpecs cannot be listed");
      const memory = cluster.spec.resources?.requests.memory;
      const isSmall = memory !== undefined && parseQuantity(memory) < SMALL_BYTES;
      return neighbours > MANY_CLUSTERS && isSmall
        ? warn(
            `${neighbours} in this namespace, this one with ${memory}`,
            "share one cluster between several databases",
          )
        : pass(`${neighbours} in this namespace`);
    },
  },
  {
    id: "no-traces",
    title: "No traces across members",
    judge: ({ operator }) => {
      if (operator === undefined || operator === null) return unknown("the operator's Deployment cannot be read");
      return operator.sendsTraces
        ? pass("what a change leads to is traced")
        : warn(
            "no collector of traces is named",
            "helm upgrade quorate --set tracesUrl=http://collector.monitoring:4318",
          );
    },
  },
  {
    id: "wrong-health",
    title: "Health that measures the processor instead of the application",
    judge: (facts) =>
      ofPods(facts, ({ name, readiness }) =>
        readiness?.path === "/readyz" ? undefined : `${name} is not asked at /readyz`,
      ),
  },
];

/** A verdict on the pods: what is wrong with one of them is wrong. */
function ofPods({ pods, cluster }: Facts, problemOf: (pod: PodFacts) => string | undefined): Verdict {
  if (pods === undefined) return unknown("pods cannot be read");
  if (pods.length === 0) return unknown(`${cluster.metadata.name} has no pods yet`);
  const problems = pods.flatMap((pod) => problemOf(pod) ?? []);
  return problems.length === 0
    ? pass(`all ${pods.length} pods`)
    : fail(problems.join("; "), "somebody changed the pods: delete them one by one, and quorate makes them anew");
}

function slowProbes({ name, liveness }: PodFacts): string | undefined {
  const seconds = liveness?.toleratesSeconds ?? Number.POSITIVE_INFINITY;
  return seconds >= MIN_LIVENESS_SECONDS ? undefined : `${name} is killed after ${seconds} s`;
}

function quorumSize({ cluster }: Facts): Verdict {
  const { members, durability } = cluster.spec;
  if (durability.mode === "Async")
    return warn("durability.mode Async: a failover may lose the last writes", "set durability.mode to Quorum");
  if (members < 3) return fail(`${members} members: losing one stops writes`, "set spec.members to 3");
  return members % 2 === 0
    ? warn(`${members} members survive no more than ${members - 1} would`, "use an odd number")
    : pass(`${members} members, ${durability.mode}`);
}

function headroom({ cluster, nodes }: Facts): Verdict {
  if (nodes === undefined) return unknown("Nodes cannot be read");
  const usable = nodes.filter(({ isReady, isSchedulable }) => isReady && isSchedulable).length;
  const { members } = cluster.spec;
  return usable > members
    ? pass(`${usable} nodes: one may be lost`)
    : warn(`${usable} nodes for ${members} members: a lost node's member has no other place`, "add a node");
}

function volumesKept({ cluster, storageClass }: Facts): Verdict {
  const { volumeRetention, deletionProtection } = cluster.spec;
  if (!deletionProtection && volumeRetention.whenDeleted === "Delete")
    return warn("deleting the ClusterSpec deletes its volumes", "set volumeRetention.whenDeleted to Retain");
  if (storageClass === undefined || storageClass === null) return unknown("the StorageClass cannot be read");
  return storageClass.reclaimPolicy === "Retain"
    ? pass("volumes and what is on them are kept")
    : warn(
        `claims are kept, but StorageClass ${storageClass.name} deletes a volume with its claim`,
        "use a StorageClass with reclaimPolicy Retain",
      );
}

function overcommit({ cluster }: Facts): Verdict {
  const { requests, limits } = cluster.spec.resources ?? {};
  if (requests?.memory === undefined || limits?.memory === undefined) return pass("the Engine's own resources");
  const ratio = parseQuantity(limits.memory) / parseQuantity(requests.memory);
  return ratio <= MAX_OVERCOMMIT
    ? pass(`limits are ${ratio.toFixed(1)} times the requests`)
    : warn(`limits are ${ratio.toFixed(1)} times the requests`, "set both to what kubectl top shows, with some room");
}

function rights({ operatorRules }: Facts): Verdict {
  if (operatorRules === undefined) return unknown("the operator's role cannot be read");
  const tooFar = operatorRules.flatMap(({ resources, verbs }) => [
    ...([...resources, ...verbs].includes("*") ? ["a wildcard"] : []),
    ...(resources.includes("secrets") && verbs.includes("list") ? ["listing Secrets"] : []),
    ...(resources.includes("pods/exec") ? ["entering pods"] : []),
    ...verbs.filter((verb) => ["escalate", "bind", "impersonate"].includes(verb)),
  ]);
  return tooFar.length === 0
    ? pass("no wildcard, no list of Secrets, no exec")
    : fail(`the operator's role allows ${tooFar.join(", ")}`, "apply deploy/rbac as it is shipped");
}

function drilled({ cluster, operations, nowMs }: Facts): Verdict {
  if (operations === undefined) return unknown("ClusterOperations cannot be read");
  const lastMs = Math.max(
    0,
    ...operations
      .filter(({ spec, status }) => spec.type === "Switchover" && status?.phase === "Done")
      .map(({ status }) => Date.parse(status?.completionTime ?? "") || 0),
  );
  const fix = `kubectl quorate switchover ${cluster.metadata.name}`;
  if (lastMs === 0) return warn("no switchover is remembered", fix);
  return nowMs - lastMs <= DRILL_EVERY_MS
    ? pass(`the last switchover was on ${new Date(lastMs).toISOString().slice(0, 10)}`)
    : warn("the last switchover is more than 90 days ago", fix);
}
