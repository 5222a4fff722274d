// Volumes grow one member at a time, followers first, the leader last: a driver that goes wrong over it holds up one member.
// A claim is only asked to grow where that can work, because the API server refuses it otherwise.
import { formatBytes, parseQuantity } from "../build/quantity.ts";
import { listedMembers, type World } from "./facts.ts";
import type { MemberView, VolumeView } from "./observation.ts";
import type { Block } from "./plan.ts";

interface Growing extends MemberView {
  readonly volume: VolumeView;
}

/** What keeps volumes from growing, and how far they are. */
export function growth(world: World): { readonly blocked: readonly Block[]; readonly change: string } {
  const waiting = toGrow(world);
  const busy = underWay(world);
  const [first] = waiting;
  if (first !== undefined && busy.length === 0 && !isExpandable(world, first)) {
    return { blocked: [notExpandable(world, first)], change: "" };
  }
  const count = listedMembers(world).length;
  const left = new Set([...waiting, ...busy].map((m) => m.name)).size;
  const change = `Growing volumes to ${formatBytes(wantedBytes(world))}: ${count - left}/${count} done`;
  return { blocked: busy.flatMap((m) => resizeTrouble(world, m)), change: left === 0 ? "" : change };
}

/** How many bytes the claim of every member shall ask for in the end. */
export function wantedBytes({ cluster }: World): number {
  return parseQuantity(cluster.intent.storage.data.size);
}

/** The member whose claim grows next; undefined while another is at it, or when none can. */
export function nextToGrow(world: World): MemberView | undefined {
  if (underWay(world).length > 0) return undefined;
  const [next] = toGrow(world);
  return next !== undefined && isExpandable(world, next) ? next : undefined;
}

/** Members with a volume that is too small, in the order in which they grow. An unbound claim cannot be changed. */
function toGrow(world: World): readonly Growing[] {
  const leads = (m: MemberView) => (m.name === world.leader?.name ? 1 : 0);
  return bound(world)
    .filter(({ volume }) => volume.requestedBytes < wantedBytes(world))
    .toSorted((a, b) => leads(a) - leads(b) || b.ordinal - a.ordinal);
}

/** Members whose claim asks for more than the volume has yet. */
function underWay(world: World): readonly Growing[] {
  return bound(world).filter(({ volume }) => volume.capacityBytes < volume.requestedBytes);
}

function bound(world: World): readonly Growing[] {
  return listedMembers(world).flatMap((member) => {
    const { volume } = member;
    return volume?.phase === "Bound" && !volume.deleting ? [{ ...member, volume }] : [];
  });
}

function isExpandable({ seen }: World, { volume }: Growing): boolean {
  return volume.className !== undefined && seen.storageClasses.get(volume.className)?.allowsExpansion === true;
}

function notExpandable(world: World, { volume }: Growing): Block {
  const { className } = volume;
  const size = formatBytes(volume.requestedBytes);
  const why =
    className === undefined ? "has no StorageClass" : `is of StorageClass ${className}, which does not allow it`;
  const message = `${volume.name} cannot grow beyond ${size}: it ${why}. Allow expansion if the driver can, or create another ClusterSpec on a class that can and move the data.`;
  const block: Block = { guard: "VolumeExpandable", object: volume.name, message };
  if (className === undefined || !world.seen.storageClasses.has(className)) return block;
  return {
    ...block,
    override: `kubectl patch storageclass ${className} --type=merge -p '{"allowVolumeExpansion":true}'`,
  };
}

/** What a resize that does not end by itself waits for. */
function resizeTrouble({ cluster }: World, { volume, pod }: Growing): readonly Block[] {
  const { resize, name } = volume;
  if (resize.state === "Refused") {
    const message = `The storage driver refuses to grow ${name}: ${resize.message}. It is tried again by Kubernetes; the other volumes wait.`;
    return [{ guard: "VolumeGrown", object: name, message }];
  }
  if (resize.state !== "FileSystemPending" || pod === undefined) return [];
  const message = `${name} has grown, and its file system grows when the node mounts it next. Some drivers do that while the pod runs; if this one does not, replace the pod: a leader hands over first.`;
  const override = `kubectl delete -n ${cluster.namespace} pod ${pod.name}`;
  return [{ guard: "VolumeGrown", object: name, message, override }];
}
