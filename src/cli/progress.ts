/** How far long work is, as a bar and a count. Pure: what is read is the status that everybody can read. */
import type { ClusterSpec } from "../api/cluster-spec.ts";
import type { OperationStatus } from "../api/cluster-operation.ts";
import { duration } from "./ago.ts";
import type { Palette } from "./palette.ts";

/** So many of so many. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  /** What is counted, such as `members ready`. */
  readonly what: string;
}

const WIDTH = 24;

/** The bar, a quarter full for 1 of 4. */
export function progressBar({ done, total }: Pick<Progress, "done" | "total">, palette: Palette): string {
  const filled = Math.round((WIDTH * Math.min(Math.max(done, 0), total)) / Math.max(total, 1));
  return palette.green("█".repeat(filled)) + palette.dim("░".repeat(WIDTH - filled));
}

/** Bar, count, and the time that it has taken of the time that it may take. */
export function progressLine(
  progress: Progress,
  { elapsedMs, limitMs }: { readonly elapsedMs: number; readonly limitMs: number },
  palette: Palette,
): string {
  const { done, total, what } = progress;
  const times = palette.dim(`${duration(elapsedMs)} of ${duration(limitMs)}`);
  return `${progressBar(progress, palette)} ${done}/${total} ${what}, ${times}`;
}

const ROLLS = ["Progressing", "Baking", "Blocked", "RollingBack"];

/** How far a cluster is on its way to what its spec asks for: by its roll, else by its shards, else by its members. */
export function clusterProgress({ status }: Pick<ClusterSpec, "status">): Progress {
  const { rollout, shards = [], readyMembers = 0, desiredMembers = 0 } = status;
  if (rollout !== undefined && ROLLS.includes(rollout.phase)) {
    const step = rollout.step === undefined ? "" : ` (step ${rollout.step})`;
    const total = Math.max(desiredMembers, rollout.updated.length);
    return { done: rollout.updated.length, total, what: `members at revision ${rollout.revision}${step}` };
  }
  if (shards.length > 0)
    return { done: shards.filter(({ ready }) => ready).length, total: shards.length, what: "shards ready" };
  return { done: readyMembers, total: desiredMembers, what: "members ready" };
}

/** What the planner counts in its own messages: `1/3 restarted, orders-1 is next`. */
const COUNTED = /^(\d+)\/(\d+) (?:members )?(restarted|defragmented|replaced|done)\b/;

/** How far an operation is: by the members that it goes through, or else by its own two steps, to be taken up and to be carried out. */
export function operationProgress({ phase = "Pending", message = "" }: OperationStatus): Progress {
  const [, done, total, what = ""] = COUNTED.exec(message) ?? [];
  if (done !== undefined && total !== undefined)
    return { done: Number(done), total: Number(total), what: `members ${what}` };
  return { done: { Pending: 0, Running: 1, Done: 2, Refused: 1, Failed: 1 }[phase], total: 2, what: "steps" };
}
