// What people are told of a roll, whatever the members are made of.
import type { RolloutStatus } from "../api/update.ts";
import { ANNOTATION_RETRY } from "../build/labels.ts";
import type { Revision } from "../build/stateful-set.ts";
import type { World } from "./facts.ts";
import { annotateCommand } from "./override.ts";
import type { Block } from "./plan.ts";
import { failureOfWanted, lastGood, recordsOf } from "./revisions.ts";
import { timestamp } from "./timestamp.ts";

/** A revision's hash as people read it. */
export function shortHash({ templateHash }: Revision): string {
  return templateHash.slice(0, 8);
}

/** What the spec asks for was tried and did not work; undefined when that is not so. */
export function standingBlock(world: World): Block | undefined {
  const failed = failureOfWanted(world);
  if (failed === undefined) return undefined;
  const { note, templateHash } = failed;
  const good = lastGood(world);
  const where =
    good === undefined
      ? "No revision is known to have worked, so members stay as they are."
      : world.cluster.intent.update.onFailure === "Hold"
        ? "spec.update.onFailure is Hold, so members stay as they are."
        : `Members run ${shortHash(good)}, the last one that worked.`;
  const message = `Revision ${shortHash(failed)} failed: ${note.reason}. ${where} It is not tried again until the spec changes.`;
  const override = annotateCommand(world.cluster, ANNOTATION_RETRY, `${templateHash}.${note.failures}`);
  return { guard: "RevisionFailed", object: world.cluster.name, message, override };
}

/** How far a roll to `target` is, with what is remembered of revisions that failed. */
export function rolloutStatus(
  world: World,
  target: Revision,
  { phase, updated, step }: Pick<RolloutStatus, "phase" | "updated" | "step">,
): RolloutStatus {
  const records = recordsOf(world.seen);
  const failed = records
    .filter(({ note }) => note.state === "Failed")
    .map(({ templateHash, note }) => ({ revision: templateHash, reason: note.reason }));
  return {
    revision: target.templateHash,
    phase,
    updated,
    ...(step === undefined ? {} : { step }),
    startedAt: startOf(world, target),
    ...(failed.length === 0 ? {} : { failed: failed.slice(0, 8) }),
  };
}

/** When it began: as noted down or as told before, which stays the same from one pass to the next. */
function startOf({ seen, cluster }: World, { templateHash }: Revision): string {
  const record = recordsOf(seen).find((one) => one.templateHash === templateHash);
  const { rollout } = cluster.status;
  const told = rollout?.revision === templateHash ? rollout.startedAt : undefined;
  return record?.note.startedAt ?? told ?? timestamp(seen.nowMs);
}
