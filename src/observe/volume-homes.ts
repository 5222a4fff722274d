// Which nodes a volume is tied to, and whether they are gone. Read live, and only for a member whose pod finds no node: an
// answer may lead to the deletion of a volume, and absence from a cache proves nothing.
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { TAINT_OUT_OF_SERVICE } from "./kinds.ts";
import type { HomeView, MemberView } from "../plan/observation.ts";

interface PersistentVolume extends KubeObject {
  readonly spec?: {
    readonly nodeAffinity?: { readonly required?: { readonly nodeSelectorTerms?: readonly Term[] } };
  };
}

interface Term {
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: string[];
  }[];
}

interface Node extends KubeObject {
  readonly spec?: { readonly taints?: readonly { readonly key: string }[] };
}

const HOSTNAME = "kubernetes.io/hostname";

/** `members`, with the homes of the volumes of those whose pods cannot be scheduled. */
export async function withHomes(
  api: Pick<KubeApi, "get" | "list">,
  members: readonly MemberView[],
  signal: AbortSignal,
): Promise<readonly MemberView[]> {
  return Promise.all(
    members.map(async (member) => {
      const { volume, pod } = member;
      if (volume?.volumeName === undefined || pod?.trouble?.startsWith("Unschedulable") !== true) return member;
      return { ...member, volume: { ...volume, homes: await homesOf(api, volume.volumeName, signal) } };
    }),
  );
}

async function homesOf(
  api: Pick<KubeApi, "get" | "list">,
  name: string,
  signal: AbortSignal,
): Promise<readonly HomeView[]> {
  const volume = await api.get<PersistentVolume>({ apiVersion: "v1", kind: "PersistentVolume", name }, { signal });
  return Promise.all(hostnamesOf(volume).map((hostname) => homeOf(api, hostname, signal)));
}

/** The only hosts that the volume can be used on; empty when it can be used on others as well. */
function hostnamesOf(volume: Stored<PersistentVolume> | undefined): readonly string[] {
  const terms = volume?.spec?.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  const hosts = terms.map(({ matchExpressions = [] }) =>
    matchExpressions.flatMap(({ key, operator, values = [] }) => (key === HOSTNAME && operator === "In" ? values : [])),
  );
  return hosts.some((names) => names.length === 0) ? [] : [...new Set(hosts.flat())]; // terms are alternatives
}

/** By label, because a node's name need not be its host's. */
async function homeOf(api: Pick<KubeApi, "list">, hostname: string, signal: AbortSignal): Promise<HomeView> {
  const selection = { apiVersion: "v1", kind: "Node", labelSelector: `${HOSTNAME}=${hostname}` };
  const { items } = await api.list<Node>(selection, { signal });
  if (items.length === 0) return { node: hostname, gone: "Deleted" };
  const isOut = items.every(({ spec }) => spec?.taints?.some(({ key }) => key === TAINT_OUT_OF_SERVICE) === true);
  return { node: hostname, gone: isOut ? "OutOfService" : "No" };
}
