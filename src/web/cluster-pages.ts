// What the status page shows of a cluster: its status as it is stored, and what this operator measured and saw.
import { ClusterSpec } from "../api/cluster-spec.ts";
import type { KubeObject } from "../kube/object.ts";
import type { Stores } from "../observe/stores.ts";
import type { BudgetState } from "../slo/budget.ts";
import type { BudgetView, ClusterPage, Leadership } from "./page.ts";
import type { ClusterName } from "./server.ts";

export interface ClusterPagesOptions {
  readonly stores: Pick<Stores, "of" | "isSynced">;
  /** By `namespace/name`; undefined when nothing is measured. */
  readonly budgetsOf: (key: string) => readonly BudgetState[] | undefined;
  /** By `namespace/name`, newest first. */
  readonly timelineOf: (key: string) => readonly Leadership[];
}

/** All clusters by namespace and name; none before the caches are synced. */
export function clusterNames(stores: ClusterPagesOptions["stores"]): readonly ClusterName[] {
  if (!stores.isSynced) return [];
  return stores
    .of("ClusterSpec")
    .all()
    .map(({ metadata }) => {
      const { namespace = "", name }: KubeObject["metadata"] & { readonly name: string } = metadata;
      return { namespace, name };
    })
    .toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}

/** What is shown of a cluster; undefined when it is gone, or is not understood. */
export function clusterPage(
  { stores, budgetsOf, timelineOf }: ClusterPagesOptions,
  { namespace, name }: ClusterName,
): ClusterPage | undefined {
  const parsed = ClusterSpec.safeParse(stores.of("ClusterSpec").get(namespace, name)).data;
  if (parsed === undefined) return undefined;
  const { spec, status } = parsed;
  const ready = status.conditions?.find(({ type }) => type === "Ready");
  const healthy = status.conditions?.find(({ type }) => type === "SLOHealthy");
  const { rollout } = status;
  const change = status.change ?? "";
  const key = `${namespace}/${name}`;
  return {
    namespace,
    name,
    engine: `${spec.engine.name} ${spec.engine.version ?? ""}`.trim(),
    promise: [spec.topology, ...promiseOf(spec)].join(" · "),
    ready: status.readyRatio ?? `0/${spec.members}`,
    isReady: ready?.status === "True",
    trouble: ready === undefined || ready.status === "True" ? undefined : `${ready.reason}: ${ready.message}`,
    epoch: status.epoch,
    change: change === "" ? undefined : change,
    rollout: rollout === undefined ? undefined : `Revision ${rollout.revision}: ${rollout.phase}`,
    members: status.members ?? [],
    blocked: status.blocked ?? [],
    budgets: budgetsOf(key)?.map(toBudget),
    unjudged: healthy?.status === "Unknown" ? healthy.message : undefined,
    timeline: timelineOf(key),
  };
}

/** Where there is no data and no leader, nothing is promised of them. */
function promiseOf({ topology, durability, failover }: ClusterSpec["spec"]): string[] {
  return topology === "Stateless" ? [] : [`${durability.mode}/${failover.profile}`];
}

function toBudget({ name, remaining, burns }: BudgetState): BudgetView {
  return { objective: name, remaining, burn: Math.max(0, ...burns.map(({ rate }) => rate)) };
}
