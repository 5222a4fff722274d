// The steps of a canary, and what must be so before the next one.
import { ANNOTATION_PROMOTE } from "../build/labels.ts";
import { revisionOf } from "../build/stateful-set.ts";
import { isInSync, type World } from "./facts.ts";
import { isFleet } from "./fleet.ts";
import { analyses, budgetBlock, priorityBlock, windowBlock } from "./gates.ts";
import type { MemberView, PodView } from "./observation.ts";
import { annotateCommand } from "./override.ts";
import type { Block, Step } from "./plan.ts";
import { noteWanted, wantedRecord } from "./revisions.ts";

/** How far a roll may go at present. */
export interface Reach {
  /** How many members may be at the new revision. */
  readonly limit: number;
  /** The step in words, such as 2/5; undefined where there are no steps. */
  readonly step?: string;
  /** Why it may not go further although it could. */
  readonly blocked?: Block;
  /** Until when the members of the step bake. */
  readonly bakingUntilMs?: number;
}

/** Numbers of members at the end of each step: the canaries, half, all. */
export function stepLimits(world: World): readonly number[] {
  const count = world.listed.length;
  const { strategy, canary } = world.cluster.intent.update;
  if (strategy === "Rolling") return [count];
  if (isFleet(world.cluster)) return [canary.members, count]; // a canary beside the others: there is no half of both
  const limits = [Math.min(canary.members, Math.max(1, count - 1)), Math.ceil(count / 2), count];
  return limits.filter((limit, at) => limit > Math.max(0, ...limits.slice(0, at)));
}

/** How far an untried revision may go, given the members that are at it. */
export function reachOf(world: World, updated: readonly MemberView[]): Reach {
  const limits = stepLimits(world);
  const count = updated.length;
  const next = limits.find((limit) => limit > count) ?? world.listed.length;
  const step = limits.length > 1 ? { step: `${next}/${world.listed.length}` } : {};
  const closed = closedGate(world);
  const isBetweenSteps = limits.includes(count);
  if (!isBetweenSteps)
    return closed === undefined ? { limit: next, ...step } : { limit: count, ...step, blocked: closed };
  const isThere = updated.every((m) => isInSync(world, m));
  const held = { limit: count, step: `${count}/${world.listed.length}` };
  if (!isThere) return held;
  const bakingUntilMs = bakedMs(world, podsOf(updated));
  if (world.seen.nowMs < bakingUntilMs) return { ...held, bakingUntilMs };
  const isLastStep = limits.indexOf(count) === limits.length - 2;
  const blocked = unproven(world) ?? closed ?? unpromoted(world, isLastStep ? "all" : "half");
  return blocked === undefined ? { limit: next, ...step } : { ...held, blocked };
}

function podsOf(members: readonly MemberView[]): readonly PodView[] {
  return members.flatMap(({ pod }) => pod ?? []);
}

/** When pods that are all ready have baked. */
export function bakedMs(world: World, pods: readonly PodView[]): number {
  const readyMs = Math.max(...pods.map(({ readySinceMs, createdMs }) => readySinceMs ?? createdMs));
  return readyMs + world.cluster.intent.update.canary.bakeSeconds * 1000;
}

/**
 * Why the members of a step that have baked can still not be judged, when the time for that is over; undefined while it is
 * not. A measurement that does not come must not leave a cluster between two revisions for ever.
 */
export function unjudged(world: World, updated: readonly MemberView[]): string | undefined {
  const { length } = updated;
  const isBetweenSteps = length < world.listed.length && stepLimits(world).includes(length);
  if (!isBetweenSteps || !updated.every((m) => isInSync(world, m))) return undefined;
  return unjudgedSince(world, bakedMs(world, podsOf(updated)));
}

/** As {@link unjudged}, of a canary that has baked since `sinceMs`. */
export function unjudgedSince(world: World, sinceMs: number): string | undefined {
  const { progressDeadlineSeconds, canary } = world.cluster.intent.update;
  const missing = analyses(world).find(({ name, verdict }) => {
    const overSeconds = canary.analysis.find((one) => one.name === name)?.overSeconds ?? 0;
    const dueMs = sinceMs + Math.max(progressDeadlineSeconds, overSeconds) * 1000;
    return verdict === "NoData" && world.seen.nowMs >= dueMs;
  });
  if (missing === undefined) return undefined;
  return `analysis ${missing.name} could not be measured within ${progressDeadlineSeconds} s: ${missing.message}`;
}

/** The gate that is closed for the next member of an untried revision. */
export function closedGate(world: World): Block | undefined {
  const what = "the next step of the roll";
  return priorityBlock(world, what) ?? windowBlock(world, what) ?? budgetBlock(world);
}

/** An analysis that has not passed. One that failed has ended the roll before; what cannot be measured proves nothing. */
export function unproven(world: World): Block | undefined {
  const open = analyses(world).find(({ verdict }) => verdict !== "Pass");
  if (open === undefined) return undefined;
  const message = `Analysis ${open.name} has not passed: ${open.message}.`;
  return { guard: "AnalysisPassed", object: open.name, message };
}

/** Steps that let the canary go on to its next step, for an operation. */
export function notePromoted(world: World): readonly Step[] {
  const isAtHalf = wantedRecord(world)?.note.promoted !== "None" || stepLimits(world).length < 3;
  return noteWanted(world, { promoted: isAtHalf ? "All" : "Half" });
}

const LEVELS = ["half", "all"] as const;

/** Promotion by hand that is still missing for the next step. @param needed - Which one that is. */
export function unpromoted(world: World, needed: (typeof LEVELS)[number]): Block | undefined {
  const { cluster } = world;
  if (cluster.intent.update.canary.promotion === "Automatic") return undefined;
  const { templateHash } = revisionOf(world.context);
  const given = LEVELS.find((level) => cluster.annotations[ANNOTATION_PROMOTE] === `${templateHash}.${level}`);
  const noted = wantedRecord(world)?.note.promoted;
  if (given === "all" || noted === "All") return undefined;
  if (needed === "half" && (given === "half" || noted === "Half")) return undefined;
  const message = `The members of this step have baked and every gate is open. The next step, ${needed}, waits for a person to promote it.`;
  const override = annotateCommand(cluster, ANNOTATION_PROMOTE, `${templateHash}.${needed}`);
  return { guard: "PromotionGiven", object: cluster.name, message, override };
}
