// What the planner must never do, whatever the world looks like: asked about every step before it is carried out. S1, S3 and S10 are
// promises of agents; S6 is kept by the world, which carries no deletion out that names another uid.
import { Intent, INTENT_KEY } from "../../../src/api/agent-wire.ts";
import type { ClusterStatus } from "../../../src/api/cluster-status.ts";
import { ANNOTATION_TEMPLATE_HASH, MANAGED_BY, nameOf } from "../../../src/api/names.ts";
import { ANNOTATION_URGENT_UNTIL } from "../../../src/build/labels.ts";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { parseRevision } from "../../../src/build/revision.ts";
import type { Observation } from "../../../src/plan/observation.ts";
import type { Step } from "../../../src/plan/plan.ts";
import type { Simulator } from "./simulator.ts";
import { describe } from "./views.ts";

const DAY_MS = 86_400_000;
/** A planner moves the leader so often at most within so long: once for each thing that may need it. */
const MOST_HANDOVERS = 6;
const FLAPPING_MS = 120_000;

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
  if ("manifest" in step) return writingHarm(world, step.manifest, step.kind);
  if (step.kind !== "Delete") return undefined;
  const { kind, name, namespace } = step.object;
  if (namespace !== "shop") return "S7: deletes what belongs to others";
  switch (kind) {
    case "PersistentVolumeClaim":
      return volumeHarm(world, name.replace(/-data$/, ""));
    case "StatefulSet":
      return removalHarm(world, name);
    case "ControllerRevision":
      return forgettingHarm(world, name);
    case "Pod":
      return restartHarm(world, name.replace(/-0$/, "")) ?? gatedReplacement(world, name.replace(/-0$/, ""));
    default:
      return undefined;
  }
}

function writingHarm(world: Simulator, manifest: Manifest, verb: Step["kind"]): string | undefined {
  const { namespace, labels } = manifest.metadata;
  if (namespace !== "shop" || labels["app.kubernetes.io/managed-by"] !== MANAGED_BY)
    return "S7: writes what is not ours";
  switch (manifest.kind) {
    case "Lease":
      return verb === "Create" ? undefined : "S2: writes the members' Lease";
    case "StatefulSet":
      return stoppingHarm(world, manifest) ?? updateHarm(world, manifest) ?? gatedUpdate(world, manifest);
    case "ConfigMap":
      return manifest.metadata.name === nameOf.intent("orders") ? intentHarm(world, manifest) : undefined;
    default:
      return verb === "OfferAgent" && isGateClosed(world) ? "S9: offers an agent past the error budget" : undefined;
  }
}

/** A leader is stopped only when nobody is left that it could hand over to. */
function stoppingHarm(world: Simulator, { metadata, spec }: Manifest): string | undefined {
  if ((spec as { replicas?: number }).replicas !== 0) return undefined;
  const others = [...world.pods.keys()].filter((name) => name !== metadata.name);
  if (!world.spec.stopped) return "S4: stops a member";
  return metadata.name === world.leader && others.length > 0 ? "S4: stops the leader before the others" : undefined;
}

function hashOf(manifest: Pick<Manifest, "metadata"> | undefined): string | undefined {
  return manifest?.metadata.annotations?.[ANNOTATION_TEMPLATE_HASH];
}

/** Revisions that every member ran. */
function goodHashes({ children }: Simulator): readonly (string | undefined)[] {
  return [...children.values()].flatMap(({ manifest }) =>
    manifest.kind === "ControllerRevision" && parseRevision(manifest)?.note.state === "Good" ? hashOf(manifest) : [],
  );
}

/** A member changes its revision only once the Engine's hook said that it may, whichever way it goes. */
function updateHarm(world: Simulator, { metadata }: Manifest): string | undefined {
  const before = hashOf(world.children.get(childKey("StatefulSet", metadata.name))?.manifest);
  const after = hashOf({ metadata });
  const good = goodHashes(world);
  const isAsked = world.engine.actions.beforeUpdate !== undefined;
  if (!isAsked || before === undefined || before === after || good.length === 0) return undefined;
  const [action, about] = good.includes(after)
    ? (["canRollBack", before] as const)
    : (["beforeUpdate", after] as const);
  if (good.includes(before) && good.includes(after)) return undefined;
  const said = world.hooks.findLast((hook) => hook.action === action && hook.update.startsWith(`${about}.`));
  if (said === undefined) return `S4: changes ${metadata.name} although ${action} was not asked`;
  return undefined;
}

function volumeHarm(world: Simulator, member: string): string | undefined {
  const { volumeRetention, deletionProtection } = world.spec;
  const mayGo = world.exists ? volumeRetention.whenScaled : volumeRetention.whenDeleted;
  const asked = !deletionProtection && mayGo === "Delete";
  const volume = world.volumes.get(member);
  if (asked || volume?.phase === "Lost") return undefined;
  const isGone = volume !== undefined && volume.homes.length > 0 && volume.homes.every(({ gone }) => gone !== "No");
  if (isGone) return world.leader === undefined || world.leader === member ? "S5: deletes the last copy" : undefined;
  return "S5: deletes a volume that is to be kept";
}

