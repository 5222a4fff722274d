// What must be true of the outside before a risky step: error budget, analyses of a canary, maintenance windows.
// observe/ measures; these functions only judge what was measured, so the same observation always gives the same answer.
import { ANNOTATION_URGENT_UNTIL } from "../build/labels.ts";
import { revisionOf } from "../build/stateful-set.ts";
import type { World } from "./facts.ts";
import { isOpen, nextOpening, windowProblem } from "./maintenance.ts";
import { annotateCommand, patchCommand } from "./override.ts";
import type { Guard } from "./guards.ts";
import type { Measured } from "./observation.ts";
import type { Block } from "./plan.ts";

import type { AnalysisVerdict } from "../slo/analysis.ts";
import { judgeBudgets, type SloVerdict } from "../slo/verdict.ts";

export type { AnalysisVerdict };

/** What the gates look at. */
export type GatedWorld = Pick<World, "seen" | "cluster">;

const URGENT_AT_MOST_MS = 86_400_000; // an exception that nobody remembers to take back must end by itself

/** Why the error budget does not allow a risky step now; undefined when it does. */
export function budgetBlock(world: GatedWorld): Block | undefined {
  return isUrgent(world) ? undefined : frozenBudget(world);
}

/** Why no maintenance window allows `what` now, and when the next one opens; undefined when one is open or none is asked for. */
export function windowBlock(world: GatedWorld, what: string): Block | undefined {
  return isUrgent(world) ? undefined : closedWindows(world, what);
}

/** Why no pod can be made, whatever it is for; undefined when one can. @param what - That begins with a pod that must be made again. */
export function priorityBlock({ seen, cluster }: GatedWorld, what?: string): Block | undefined {
  const name = seen.missingPriorityClass;
  if (name === undefined) return undefined;
  const refused = `There is no PriorityClass ${name}, which spec.pods.priorityClassName names: the API server refuses every new pod.`;
  const message = `${refused} ${what === undefined ? "Correct the name, or create the class." : `So ${what} does not begin.`}`;
  const override = patchCommand(cluster, { pods: { priorityClassName: null } });
  return { guard: "PriorityClassKnown", object: what === undefined ? name : cluster.name, message, override };
}

/** The analyses of spec.update.canary as last measured, in the order of the spec. */
export function analyses({ seen, cluster, context }: World): readonly AnalysisVerdict[] {
  const { templateHash } = revisionOf(context);
  const trial = seen.measured?.trial;
  // A verdict on the revision before says nothing about this one.
  const verdicts = trial?.revision === templateHash ? trial.verdicts : [];
  return cluster.intent.update.canary.analysis.map(
    ({ name }) =>
      verdicts.find((one) => one.name === name) ?? { name, verdict: "NoData", message: "it was not yet measured" },
  );
}

/** A guard that an annotation lets changes pass now. */
export interface Overridden {
  readonly guard: Guard;
  readonly untilMs: number;
}

/** The gates that would hold changes back, if the user's annotation did not say that they are urgent. */
export function overriddenGates(world: GatedWorld): readonly Overridden[] {
  const untilMs = urgentUntilMs(world);
  if (untilMs === undefined) return [];
  return [frozenBudget(world), closedWindows(world, "changes")].flatMap((block) =>
    block === undefined ? [] : { guard: block.guard, untilMs },
  );
}

const NOTHING_MEASURED: Pick<Measured, "budgets" | "missing"> = {
  budgets: undefined,
  missing: "the operator has not yet measured for five minutes",
};

/** What the budgets say of the objectives; undefined when there are no objectives. */
export function objectivesVerdict({ seen, cluster }: GatedWorld): SloVerdict | undefined {
  if (cluster.intent.slo === undefined) return undefined;
  const { budgets, missing } = seen.measured ?? NOTHING_MEASURED;
  return judgeBudgets(budgets, missing);
}

/** The clients' budgets that burn so fast that somebody is paged. An API server that is slow is no fault of a revision. */
export function burningBudgets({ seen }: Pick<World, "seen">): readonly string[] {
  const budgets = seen.measured?.budgets ?? [];
  return budgets.flatMap(({ name, alert }) => (alert === "Page" && name !== "ApiLatency" ? name : []));
}

function frozenBudget(world: GatedWorld): Block | undefined {
  const { cluster } = world;
  const verdict = objectivesVerdict(world);
  if (verdict === undefined || verdict.status === "True" || cluster.intent.slo?.whenExhausted !== "Freeze")
    return undefined;
  const message = `${verdict.message} No change begins that could cost more of it.${ignoredUrgency(world)}`;
  return { guard: "BudgetLeft", object: cluster.name, message, override: urgentCommand(world) };
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
  const windows = maintenanceWindows.filter((window) => windowProblem(window) === undefined);
  if (maintenanceWindows.length === 0 || windows.some((window) => isOpen(window, seen.nowMs))) return undefined;
  const next = nextOpening(windows, seen.nowMs);
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
