// Stop and start of a whole cluster: every StatefulSet at no replica, followers first, the leader last and without handing
// over, because nobody is left to take over. Volumes, Lease and intent stay. Whoever led last starts first: it has written the
// most, and nobody has to rewind.
import type { MemberView } from "./observation.ts";
import { buildStatefulSet } from "../build/stateful-set.ts";
import { type Decision, IDLE } from "./decision.ts";
import { applyIfDifferent } from "./difference.ts";
import { listedMembers, type World } from "./facts.ts";
import { isFleet, isFleetStopped } from "./fleet.ts";
import { areShardsStopped, isWhole } from "./shards.ts";
import type { Step } from "./plan.ts";

/** How long the others wait for the member that led last, when it does not come up. */
const FIRST_START_MS = 30_000;

/** Carries `spec.stopped` out. While it is true nothing else is done: every other change needs members that run. */
export function planStop(world: World): Decision {
  if (!world.cluster.intent.stopped) return planStart(world);
  // Those that agents know no more are among them: they may still be on their way out.
  const running = world.members.filter((m) => m.pod !== undefined || m.statefulSet?.replicas === 1);
  if (running.length === 0) return { busy: true };
  const total = world.members.length;
  const change = `Stopping: ${total - running.length}/${total} members stopped`;
  const followers = running.filter((m) => m.name !== world.leader?.name);
  const now = followers.some((m) => !isCertainToEnd(world, m)) ? followers : running;
  return { busy: true, change, steps: now.flatMap((m) => stop(world, m)), requeueAfterMs: 5_000 };
}

/** Whether nothing more needs to be waited for: its node does not answer, so its pod may never be seen to end. */
function isCertainToEnd(world: World, { pod }: MemberView): boolean {
  if (pod?.deletingSinceMs === undefined || pod.node === undefined) return false;
  return world.seen.nodes.get(pod.node)?.ready !== true;
}

function stop(world: World, member: MemberView): readonly Step[] {
  const { statefulSet } = member;
  if (statefulSet === undefined || statefulSet.replicas === 0) return [];
  const { revision, template } = statefulSet;
  const pinned = revision === undefined ? undefined : { ...revision, template };
  const manifest = buildStatefulSet(world.context, member.name, { pinned, replicas: 0 });
  return applyIfDifferent(manifest, world.seen.children);
}

/** What is going on while some members are still at no replica. */
function planStart(world: World): Decision {
  const waiting = listedMembers(world).filter((m) => m.statefulSet !== undefined && replicasOf(world, m) === 0);
  if (waiting.length === 0) return IDLE;
  const change = `Starting: ${world.seen.named.lastLeader ?? ""} first, because it led last`;
  return { busy: true, change, requeueAfterMs: 2_000 };
}

/** How many pods the member's StatefulSet shall have now: none or one. */
export function replicasOf(world: World, member: MemberView): 0 | 1 {
  const live = member.statefulSet?.replicas;
  if (world.cluster.intent.stopped) return live === 1 ? 1 : 0; // planStop says when
  if (live !== 0 || world.leader !== undefined) return 1;
  const first = listedMembers(world).find((m) => m.name === world.seen.named.lastLeader);
  if (first === undefined || first.name === member.name || first.pod?.report !== undefined) return 1;
  return first.pod !== undefined && world.seen.nowMs - first.pod.createdMs >= FIRST_START_MS ? 1 : 0;
}

/** Whether the cluster is stopped as asked: no member has a pod or will get one. */
export function isStopped({ cluster, seen }: Pick<World, "cluster" | "seen">): boolean {
  if (!cluster.intent.stopped) return false;
  if (isWhole(cluster)) return areShardsStopped(seen, cluster);
  return isFleet(cluster)
    ? isFleetStopped(seen)
    : seen.members.every((m) => m.pod === undefined && m.statefulSet?.replicas !== 1);
}
