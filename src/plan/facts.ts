// What follows from an observation and what several planners ask: who leads, who is in sync, which requests are open.
import type { Intent, MemberReport } from "../api/agent-wire.ts";
import type { OperationStatus } from "../api/cluster-operation.ts";
import { nameOf } from "../api/names.ts";
import type { BuildContext } from "../build/context.ts";
import { parseQuantity } from "../build/quantity.ts";
import type { ClusterView, MemberView, Observation } from "./observation.ts";

/** A one-shot request in the intent and what became of it. */
export type Request =
  | { readonly state: "None" }
  | { readonly state: "Open"; readonly id: string; readonly message: string }
  | { readonly state: "Done" | "Refused" | "Failed"; readonly id: string; readonly message: string };

/** An observation of a cluster that can be planned for, with everything that follows from it. Members are in ordinal order. */
export interface World {
  readonly seen: Observation;
  readonly cluster: ClusterView;
  readonly context: BuildContext;
  readonly members: readonly MemberView[];
  readonly leader: MemberView | undefined;
  /** A leader has served from this cluster's volumes, so none of them may be initialised again. */
  readonly initialized: boolean;
  /** Member names that the user wants. */
  readonly desired: readonly string[];
  /** Member names that the agents know of. */
  readonly listed: readonly string[];
  readonly switchover: Request;
  readonly restart: Request;
  readonly rebuild: Request;
  readonly defragment: Request;
  /** Goes on beside whatever else is asked for. */
  readonly task: Request;
}

const MIB = 2 ** 20;
const LAG_BYTES: Readonly<Record<MemberReport["lagBucket"], number>> = {
  "0": 0,
  "<1Mi": MIB,
  "<16Mi": 16 * MIB,
  "<1Gi": 1024 * MIB,
  ">=1Gi": Number.POSITIVE_INFINITY,
  unknown: Number.POSITIVE_INFINITY,
};

/** Derives the facts. */
export function deriveWorld(seen: Observation, cluster: ClusterView, context: BuildContext): World {
  const members = seen.members.toSorted((a, b) => a.ordinal - b.ordinal);
  const leader = leaderOf(members);
  const intent = seen.intent?.intent;
  const initialized = isInitialized(seen, cluster);
  const listed = listedNames(seen, cluster);
  const reports = members.flatMap((m) => m.pod?.report ?? []);
  return {
    seen,
    cluster,
    context,
    members,
    leader,
    initialized,
    desired: desiredNames(seen, cluster),
    listed,
    switchover: whileWanted(seen, settleSwitchover(intent, reports, leader?.name, { nowMs: seen.nowMs, cluster })),
    restart: whileWanted(seen, settle(intent?.restart, reports, "restart")),
    rebuild: whileWanted(seen, settle(intent?.rebuild, reports, "rebuild")),
    defragment: whileWanted(seen, settle(intent?.defragment, reports, "defragment")),
    task: whileWanted(seen, settle(intent?.task, reports, "task")),
  };
}

/** The member that leads: of those that say so the one with the highest epoch, because an older one was replaced. */
export function leaderOf(members: readonly MemberView[]): MemberView | undefined {
  const claims = members.filter((m) => m.pod?.report?.role === "leader" && m.pod.report.state === "Running");
  return claims.reduce<MemberView | undefined>((best, m) => (epochOf(m) > epochOf(best) ? m : best), undefined);
}

function epochOf(member: MemberView | undefined): number {
  return member?.pod?.report?.epoch ?? -1;
}

/** Whether the engine keeps its list of members itself: agents change it, one member at a time, to what the intent lists; or members enter and leave it themselves. */
export function keepsOwnList({ intent }: Pick<ClusterView, "intent">): boolean {
  return intent.topology === "Consensus" || intent.topology === "ActiveActive";
}

/**
 * Whether a member that is no longer listed is still in the way of its pod's end: commits wait for it, or the engine's own list
 * may have it. Without a leader nobody knows who is on that list, and a leader that has not heard yet that the member is to go may
 * take it onto the list after it spoke of one without it.
 */
export function isStillCounted(world: World, { name }: MemberView): boolean {
  const report = world.leader?.pod?.report;
  if (!hasLeaderHeard(world)) return true;
  if (!keepsOwnList(world.cluster)) return report?.syncNames.includes(name) === true;
  return report?.group?.members?.includes(name) ?? world.initialized;
}

/**
 * Whether the leader goes by the intent as it is now. One that has not heard of it yet may begin at any moment to wait for a member
 * that is to leave, which may just have come back, or to take one into the engine's own list that was to join.
 */
export function hasLeaderHeard({ seen, leader }: Pick<World, "seen" | "leader">): boolean {
  const heard = leader?.pod?.report?.intentGeneration;
  const written = seen.intent?.intent?.generation;
  return heard === undefined || written === undefined || heard >= written;
}

