// What is broken and not repaired by itself: said plainly, with the way out, because the way out needs a person.
import { authorityTrouble } from "./certificates.ts";
import { type Decision, IDLE } from "./decision.ts";
import { deadNodeTrouble } from "./dead-node.ts";
import { listedMembers, type World } from "./facts.ts";
import { priorityBlock } from "./gates.ts";
import { formatBytes, parseQuantity } from "../build/quantity.ts";
import type { MemberView, VolumeView } from "./observation.ts";
import { operationCommand, patchCommand } from "./override.ts";
import type { Block } from "./plan.ts";
import { planLostMajority } from "./recovery.ts";
import { growth, wantedBytes } from "./volume-growth.ts";

const GRACE_MS = 120_000; // twice the pods' grace period

/** Reports volumes and pods that hold a member up, and how far volumes have grown. Changes nothing. */
export function planTrouble(world: World): Decision {
  const each = listedMembers(world).flatMap((m) => [
    ...volumeTrouble(world, m),
    ...nodeTrouble(world, m),
    ...deadNodeTrouble(world, m),
  ]);
  const growing = growth(world);
  const lost = planLostMajority(world).blocked ?? [];
  const unmade = priorityBlock(world);
  const blocked = [
    ...lost,
    ...(unmade === undefined ? [] : [unmade]),
    ...each,
    ...formerVolumes(world),
    ...growing.blocked,
    ...refusedParameters(world),
    ...missingAccounts(world),
    ...authorityTrouble(world),
  ];
  return blocked.length === 0 && growing.change === "" ? IDLE : { busy: false, blocked, change: growing.change };
}

/**
 * A new cluster met volumes of an earlier one, and none of its members leads from them. They are never initialised
 * over: whether they hold data that somebody wants is for a person to say.
 */
function formerVolumes(world: World): readonly Block[] {
  const { cluster } = world;
  const listed = listedMembers(world);
  if (world.initialized || world.leader !== undefined || listed.some((m) => m.pod?.report === undefined)) return [];
  const former = listed.flatMap(({ volume }) => volume ?? []).filter((v) => v.clusterUid !== cluster.uid);
  const [first] = former;
  if (first === undefined) return [];
  const names = former.map((volume) => volume.name).join(" ");
  const message = `${names} were made for an earlier ClusterSpec ${cluster.name}, and no member leads from them. If their data is wanted, restore the missing ones; if not, delete them.`;
  const override = `kubectl delete -n ${cluster.namespace} persistentvolumeclaims ${names}`;
  return [{ guard: "VolumesFresh", object: first.name, message, override }];
}

/** A running engine would not take a parameter. It goes on with those it had, also over a restart. */
function refusedParameters(world: World): readonly Block[] {
  const said = new Map<string, string[]>();
  for (const { name, pod } of listedMembers(world)) {
    const text = pod?.report?.parametersRefused;
    if (text !== undefined) said.set(text, [...(said.get(text) ?? []), name]);
  }
  if (said.size === 0) return [];
  const all = [...said].map(([text, names]) => `${names.join(", ")}: ${text.replace(/\.$/, "")}`).join("; ");
  const message = `The engine refuses spec.parameters and goes on with those it had: ${all}. Correct the value.`;
  return [{ guard: "ParametersTaken", object: world.cluster.name, message: message.slice(0, 2048) }];
}

/**
 * What an earlier leader could not make is no news, where the leader alone makes accounts; elsewhere, what a member could not that does
 * not run any more.
 */
function missingAccounts(world: World): readonly Block[] {
  const { leader, cluster, context } = world;
  const all =
    context.engine.keepsAccounts === "Member" ? listedMembers(world).filter(({ pod }) => pod?.ready === true) : [];
  const told = leader?.pod?.report?.accountsMissing;
  const others = all.flatMap(({ name, pod }) => {
    const text = name === leader?.name ? undefined : pod?.report?.accountsMissing;
    return text === undefined ? [] : [`${name}: ${text}`];
  });
  const message = [...(told === undefined ? [] : [told]), ...others].join("; ").slice(0, 2048);
  return message === "" ? [] : [{ guard: "AccountsMade", object: cluster.name, message }];
}

function volumeTrouble(world: World, member: MemberView): readonly Block[] {
  const { volume } = member;
  if (volume === undefined) return [];
  if (volume.phase === "Lost") {
    const message = `The PersistentVolume behind ${volume.name} is gone. A Rebuild gives ${member.name} a new volume and clones it from the leader.`;
    const override = operationCommand(world.cluster, { type: "Rebuild", member: member.name });
    return [{ guard: "VolumeUsable", object: volume.name, message, override }];
  }
  if (volume.deleting) {
    const message = `${volume.name} is being deleted by somebody; it goes when its pod goes. A new one is made then, and the member cloned.`;
    return [{ guard: "VolumeUsable", object: volume.name, message }];
  }
  if (volume.requestedBytes > parseQuantity(world.cluster.intent.storage.data.size)) {
    const size = formatBytes(volume.requestedBytes);
    const message = `${volume.name} is larger than spec.storage.data.size asks for, and volumes never shrink. Set the size to ${size}.`;
    const override = patchCommand(world.cluster, { storage: { data: { size } } });
    return [{ guard: "VolumeKept", object: volume.name, message, override }];
  }
  return fullVolume(world, member, volume);
}

/** One that grows already is shown as a change. */
function fullVolume(world: World, { name, pod }: MemberView, volume: VolumeView): readonly Block[] {
  const isGrowing = volume.capacityBytes < Math.max(wantedBytes(world), volume.requestedBytes);
  if (pod?.report?.volumeFull !== true || isGrowing) return [];
  const message = `${volume.name} has no room left: ${name} cannot write to it, and not start without. Make spec.storage.data.size larger; volumes grow one after the other while members run, where their StorageClass allows it.`;
  const size = formatBytes(2 * volume.requestedBytes);
  const override = patchCommand(world.cluster, { storage: { data: { size } } });
  return [{ guard: "VolumeHasRoom", object: volume.name, message, override }];
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
