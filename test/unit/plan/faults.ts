// What happens to the simulator's nodes and pods from outside.
import type { Simulator } from "./simulator.ts";

/** The node is cut off: its pods say nothing any more, and what they said last stands. */
export function loseNode(world: Simulator, name: string): void {
  world.nodes.set(name, { ready: false, readySinceMs: world.nowMs, unschedulable: false });
  for (const pod of world.pods.values()) {
    if (pod.node === name) Object.assign(pod, { lost: true, ready: false, readySinceMs: world.nowMs });
  }
}

/** The node is back: what was to be deleted goes, and everything else starts anew. */
export function healNode(world: Simulator, name: string): void {
  world.nodes.set(name, { ready: true, readySinceMs: world.nowMs, unschedulable: false });
  for (const [member, pod] of world.pods) {
    if (pod.node !== name || !pod.lost) continue;
    pod.lost = false;
    if (pod.deletingSinceMs === undefined) world.kill(member);
    else world.pods.delete(member);
  }
}

/** The eviction API: the pod goes unless the budget needs it. */
export function evict(world: Simulator, member: string): void {
  const listed = world.intent?.members.map((m) => m.name) ?? [];
  const isNeeded = listed.some((name) => name !== member && world.pods.get(name)?.ready !== true);
  if (!isNeeded && world.pods.get(member)?.lost === false) world.pods.delete(member);
}
