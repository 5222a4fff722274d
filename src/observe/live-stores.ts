// What the API server has of one cluster at this moment, for steps that cannot be taken back. What was heard may be old: a watch
// that fell silent looks like one on which nothing happens, for as long as silence is believed.
import { LABEL_CLUSTER } from "../api/names.ts";
import type { CallOptions, KubeApi } from "../kube/api.ts";
import { listAll } from "../kube/list.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { Store } from "../kube/store.ts";
import { type ProjectedPod, WATCHED, type WatchedKind } from "./kinds.ts";
import type { Stores } from "./stores.ts";

/** Where an observation is read from. */
export type Sources = Pick<Stores, "of" | "wentBackLately">;

/** Children of which it matters whether they work, whether they are there, and what was noted down about them. */
const LISTED = ["Pod", "StatefulSet", "Deployment", "PersistentVolumeClaim", "ConfigMap", "ControllerRevision"];

/**
 * Reads what decides about the members of one cluster: its ClusterSpec and those of its shards, they themselves, and the nodes that they are on. All other
 * kinds are as `cached` has them.
 *
 * @throws what the API server answers; the pass that asked fails with it.
 */
export async function readLive(
  api: Pick<KubeApi, "get" | "list">,
  cached: Sources,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<Sources> {
  const stores = new Map<string, Store<KubeObject>>();
  const fill = (kind: string, objects: readonly Stored<KubeObject>[]): void => {
    const store = new Store<KubeObject>(kind);
    store.ingest({ type: "Replaced", objects, resourceVersion: "0", stateMayHaveGoneBack: false });
    stores.set(kind, store);
  };
  await Promise.all([
    Promise.all([
      getAll(api, "ClusterSpec", [{ namespace, name }], { signal }),
      listOf(api, "ClusterSpec", { namespace, name }, signal),
    ]).then(([own, shards]) => fill("ClusterSpec", [...own, ...shards])),
    ...LISTED.map(async (kind) => fill(kind, await listOf(api, kind, { namespace, name }, signal))),
  ]);
  const pods = stores.get("Pod")?.all() as readonly Stored<ProjectedPod>[];
  const nodes = new Set(pods.flatMap(({ view }) => view.node ?? []));
  const refs = [...nodes].map((node) => ({ name: node }));
  fill("Node", await getAll(api, "Node", refs, { signal }));
  return { of: (kind) => stores.get(kind) ?? cached.of(kind), wentBackLately: (nowMs) => cached.wentBackLately(nowMs) };
}

async function listOf(
  api: Pick<KubeApi, "list">,
  kind: string,
  cluster: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<readonly Stored<KubeObject>[]> {
  const { selection, project } = watched(kind);
  const ofCluster = `${LABEL_CLUSTER}=${cluster.name}`;
  const labelSelector = [selection.labelSelector, ofCluster].filter((part) => part !== undefined).join(",");
  const asked = { ...selection, namespace: cluster.namespace, labelSelector };
  return (await listAll(api, asked, { signal, project })).items;
}

/** Those of the named objects that exist. */
async function getAll(
  api: Pick<KubeApi, "get">,
  kind: string,
  names: readonly { readonly namespace?: string; readonly name: string }[],
  options: CallOptions,
): Promise<readonly Stored<KubeObject>[]> {
  const { selection, project } = watched(kind);
  const { apiVersion } = selection;
  const found = await Promise.all(names.map((named) => api.get({ apiVersion, kind, ...named }, options)));
  return found.flatMap((object) => (object === undefined ? [] : project(object)));
}

function watched(kind: string): WatchedKind {
  const found = WATCHED.find(({ selection }) => selection.kind === kind);
  if (found === undefined) throw new TypeError(`${kind} is not watched`);
  return found;
}
