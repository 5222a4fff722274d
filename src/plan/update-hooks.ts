// What the Engine wants done around an update, and what it says of the way back: before the first member changes, after the
// last one did, and before members leave a revision for the one before. Nothing is changed while it has not said yes.
import type { HookNote } from "../api/revision-note.ts";
import { ANNOTATION_CONSENT, ANNOTATION_FORCE_ROLLBACK } from "../build/labels.ts";
import { revisionOf } from "../build/stateful-set.ts";
import type { Decision } from "./decision.ts";
import type { World } from "./facts.ts";
import { ask, type Asked, isConsented, type Question, type Side, updateId } from "./hook-request.ts";
import type { MemberView } from "./observation.ts";
import { annotateCommand } from "./override.ts";
import type { Block } from "./plan.ts";
import { isAt, lastGood, noteOn, recordsOf, type SeenRecord, wantedRecord } from "./revisions.ts";

/** What is to be done before a member is brought to an untried revision; undefined: nothing holds it back. */
export function beforeUpdate(world: World): Partial<Decision> | undefined {
  const good = lastGood(world);
  if (good === undefined) return undefined; // a cluster's first revision updates nothing
  const { engine, engineVersion } = world.context;
  const from = sideOf(good);
  const to: Side = { version: engineVersion, revision: revisionOf(world.context).templateHash };
  const [isOneWay, isWayBack] = [isIrreversible(world, { from, to }), isIrreversible(world, { from: to, to: from })];
  if (engine.actions.beforeUpdate === undefined && !isOneWay && !isWayBack) return undefined;
  const record = wantedRecord(world);
  if (record?.note.state !== "Trying") return {}; // noted down in this pass; what hooks said of an earlier try does not count
  if (isWayBack) {
    const held = returnOf(world, { action: "canRollBack", record, from, to }, DECLARED);
    if (held !== undefined) return held;
  } else if (record.note.hooks.canRollBack !== undefined) {
    return { reports: noteOn(world, record, { hooks: {} }) }; // members had been on their way back: begun anew
  }
  if (isOneWay && !isConsented(world, record)) return unconsented(world, record, DECLARED);
  if (engine.actions.beforeUpdate === undefined) return undefined;
  const asked = ask(world, { action: "beforeUpdate", record, from, to });
  const { answer } = asked;
  if (asked.decision === undefined)
    return answer?.result === "Done" ? undefined : unconsented(world, record, answer?.message ?? "");
  const isHeld = answer !== undefined && (answer.result === "Failed" || answer.consent);
  return isHeld ? withBlock(asked, failedHook(world, "UpdatePrepared", answer)) : asked.decision;
}

/** What is left to be done once every member runs the revision that was tried; undefined: nothing is. */
export function afterUpdate(world: World): Partial<Decision> | undefined {
  const good = lastGood(world);
  const record = wantedRecord(world);
  if (world.context.engine.actions.afterUpdate === undefined || good === undefined || record === undefined)
    return undefined;
  const asked = ask(world, { action: "afterUpdate", record, from: sideOf(good), to: sideOf(record) });
  if (asked.decision === undefined) return undefined;
  const { answer } = asked;
  return answer === undefined || answer.result === "Done"
    ? asked.decision
    : withBlock(asked, failedHook(world, "UpdateFinished", answer));
}

/** What is to be done before `leaving` are brought back to the last revision that worked; undefined: nothing holds them back. */
export function beforeRollback(world: World, leaving: readonly MemberView[]): Partial<Decision> | undefined {
  const good = lastGood(world);
  if (good === undefined) return undefined;
  const left = recordsOf(world.seen).filter(
    (record) => record.note.state !== "Good" && leaving.some((member) => isAt(member, record)),
  );
  for (const record of left) {
    const [from, to] = [sideOf(record), sideOf(good)];
    const said = record.note.irreversible;
    const why = said === "" && isIrreversible(world, { from: to, to: from }) ? DECLARED : said;
    const held = returnOf(world, { action: "canRollBack", record, from, to }, why);
    if (held !== undefined) return held;
  }
  return undefined;
}

const DECLARED = "the Engine lists it in irreversibleFrom";

/** @param why - Why there is no way back as far as anybody said; empty when nobody did. The hook's word counts more. */
function returnOf(world: World, question: Question, why: string): Partial<Decision> | undefined {
  const { record } = question;
  if (world.cluster.annotations[ANNOTATION_FORCE_ROLLBACK] === updateId(record)) return undefined;
  if (world.context.engine.actions.canRollBack === undefined) {
    return why === "" ? undefined : { busy: false, blocked: [noReturn(world, question, why)] };
  }
  const asked = ask(world, question);
  const { answer } = asked;
  if (asked.decision === undefined) {
    if (answer?.result === "Done") return undefined;
    return { busy: false, blocked: [noReturn(world, question, answer?.message ?? "")] };
  }
  if (answer?.result !== "Failed") return asked.decision;
  return withBlock(asked, noReturn(world, question, `it could not say: ${answer.message}`));
}

/** While it pauses, other changes may pass. */
function withBlock({ decision, nextTryMs }: Asked, block: Block): Partial<Decision> {
  const blocked = [...(decision?.blocked ?? []), nextTryMs === undefined ? block : { ...block, nextTryMs }];
  return { ...decision, busy: nextTryMs === undefined, blocked };
}

function failedHook(world: World, guard: "UpdatePrepared" | "UpdateFinished", { message }: HookNote): Block {
  const what =
    guard === "UpdatePrepared"
      ? "The Engine's beforeUpdate did not succeed, so no member is changed"
      : "Every member runs the revision, but the Engine's afterUpdate did not succeed";
  const text = `${what}: ${sentence(message)} It is tried again by itself; mend that, or take the change back.`;
  return { guard, object: world.cluster.name, message: text };
}

function unconsented(world: World, record: SeenRecord, why: string): Partial<Decision> {
  const message = `The change to revision ${record.templateHash} cannot be taken back: ${sentence(why)} Nothing was changed. Make sure that there is a backup and consent, or take the change back.`;
  const override = annotateCommand(world.cluster, ANNOTATION_CONSENT, updateId(record));
  const guard = "IrreversibleChangeConsented";
  return { busy: false, blocked: [{ guard, object: world.cluster.name, message, override }] };
}

function noReturn(world: World, { record, to }: Question, why: string): Block {
  const message = `Members cannot go back to revision ${to.revision}: ${sentence(why)} Correct the spec so that they go forward, or restore a backup. The command lets them go back all the same.`;
  const override = annotateCommand(world.cluster, ANNOTATION_FORCE_ROLLBACK, updateId(record));
  return { guard: "RollbackPossible", object: world.cluster.name, message, override };
}

function sentence(text: string): string {
  return `${text.replace(/[.\s]+$/, "")}.`;
}

function sideOf({ templateHash, note }: SeenRecord): Side {
  return { version: note.version, revision: templateHash };
}

/** Whether the Engine says that the earlier version cannot use the data any more once the later one led. */
function isIrreversible({ context }: World, { from, to }: Pick<Question, "from" | "to">): boolean {
  const entry = context.engine.versions.find(({ version }) => version === to.version);
  return entry?.irreversibleFrom.includes(from.version) === true;
}
