// What the planner must never do, whatever the world looks like: asked about every step before it is carried out.
import { ANNOTATION_TEMPLATE_HASH } from "../../../src/api/names.ts";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { parseRevision } from "../../../src/build/revision.ts";
import type { Step } from "../../../src/plan/plan.ts";
import type { Simulator } from "./simulator.ts";
import { describe } from "./views.ts";

/** Judges one step. @throws {Error} with what the planner did before. */
export function assertSafe(world: Simulator, step: Step): void {
  const why = harmOf(world, step);
  if (why !== undefined) throw new Error(`${why}: ${describe(step)}\n${world.trace.slice(-15).join("\n")}`);
}

/** Whether the API server refuses the step, because it is about an object that is not the same any more. */
export function isRefused(world: Simulator, step: Step): boolean {
  if (step.kind === "Delete" && step.object.kind === "Pod") {
    return world.pods.get(step.object.name.replace(/-0$/, ""))?.uid !== step.object.uid;
  }
  if (step.kind !== "Apply" || step.manifest.metadata.resourceVersion === undefined) return false;
  const live = world.children.get(childKey(step.manifest.kind, step.manifest.metadata.name));
  return String(live?.version) !== step.manifest.metadata.resourceVersion;
}

function harmOf(world: Simulator, step: Step): string | undefined {
  if (step.kind === "Apply" && step.manifest.kind === "StatefulSet")
    return stoppingHarm(world, step.manifest) ?? updateHarm(world, step.manifest);
  if (step.kind !== "Delete") return undefined;
  const { kind, name } = step.object;
  switch (kind) {
    case "PersistentVolumeClaim":
      return volumeHarm(world, name.replace(/-data$/, ""));
    case "StatefulSet":
      return removalHarm(world, name);
    case "ControllerRevision":
      return forgettingHarm(world, name);
    case "Pod":
      return restartHarm(world, name.replace(/-0$/, ""));
    default:
      return undefined;
  }
}

/** A leader is stopped only when nobody is left that it could hand over to. */
function stoppingHarm(world: Simulator, { metadata, spec }: Manifest): string | undefined {
  if ((spec as { replicas?: number }).replicas !== 0) return undefined;
  const others = [...world.pods.keys()].filter((name) => name !== metadata.name);
  if (!world.spec.stopped) return "stops a member";
  return metadata.name === world.leader && others.length > 0 ? "stops the leader before the others" : undefined;
}

/** A member changes its revision only once the Engine's hook said that it may, whichever way it goes. */
function updateHarm(world: Simulator, { metadata }: Manifest): string | undefined {
  const hashOf = (manifest: Manifest | undefined) => manifest?.metadata.annotations?.[ANNOTATION_TEMPLATE_HASH];
  const before = hashOf(world.children.get(childKey("StatefulSet", metadata.name))?.manifest);
  const after = hashOf({ metadata } as Manifest);
  const good = [...world.children.values()].flatMap(({ manifest }) =>
    manifest.kind === "ControllerRevision" && parseRevision(manifest)?.note.state === "Good" ? hashOf(manifest) : [],
  );
  const isAsked = world.engine.actions.beforeUpdate !== undefined;
  if (!isAsked || before === undefined || before === after || good.length === 0) return undefined;
  const [action, about] = good.includes(after)
    ? (["canRollBack", before] as const)
    : (["beforeUpdate", after] as const);
  if (good.includes(before) && good.includes(after)) return undefined;
  const said = world.hooks.findLast((hook) => hook.action === action && hook.update.startsWith(`${about}.`));
  if (said === undefined) return `changes ${metadata.name} although ${action} was not asked`;
  return undefined;
}

function volumeHarm(world: Simulator, member: string): string | undefined {
  const { volumeRetention, deletionProtection } = world.spec;
  const mayGo = world.exists ? volumeRetention.whenScaled : volumeRetention.whenDeleted;
  const asked = !deletionProtection && mayGo === "Delete";
  const volume = world.volumes.get(member);
  if (asked || volume?.phase === "Lost") return undefined;
  const isGone = volume !== undefined && volume.homes.length > 0 && volume.homes.every(({ gone }) => gone !== "No");
  if (isGone) return world.leader === undefined || world.leader === member ? "deletes the last copy" : undefined;
  return "deletes a volume that is to be kept";
}

function removalHarm(world: Simulator, member: string): string | undefined {
  if (member === world.leader) return "removes the leader";
  return world.intent?.members.some((m) => m.name === member) === true
    ? "removes a member that agents know"
    : undefined;
}

function forgettingHarm(world: Simulator, name: string): string | undefined {
  const hash = name.replace("orders-revision-", "");
  // What is left of a member that was removed does not come back.
  const isRun = [...world.pods].some(
    ([member, pod]) => pod.templateHash === hash && world.children.has(`StatefulSet/${member}`),
  );
  return isRun ? "forgets a revision that a member runs" : undefined;
}

function restartHarm(world: Simulator, member: string): string | undefined {
  const listed = world.intent?.members.map((m) => m.name) ?? [];
  const { onSwitchoverFailure, maxUnavailable } = world.spec.update;
  if (member === world.leader && listed.length > 1 && onSwitchoverFailure === "Block") return "stops the leader";
  if (world.leader === undefined || world.pods.get(member)?.ready !== true) return undefined;
  const down = listed.filter((name) => name !== member && world.pods.get(name)?.ready !== true);
  const majority = Math.floor(listed.length / 2) + 1;
  if (down.length >= maxUnavailable) return `takes ${member} down while ${down.join()} is down`;
  return listed.length - down.length - 1 < majority && down.length > 0 ? "leaves no majority" : undefined;
}