function removalHarm(world: Simulator, member: string): string | undefined {
  if (member === world.leader) return "S4: removes the leader";
  if (world.group?.counted.includes(member) === true) return "S4: removes a member that the engine counts";
  return world.intent?.members.some((m) => m.name === member) === true
    ? "S4: removes a member that agents know"
    : undefined;
}

function forgettingHarm(world: Simulator, name: string): string | undefined {
  const hash = name.replace("orders-revision-", "");
  // What is left of a member that was removed does not come back.
  const isRun = [...world.pods].some(
    ([member, pod]) => pod.templateHash === hash && world.children.has(`StatefulSet/${member}`),
  );
  return isRun ? "S4: forgets a revision that a member runs" : undefined;
}

function restartHarm(world: Simulator, member: string): string | undefined {
  const listed = world.intent?.members.map((m) => m.name) ?? [];
  const { onSwitchoverFailure, maxUnavailable } = world.spec.update;
  if (member === world.leader && listed.length > 1 && onSwitchoverFailure === "Block") return "S4: stops the leader";
  if (world.leader === undefined || world.pods.get(member)?.ready !== true) return undefined;
  const down = listed.filter((name) => name !== member && world.pods.get(name)?.ready !== true);
  const majority = Math.floor(listed.length / 2) + 1;
  if (down.length >= maxUnavailable) return `S4: takes ${member} down while ${down.join()} is down`;
  return listed.length - down.length - 1 < majority && down.length > 0
    ? "S4: leaves no majority"
    : votersHarm(world, member);
}

/** Of an engine's own voters a majority is left, where there was one that did not need the member. */
function votersHarm(world: Simulator, member: string): string | undefined {
  const { group } = world;
  if (group === undefined || group.voters.length < 3 || !group.voters.includes(member)) return undefined;
  const left = group.voters.filter((name) => name !== member && group.isUp(world, name));
  return left.length > group.voters.length / 2 ? undefined : "S4: leaves the engine without a majority";
}

/**
 * S9: whether steps that could cost more of the error budget have to wait: an objective burns too fast, its budget is spent, or nobody
 * knows; and no person has said that they are urgent.
 */
function isGateClosed({ spec, measured, annotations, nowMs }: Simulator): boolean {
  if (spec.slo?.whenExhausted !== "Freeze") return false;
  const urgentMs = Date.parse(annotations[ANNOTATION_URGENT_UNTIL] ?? "") - nowMs;
  if (urgentMs > 0 && urgentMs <= DAY_MS) return false;
  const { budgets = [] } = measured ?? {};
  return budgets.length === 0 || budgets.some(({ remaining, alert }) => remaining <= 0 || alert !== "None");
}

/** A serving member is brought to what is not known to work only while the gate is open. What serves nobody waits for nobody. */
function gatedUpdate(world: Simulator, { metadata }: Manifest): string | undefined {
  const before = hashOf(world.children.get(childKey("StatefulSet", metadata.name))?.manifest);
  const after = hashOf({ metadata });
  return before === undefined || before === after ? undefined : advanceHarm(world, metadata.name, after);
}

function gatedReplacement(world: Simulator, member: string): string | undefined {
  const wanted = hashOf(world.children.get(childKey("StatefulSet", member))?.manifest);
  const pod = world.pods.get(member);
  return pod === undefined || pod.templateHash === wanted ? undefined : advanceHarm(world, member, wanted);
}

function advanceHarm(world: Simulator, member: string, hash: string | undefined): string | undefined {
  const serves = world.pods.get(member)?.ready === true;
  if (!isGateClosed(world) || !serves || goodHashes(world).includes(hash)) return undefined;
  return `S9: brings ${member} to another revision past the error budget`;
}

function intentHarm(world: Simulator, manifest: Manifest): string | undefined {
  const data = manifest["data"] as Readonly<Record<string, string>>;
  const next = Intent.parse(JSON.parse(data[INTENT_KEY] ?? ""));
  const now = world.intent;
  const { member: given } = next.agent ?? {};
  if (given !== undefined && given !== now?.agent?.member && isGateClosed(world))
    return `S9: replaces the agent of ${given} past the error budget`;
  // A person may move the leader as often as he likes.
  const isOwn = (id: string): boolean => id.includes(".");
  const isNew = next.switchover !== null && next.switchover.id !== now?.switchover?.id && isOwn(next.switchover.id);
  const lately = world.handovers.filter(({ id, atMs }) => isOwn(id) && world.nowMs - atMs < FLAPPING_MS);
  return isNew && lately.length >= MOST_HANDOVERS ? "S8: moves the leader again and again" : undefined;
}

/** L4: Ready is said only while every member that is wanted is ready, by what was seen, and somebody leads. */
export function assertTruthful({ members }: Observation, { conditions = [] }: ClusterStatus, wanted: number): void {
  if (conditions.find(({ type }) => type === "Ready")?.status !== "True") return;
  const ready = members.filter(({ pod }) => pod?.ready === true);
  const leads = ready.some(({ pod }) => pod?.report?.role === "leader");
  if (ready.length < wanted || !leads)
    throw new Error(`L4: Ready is True with ${ready.length} of ${wanted} members ready`);
}