/** Whether any leader ever served: as remembered in status and in the intent, or as agents say now. */
export function isInitialized(seen: Observation, cluster: ClusterView): boolean {
  const served = (report: MemberReport | undefined) => report?.state === "Running" && report.epoch >= 1;
  return (
    cluster.status.initialized === true ||
    seen.intent?.intent?.initializedFor === cluster.uid ||
    seen.members.some((m) => !m.isOfEarlierCluster && served(m.pod?.report))
  );
}

/**
 * Member names that agents know of. Without an intent (lost, or not written yet) the members that exist count: dropping one
 * here would be a scale-in unseen.
 */
function listedNames(seen: Observation, cluster: ClusterView): readonly string[] {
  const { intent } = seen.intent ?? {};
  if (intent !== undefined) return intent.members.map((m) => m.name);
  const members = seen.members.toSorted((a, b) => a.ordinal - b.ordinal);
  const existing = members.filter((m) => m.statefulSet !== undefined || m.pod !== undefined).map((m) => m.name);
  return isInitialized(seen, cluster) && existing.length > 0 ? existing : firstNames(cluster);
}

function firstNames({ name, intent }: ClusterView): readonly string[] {
  return Array.from({ length: intent.members }, (_, ordinal) => nameOf.member(name, ordinal));
}

/**
 * Member names that the user wants: the lowest ordinals. Only a single member may have another one, because a drain can
 * have moved it: by growing to two, handing over, and leaving the one on the cordoned node behind.
 */
export function desiredNames(seen: Observation, cluster: ClusterView): readonly string[] {
  const listed = listedNames(seen, cluster);
  const { members, disruption } = cluster.intent;
  if (members !== 1 || !isInitialized(seen, cluster)) return firstNames(cluster);
  if (listed.length === 1) return listed;
  if (listed.length !== 2 || disruption.singleMember !== "Surge") return firstNames(cluster);
  const leader = leaderOf(seen.members)?.name;
  const rank = (name: string) => {
    const node = seen.members.find((m) => m.name === name)?.pod?.node;
    const isLeaving = node !== undefined && seen.nodes.get(node)?.unschedulable === true;
    return (isLeaving ? 2 : 0) + (name === leader ? 0 : 1);
  };
  return listed.toSorted((a, b) => rank(a) - rank(b)).slice(0, 1);
}

/** Whether the member runs, serves its role, and is not about to go. */
export function isServing(member: MemberView): boolean {
  const { pod } = member;
  return (
    pod?.ready === true &&
    pod.deletingSinceMs === undefined &&
    pod.report?.state === "Running" &&
    pod.report.role !== "none"
  );
}

/** Whether the member serves and is within the lag that a switchover may have; the leader always is. */
export function isInSync(world: Pick<World, "cluster">, member: MemberView): boolean {
  const report = member.pod?.report;
  if (report === undefined || !isServing(member)) return false;
  const allowed = Math.max(MIB, parseQuantity(world.cluster.intent.failover.maxLag));
  return report.role === "leader" || LAG_BYTES[report.lagBucket] <= allowed;
}

/** What holds the member up, in a few words: what its pod lacks, what its agent says, or how far it is behind. */
export function stateOf({ pod }: MemberView): string {
  const { report } = pod ?? {};
  if (report?.state === "Stalled")
    return "it receives nothing from the leader: order a Rebuild if the log it needs is gone";
  const said = report?.state === "Running" ? `lag ${report.lagBucket}` : report?.state;
  if (report?.volumeFull === true) return "no room is left on its volume";
  return pod?.trouble ?? report?.reason ?? said ?? "it has not reported yet";
}

const listedOf = new WeakMap<World, readonly MemberView[]>(); // asked for by every planner

/** The views of the listed members; one that has no object yet is among them, empty. */
export function listedMembers(world: World): readonly MemberView[] {
  const known = listedOf.get(world);
  if (known !== undefined) return known;
  const views = world.listed.map((name) => world.members.find((m) => m.name === name) ?? emptyMember(world, name));
  listedOf.set(world, views);
  return views;
}

function emptyMember(world: World, name: string): MemberView {
  const ordinal = Number(name.slice(world.cluster.name.length + 1));
  return { name, ordinal, statefulSet: undefined, pod: undefined, volume: undefined, isOfEarlierCluster: false };
}

/** Whether `rest` can elect a leader and acknowledge writes by itself: a majority of it is in sync. */
export function keepsQuorum(world: World, rest: readonly MemberView[]): boolean {
  return rest.filter((m) => isInSync(world, m)).length >= Math.floor(rest.length / 2) + 1;
}

/** Whether the cluster goes on acknowledging writes while only `others` are up: a majority of all, not of them alone. */
export function hasMajority(world: World, others: readonly MemberView[]): boolean {
  const inSync = others.filter((m) => isInSync(world, m)).length;
  return (
    world.listed.length === 1 ||
    inSync >= Math.floor(world.listed.length / 2) + 1 ||
    (world.listed.length === 2 && keepsQuorum(world, others))
  );
}

