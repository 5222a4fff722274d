// A cordoned node is about to be drained: the leader moves away first, so that the eviction meets a follower.
// The hand-over on SIGTERM keeps writes safe without this; this only makes the gap smaller. A single member is left to the
// eviction, kept, or replaced by a second one first, as spec.disruption.singleMember says.
import { type Decision, IDLE } from "./decision.ts";
import { isOnCordonedNode, listedMembers, requestId, successors, type World } from "./facts.ts";
import { noSuccessor } from "./membership.ts";
import type { MemberView } from "./observation.ts";
import { patchCommand } from "./override.ts";
import { nameOf } from "../api/names.ts";

/** Moves the leader off a node that takes no pods any more, to a member that is to stay. */
export function planDrain(world: World): Decision {
  const { seen, leader } = world;
  if (leader === undefined || !isOnCordonedNode(world, leader)) return IDLE;
  if (world.listed.length === 1) return drainSingle(world, leader);
  const staying = listedMembers(world).filter(
    (m) => m.pod?.node !== leader.pod?.node && world.desired.includes(m.name),
  );
  const [to] = successors(world, staying);
  // Not busy: what else is to be done may be what makes a successor.
  if (to === undefined) return { busy: false, blocked: [noSuccessor(world)] };
  const change = `Moving the leader off the cordoned node ${leader.pod?.node ?? ""}`;
  return { busy: true, change, switchover: { id: requestId("drain", seen.nowMs), from: leader.name, to: to.name } };
}

/** Nobody can take over yet. Whether the eviction may be the outage is the user's choice; the budget lets it through or not. */
function drainSingle(world: World, leader: MemberView): Decision {
  const { name, intent } = world.cluster;
  const node = leader.pod?.node ?? "";
  switch (intent.disruption.singleMember) {
    case "Allow":
      return IDLE;
    case "Block": {
      const message = `${leader.name} is the only member, and spec.disruption.singleMember is Block: no drain of ${node} can evict it.`;
      const override = patchCommand(world.cluster, { disruption: { singleMember: "Allow" } });
      return { busy: false, blocked: [{ guard: "SingleMemberMayGo", object: leader.name, message, override }] };
    }
    case "Surge": {
      const second = nameOf.member(name, leader.ordinal === 0 ? 1 : 0);
      const change = `Moving ${leader.name} off the cordoned node ${node}: adding ${second}`;
      return { busy: true, change, listed: [leader.name, second] };
    }
    default:
      return intent.disruption.singleMember satisfies never;
  }
}
