// What is broken and not repaired by itself: said plainly, with the way out, because the way out needs a person.
import { type Decision, IDLE } from "./decision.ts";
import { listedMembers, type World } from "./facts.ts";
import type { MemberView } from "./observation.ts";
import type { Block } from "./plan.ts";
import { parseQuantity } from "../build/quantity.ts";

const GRACE_MS = 120_000; // twice the pods' grace period

/** Reports volumes and pods that hold a member up. Changes nothing. */
export function planTrouble(world: World): Decision {
  const blocked = listedMembers(world).flatMap((m) => [...volumeTrouble(world, m), ...nodeTrouble(world, m)]);
  return blocked.length === 0 ? IDLE : { busy: false, blocked };
}

function volumeTrouble(world: World, member: MemberView): readonly Block[] {
  const { volume } = member;
  if (volume === undefined) return [];
  if (volume.phase === "Lost") {
    const message = `The PersistentVolume behind ${volume.name} is gone. A Rebuild gives ${member.name} a new volume and clones it from the leader.`;
    const override = `kubectl create a ClusterOperation of type Rebuild with clusterName ${world.cluster.name} and member ${member.name}`;
    return [{ guard: "VolumeUsable", object: volume.name, message, override }];
  }
  if (volume.deleting) {
    const message = `${volume.name} is being deleted by somebody; it goes when its pod goes. A new one is made then, and the member cloned.`;
    return [{ guard: "VolumeUsable", object: volume.name, message }];
  }
  if (volume.requestedBytes > parseQuantity(world.cluster.intent.storage.data.size)) {
    const message = `${volume.name} is larger than spec.storage.data.size asks for, and volumes never shrink. Set the size to at least ${volume.requestedBytes} bytes.`;
    return [{ guard: "VolumeKept", object: volume.name, message }];
  }
  return [];
}

function nodeTrouble(world: World, member: MemberView): readonly Block[] {
  const { pod } = member;
  if (pod?.deletingSinceMs === undefined || world.seen.nowMs - pod.deletingSinceMs < GRACE_MS) return [];
  const node = pod.node === undefined ? undefined : world.seen.nodes.get(pod.node);
  if (pod.node === undefined || node?.ready === true) return [];
  const message = `${pod.name} cannot be confirmed to have ended, because its node ${pod.node} does not answer. If the node is certainly off, say so with the taint; a node that is only cut off may still write.`;
  const override = `kubectl taint nodes ${pod.node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`;
  return [{ guard: "NodeAlive", object: pod.name, message, override }];
}
