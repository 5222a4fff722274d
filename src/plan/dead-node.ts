// A member whose volume was on a node that is gone for good cannot come back on it. By policy it gets a new volume and clones,
// and only with proof: the Node object was deleted, or a person tainted it out-of-service. A node that does not answer may
// merely be cut off, and still run the member.
import { hasMajority, listedMembers, type World } from "./facts.ts";
import type { MemberView, VolumeView } from "./observation.ts";
import { operationCommand, patchCommand } from "./override.ts";
import type { Block, Step } from "./plan.ts";

/** Whether every node that the volume can be used on is gone for good. */
export function isGoneWithNode(volume: VolumeView | undefined): boolean {
  return volume !== undefined && volume.homes.length > 0 && volume.homes.every((home) => home.gone !== "No");
}

/** Whether the member is to get a new volume now: its data is elsewhere, and the user wants it so. */
export function replacesDeadVolume(world: World, member: MemberView): boolean {
  if (world.cluster.intent.disruption.deadNode !== "Replace" || !isGoneWithNode(member.volume)) return false;
  const others = listedMembers(world).filter((m) => m.name !== member.name);
  const isElsewhere = world.leader !== undefined && world.leader.name !== member.name && others.length > 0;
  return isElsewhere && hasMajority(world, others) && !world.seen.stateMayHaveGoneBack;
}

/** Steps that take volume and pod away; both come again by themselves, the volume on another node. */
export function withoutVolume(world: World, { pod, volume }: MemberView, reason: string): readonly Step[] {
  if (volume === undefined || world.seen.stateMayHaveGoneBack) return [];
  const { namespace } = world.cluster;
  const claim = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name: volume.name, uid: volume.uid };
  const steps: Step[] = volume.deleting ? [] : [{ kind: "Delete", object: claim, reason }];
  if (pod === undefined || pod.deletingSinceMs !== undefined) return steps;
  const object = { apiVersion: "v1", kind: "Pod", namespace, name: pod.name, uid: pod.uid };
  return [...steps, { kind: "Delete", object, reason }];
}

/** What people are told while such a member waits for them. */
export function deadNodeTrouble(world: World, member: MemberView): readonly Block[] {
  const { volume, name } = member;
  if (volume === undefined || !isGoneWithNode(volume) || replacesDeadVolume(world, member)) return [];
  const nodes = volume.homes.map((home) => home.node).join(", ");
  const object = volume.name;
  if (listedMembers(world).length === 1 || world.leader === undefined) {
    const message = `${volume.name} was on ${nodes}, which is gone, and no other member leads. Bring the node back: the data may be nowhere else.`;
    return [{ guard: "VolumeReachable", object, message }];
  }
  const message = `${volume.name} was on ${nodes}, which is gone. A Rebuild gives ${name} a new volume; spec.disruption.deadNode Replace does so by itself.`;
  const waits = world.cluster.intent.disruption.deadNode === "Wait";
  const override = waits
    ? patchCommand(world.cluster, { disruption: { deadNode: "Replace" } })
    : operationCommand(world.cluster, { type: "Rebuild", member: name });
  return [{ guard: "VolumeReachable", object, message, override }];
}
