/** Whom and what an experiment is done to, and by which requests. Pure. */
import type { ClusterSpec } from "../api/cluster-spec.ts";
import { API_VERSION, nameOf } from "../api/names.ts";
import type { Experiment } from "./experiments.ts";
import { leaderIn, type Look, readyIn, type SeenMember } from "./looks.ts";

/** An object with the incarnation that is meant: a namesake that came meanwhile is left alone. */
export interface Aim {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A request to the API server. */
export type Act =
  | { readonly verb: "Delete"; readonly aim: Aim; readonly graceSeconds?: number }
  | { readonly verb: "Evict"; readonly aim: Aim }
  | { readonly verb: "Create"; readonly object: SwitchoverObject };

/** The ClusterOperation of the experiment `switchover`. */
export interface SwitchoverObject {
  readonly apiVersion: string;
  readonly kind: "ClusterOperation";
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly clusterName: string; readonly type: "Switchover"; readonly member?: string };
}

/** What the experiment is done to; `problem` when there is nobody, or not whom it was asked for. */
export type Target =
  | { readonly members: readonly SeenMember[]; readonly acts: readonly Act[] }
  | { readonly problem: string };

/** What beside the members an experiment may aim at, as it was found. */
export interface Surroundings {
  readonly lease?: Aim | undefined;
  readonly route?: Aim | undefined;
  readonly operator: readonly Aim[];
}

/** Never zero: then the API server forgets a pod before its kubelet says that it has ended, and a second one may run beside it. */
const GRACE_SECONDS = 1;

/** Chooses whom to aim at. @param wanted - A member that a person named. @param id - Part of the operation's name. */
export function targetOf(
  experiment: Experiment,
  cluster: ClusterSpec,
  look: Look,
  { wanted, id, around }: { readonly wanted?: string | undefined; readonly id: string; readonly around: Surroundings },
): Target {
  const namespace = cluster.metadata.namespace ?? "";
  switch (experiment.name) {
    case "switchover":
      return switchover(cluster, namespace, { wanted, id });
    case "delete-lease":
      return deletion(around.lease, `there is no Lease ${nameOf.lease(cluster.metadata.name)}`);
    case "delete-route":
      return deletion(around.route, `there is no EndpointSlice ${nameOf.readWrite(cluster.metadata.name)}`);
    case "kill-operator":
      if (around.operator.length === 0)
        return { problem: "no pod of the operator was found, or you may not list them" };
      return {
        members: [],
        acts: around.operator.map((aim) => ({ verb: "Delete", aim, graceSeconds: GRACE_SECONDS })),
      };
    default:
      return members(experiment, look, { wanted, namespace });
  }
}

function members(
  { name, victims }: Experiment,
  look: Look,
  { wanted, namespace }: { readonly wanted: string | undefined; readonly namespace: string },
): Target {
  const chosen = victimsIn(look, victims, wanted);
  if ("problem" in chosen) return chosen;
  const aimAt = ({ pod, uid }: SeenMember): Aim => ({ apiVersion: "v1", kind: "Pod", namespace, name: pod, uid });
  const acts = chosen.members.map((member): Act => {
    const aim = aimAt(member);
    return name.startsWith("evict-") ? { verb: "Evict", aim } : { verb: "Delete", aim, graceSeconds: GRACE_SECONDS };
  });
  return { members: chosen.members, acts };
}

function victimsIn(
  look: Look,
  victims: Experiment["victims"],
  wanted: string | undefined,
): { readonly members: readonly SeenMember[] } | { readonly problem: string } {
  const leader = leaderIn(look);
  const others = readyIn(look).filter(({ uid }) => uid !== leader?.uid);
  if (victims === "Leader") {
    if (leader === undefined) return { problem: "nobody leads" };
    if (wanted !== undefined && wanted !== leader.name) return { problem: `${leader.name} leads, not ${wanted}` };
    return { members: [leader] };
  }
  if (victims === "Half") {
    if (wanted !== undefined) return { problem: "it takes half of the members: name none" };
    const half = others.slice(0, Math.floor(others.length / 2));
    return half.length === 0
      ? { problem: `${others.length} members are ready: there is no half of them` }
      : { members: half };
  }
  if (wanted !== undefined && wanted === leader?.name)
    return { problem: `${wanted} leads: choose another member, or the experiment for the leader` };
  const one = wanted === undefined ? others.at(-1) : others.find(({ name }) => name === wanted);
  const known = others.map(({ name }) => name).join(", ") || "none";
  return one === undefined ? { problem: `ready, and not leading: ${known}` } : { members: [one] };
}

function switchover(
  { metadata: { name } }: ClusterSpec,
  namespace: string,
  { wanted, id }: { readonly wanted: string | undefined; readonly id: string },
): Target {
  const spec = { clusterName: name, type: "Switchover", ...(wanted === undefined ? {} : { member: wanted }) } as const;
  const metadata = { name: `${name}-chaos-${id}`, namespace };
  return {
    members: [],
    acts: [{ verb: "Create", object: { apiVersion: API_VERSION, kind: "ClusterOperation", metadata, spec } }],
  };
}

function deletion(aim: Aim | undefined, problem: string): Target {
  return aim === undefined ? { problem } : { members: [], acts: [{ verb: "Delete", aim }] };
}

/** A request in a few words, for people. */
export function describeAct(act: Act): string {
  if (act.verb === "Create") {
    const { clusterName, member } = act.object.spec;
    return `create a ClusterOperation: Switchover of ${clusterName}${member === undefined ? "" : ` to ${member}`}`;
  }
  const { kind, name, namespace } = act.aim;
  if (act.verb === "Evict") return `evict ${kind} ${name}`;
  const grace = act.graceSeconds === undefined ? "" : `, with ${act.graceSeconds} s to end`;
  return `delete ${kind} ${namespace}/${name}${grace}`;
}
