// What must be true of the outside before a risky step: error budget, analyses of a canary, maintenance windows.
// observe/ measures; these functions only judge what was measured, so the same observation always gives the same answer.
import { ANNOTATION_URGENT_UNTIL } from "../build/labels.ts";
import type { World } from "./facts.ts";
import { isOpen, nextOpening } from "./maintenance.ts";
import { annotateCommand } from "./override.ts";
import type { Block } from "./plan.ts";

/** One analysis of a canary as it was last measured. */
export interface AnalysisVerdict {
  readonly name: string;
  /** NoData counts as not passed: what cannot be measured proves nothing. */
  readonly verdict: "Pass" | "Fail" | "NoData";
  readonly message: string;
}

/** What the gates look at. */
export type GatedWorld = Pick<World, "seen" | "cluster">;

const URGENT_AT_MOST_MS = 86_400_000; // an exception that nobody remembers to take back must end by itself

/** Why the error budget does not allow a risky step now; undefined when it does. */
export function budgetBlock(_world: GatedWorld): Block | undefined {
  return undefined;
}

/** Why no maintenance window allows `what` now, and when the next one opens; undefined when one is open or none is asked for. */
export function windowBlock(world: GatedWorld, what: string): Block | undefined {
  return isUrgent(world) ? undefined : closedWindows(world, what);
}

/** The analyses of spec.update.canary as last measured, in the order of the spec. */
export function analyses(_world: GatedWorld): readonly AnalysisVerdict[] {
  return [];
}

/** Until when the user's annotation lets changes pass budget and windows; undefined when it does not. */
export function urgentUntilMs({ seen, cluster }: GatedWorld): number | undefined {
  const untilMs = Date.parse(cluster.annotations[ANNOTATION_URGENT_UNTIL] ?? "");
  const isInForce = untilMs > seen.nowMs && untilMs <= seen.nowMs + URGENT_AT_MOST_MS;
  return isInForce ? untilMs : undefined;
}

function isUrgent(world: GatedWorld): boolean {
  return urgentUntilMs(world) !== undefined;
}

function closedWindows(world: GatedWorld, what: string): Block | undefined {
  const { seen, cluster } = world;
  const { maintenanceWindows } = cluster.intent;
  if (maintenanceWindows.length === 0 || maintenanceWindows.some((window) => isOpen(window, seen.nowMs)))
    return undefined;
  const next = nextOpening(maintenanceWindows, seen.nowMs);
  const opens =
    next === undefined
      ? "None opens again."
      : `${next.window.name} opens next, at ${new Date(next.atMs).toISOString().slice(0, 16)}Z, for ${next.window.durationMinutes} minutes.`;
  const message = `No maintenance window is open for ${what}. ${opens}${ignoredUrgency(world)}`;
  const block: Block = { guard: "WindowOpen", object: cluster.name, message, override: urgentCommand(world) };
  return next === undefined ? block : { ...block, nextTryMs: next.atMs };
}

/** The command that lets changes pass for an hour. It is the same at any time, so that status does not change with it. */
function urgentCommand({ cluster }: GatedWorld): string {
  return annotateCommand(cluster, ANNOTATION_URGENT_UNTIL, `"$(date -u -d '+1 hour' +%FT%TZ)"`);
}

/** Why an annotation that is there does not count. */
function ignoredUrgency(world: GatedWorld): string {
  const text = world.cluster.annotations[ANNOTATION_URGENT_UNTIL];
  const untilMs = Date.parse(text ?? "");
  if (text === undefined || untilMs <= world.seen.nowMs) return "";
  const why = Number.isNaN(untilMs) ? "is not a time such as 2030-01-31T12:00:00Z" : "is more than a day ahead";
  return ` The annotation ${ANNOTATION_URGENT_UNTIL} ${why} and is ignored.`;
}
