// What became of a roll since the last pass: told as Events and counted, by comparing with the last status, so that a
// restarted operator neither tells nor counts anything twice.
import type { RolloutStatus } from "../api/update.ts";
import type { EventNote } from "../kube/events.ts";
import type { RolloutResult } from "../telemetry/cluster-metrics.ts";

/** One thing that happened to a roll. */
export interface RolloutNews {
  readonly event: EventNote;
  /** Absent for a beginning. */
  readonly result?: RolloutResult;
}

const ENDED: readonly RolloutStatus["phase"][] = ["Complete", "RolledBack", "Held"];

/** What is new about the roll that `now` tells of. A cluster's first revision is no roll. */
export function rolloutNews(before: RolloutStatus | undefined, now: RolloutStatus | undefined): readonly RolloutNews[] {
  if (before === undefined || now === undefined) return [];
  const isOther = before.revision !== now.revision;
  const changed = isOther || before.phase !== now.phase;
  const begins = !ENDED.includes(now.phase) && (isOther || ENDED.includes(before.phase));
  const isBack = now.phase === "RollingBack";
  const known = new Set((before.failed ?? []).map(({ revision }) => revision));
  const failed = (now.failed ?? []).filter(({ revision }) => !known.has(revision));
  return [
    ...failed.map(({ revision, reason }) => {
      return {
        ...told("RolloutFailed", `Revision ${revision} failed: ${reason}.`, "Warning"),
        result: "failed",
      } as const;
    }),
    ...(begins && !isBack ? [told("RolloutStarted", `Members are brought to revision ${now.revision}.`)] : []),
    ...(begins && isBack ? [told("RollbackStarted", `Members go back to revision ${now.revision}.`)] : []),
    ...(changed && now.phase === "Complete"
      ? [{ ...told("RolloutCompleted", `All members run revision ${now.revision}.`), result: "completed" } as const]
      : []),
    ...(changed && now.phase === "RolledBack"
      ? [{ ...told("RolledBack", `All members are back at revision ${now.revision}.`), result: "rolled_back" } as const]
      : []),
  ];
}

function told(reason: string, note: string, type: EventNote["type"] = "Normal"): { readonly event: EventNote } {
  return { event: { type, reason, action: "Rollout", note } };
}
