// A cordoned node is about to be drained: the leader moves away first, so that the eviction meets a follower.
// The hand-over on SIGTERM keeps writes safe without this; this only makes the gap smaller.
import { type Decision, IDLE } from "./decision.ts";
import { isOnCordonedNode, listedMembers, requestId, successors, type World } from "./facts.ts";
import { noSuccessor } from "./membership.ts";

/** Moves the leader off a node that takes no pods any more, to a member that is to stay. */
export function planDrain(world: World): Decision {
  const { seen, leader } = world;
  if (leader === undefined || !isOnCordonedNode(world, leader)) return IDLE;
  if (world.listed.length === 1) return IDLE; // nobody can take over: the eviction is the outage, see the budget
  const staying = listedMembers(world).filter(
    (m) => m.pod?.node !== leader.pod?.node && world.desired.includes(m.name),
  );
  const [to] = successors(world, staying);
  // Not busy: what else is to be done may be what makes a successor.
  if (to === undefined) return { busy: false, blocked: [noSuccessor(world)] };
  const change = `Moving the leader off the cordoned node ${leader.pod?.node ?? ""}`;
  return { busy: true, change, switchover: { id: requestId("drain", seen.nowMs), from: leader.name, to: to.name } };
}
