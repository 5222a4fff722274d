// A cordoned node is about to be drained: the leader moves away first, so that the eviction meets a follower.
// The hand-over on SIGTERM keeps writes safe without this; this only makes the gap smaller.
import { type Decision, IDLE } from "./decision.ts";
import { listedMembers, requestId, successors, type World } from "./facts.ts";
import { noSuccessor } from "./membership.ts";

/** Moves the leader off a node that takes no pods any more. */
export function planDrain(world: World): Decision {
  const node = world.leader?.pod?.node;
  const { seen, leader } = world;
  if (leader === undefined || node === undefined || seen.nodes.get(node)?.unschedulable !== true) return IDLE;
  const elsewhere = listedMembers(world).filter((m) => {
    const other = m.pod?.node === undefined ? undefined : seen.nodes.get(m.pod.node);
    return m.pod?.node !== node && other?.unschedulable === false && other.ready;
  });
  if (world.listed.length === 1) return IDLE; // nobody can take over: the eviction is the outage, see the budget
  const change = `Moving the leader off the cordoned node ${node}`;
  const [to] = successors(world, elsewhere);
  if (to === undefined) return { busy: true, change, blocked: [noSuccessor(world)] };
  const id = requestId("drain", seen.nowMs);
  return { busy: true, change, switchover: { id, from: leader.name, to: to.name } };
}