/** Whether the member's node is about to be drained. A leader moved there would be moved away again at once. */
export function isOnCordonedNode(world: World, member: MemberView): boolean {
  const node = member.pod?.node;
  return node !== undefined && world.seen.nodes.get(node)?.unschedulable === true;
}

/** Whether the member's node does not answer: nothing that is done to the member can be seen to happen. */
export function isOnLostNode(world: World, { pod }: MemberView): boolean {
  return pod?.node !== undefined && world.seen.nodes.get(pod.node)?.ready === false;
}

/** Whether commits wait for the member, as far as durability asks for it; a leader hands over to no other. */
function isWaitedFor({ cluster, leader }: World, { name }: MemberView): boolean {
  return cluster.intent.durability.mode === "Async" || leader?.pod?.report?.syncNames.includes(name) === true;
}

/** The members that could lead instead of the leader, best first: least lag, then lowest ordinal. */
export function successors(world: World, among: readonly MemberView[]): readonly MemberView[] {
  const lag = (m: MemberView) => LAG_BYTES[m.pod?.report?.lagBucket ?? "unknown"];
  return among
    .filter((m) => m.name !== world.leader?.name && world.listed.includes(m.name))
    .filter((m) => isInSync(world, m) && isWaitedFor(world, m) && !isOnCordonedNode(world, m))
    .toSorted((a, b) => lag(a) - lag(b) || a.ordinal - b.ordinal);
}

/** The request that agents are at now; there is never more than one. */
export function openRequest(world: World): Extract<Request, { state: "Open" }> | undefined {
  return [world.switchover, world.restart, world.rebuild, world.defragment].find((request) => request.state === "Open");
}

/** An id for a switchover that the planner wants; it says why and since when, so that nothing else needs to remember. */
export function requestId(purpose: string, nowMs: number): string {
  return `${purpose}.${Math.floor(nowMs / 1000)}`;
}

/** When a request of the planner itself was made; undefined for those of a ClusterOperation, whose id is a uid. */
export function requestedMs(id: string): number | undefined {
  const seconds = /^[a-z0-9-]+\.([0-9]+)$/.exec(id)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** A request of an operation that has ended meanwhile, or was deleted, is not waited for any more. */
function whileWanted(seen: Observation, request: Request): Request {
  if (request.state !== "Open" || requestedMs(request.id) !== undefined) return request;
  const [operation] = request.id.split("/");
  const isOpen = seen.operations.some(({ uid, status }) => uid === operation && !isEnded(status));
  return isOpen ? request : { state: "Failed", id: request.id, message: "its operation ended before" };
}

/** Whether an operation came to its end. */
export function isEnded({ phase }: OperationStatus): boolean {
  return phase === "Done" || phase === "Refused" || phase === "Failed";
}

/** How long the leader may take to answer a switchover that the planner asked for. */
export function switchoverDeadlineMs({ intent }: Pick<ClusterView, "intent">): number {
  return intent.update.switchoverDeadlineSeconds * 1000;
}

function settleSwitchover(
  intent: Intent | undefined,
  reports: readonly MemberReport[],
  leader: string | undefined,
  { nowMs, cluster }: { readonly nowMs: number; readonly cluster: ClusterView },
): Request {
  const request = intent?.switchover ?? undefined;
  const settled = settle(request, reports, "switchover");
  if (request === undefined || settled.state !== "Open") return settled;
  const sinceMs = requestedMs(request.id);
  // The one who answers may be gone with its pod; that another leads now is answer enough. The planner only wants a member to lead
  // no more, a person wants another one to lead.
  if (request.from !== null && leader !== undefined && leader !== request.from) {
    return sinceMs !== undefined || (request.to ?? leader) === leader
      ? { state: "Done", id: request.id, message: `${leader} leads` }
      : { state: "Failed", id: request.id, message: `${leader} leads, not ${request.to}` };
  }
  const deadlineMs = switchoverDeadlineMs(cluster);
  if (sinceMs === undefined || nowMs - sinceMs < deadlineMs) return settled;
  return { state: "Failed", id: request.id, message: `no answer within ${deadlineMs / 1000} s` };
}

/** What became of a request of the intent, by what the agents answered. */
export function settle(
  request: { readonly id: string } | null | undefined,
  reports: readonly MemberReport[],
  kind: "switchover" | "restart" | "rebuild" | "defragment" | "hook" | "task",
): Request {
  if (request === null || request === undefined) return { state: "None" };
  const answers = reports.flatMap((report) => report[kind] ?? []).filter((answer) => answer.id === request.id);
  const final = answers.find((answer) => answer.result !== "Running");
  if (final === undefined || final.result === "Running") {
    return { state: "Open", id: request.id, message: answers[0]?.message ?? "not answered yet" };
  }
  return { state: final.result, id: request.id, message: final.message };
}
