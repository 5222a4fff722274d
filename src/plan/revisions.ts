// Which revision members are to be brought to. The spec says which one is wanted; what was noted down about it says
// whether it is tried, known to work, or failed, and then the last one that worked takes its place.
import type { RevisionNote } from "../api/revision-note.ts";
import { ANNOTATION_ABORT, ANNOTATION_RETRY } from "../build/labels.ts";
import { childKey } from "../build/manifest.ts";
import {
  buildRevision,
  parseRevision,
  pinnedTemplate,
  renderRevision,
  type RevisionRecord,
} from "../build/revision.ts";
import { type PinnedTemplate, type Revision, revisionOf } from "../build/stateful-set.ts";
import { applyRecipe } from "./difference.ts";
import type { World } from "./facts.ts";
import { burningBudgets } from "./gates.ts";
import type { ChildView, MemberView, Observation } from "./observation.ts";
import type { Step } from "./plan.ts";
import { timestamp } from "./timestamp.ts";

const KEPT_FAILURES = 3; // older ones would only be tried again if somebody returned to them after that many others

/** Where members are to go. */
export interface Target extends Revision {
  /**
   * Forward to what the spec asks for; Back to the last revision that worked; Held where it is, because the wanted one
   * failed and nothing may or can be done about it.
   */
  readonly direction: "Forward" | "Back" | "Held";
  /** Members ran it before, all of them: nothing is left to be tried. */
  readonly isProven: boolean;
  /** The template to use; absent: the one that the spec renders. */
  readonly record: RevisionRecord | undefined;
}

/** A recorded revision with the incarnation of its object. */
export interface SeenRecord extends RevisionRecord {
  readonly name: string;
  readonly uid: string;
}

const REVISIONS = childKey("ControllerRevision", "");
const known = new WeakMap<Observation, readonly SeenRecord[]>(); // asked for many times in one pass
const parsed = new WeakMap<object, SeenRecord | undefined>(); // by live object, which never changes

/** All recorded revisions, the one that was wanted last first. */
export function recordsOf(seen: Observation): readonly SeenRecord[] {
  const records = known.get(seen) ?? readRecords(seen);
  known.set(seen, records);
  return records;
}

function readRecords(seen: Observation): readonly SeenRecord[] {
  const found: SeenRecord[] = [];
  for (const [key, child] of seen.children) {
    const record =
      key.startsWith(REVISIONS) && !child.deleting ? recordOf(child, key.slice(REVISIONS.length)) : undefined;
    if (record !== undefined) found.push(record);
  }
  return found.toSorted(
    (a, b) => Date.parse(b.note.startedAt) - Date.parse(a.note.startedAt) || (a.name < b.name ? -1 : 1),
  );
}

function recordOf({ live, uid }: ChildView, name: string): SeenRecord | undefined {
  if (parsed.has(live)) return parsed.get(live);
  const record = parseRevision(live);
  // Added to it, because a copy would hold on to the text of the template.
  const seen = record === undefined ? undefined : Object.assign(record, { name, uid });
  parsed.set(live, seen);
  return seen;
}

/** What is noted down about the revision that the spec asks for. */
export function wantedRecord(world: World): SeenRecord | undefined {
  const { templateHash } = revisionOf(world.context);
  return recordsOf(world.seen).find((record) => record.templateHash === templateHash);
}

/** The revision that all members ran last. */
export function lastGood(world: World): SeenRecord | undefined {
  return recordsOf(world.seen).find((record) => record.note.state === "Good");
}

/** Whether a member, or its pod, is at a recorded revision. */
export function isAt({ statefulSet, pod }: MemberView, { templateHash }: SeenRecord): boolean {
  return statefulSet?.revision?.templateHash === templateHash || pod?.templateHash === templateHash;
}

/** Where members are to go now. */
export function targetOf(world: World): Target {
  const wanted = revisionOf(world.context);
  const forward = { ...wanted, record: undefined };
  const good = lastGood(world);
  const failure = failureOfWanted(world);
  if (failure === undefined) {
    return { ...forward, direction: "Forward", isProven: wantedRecord(world)?.note.state === "Good" };
  }
  const mayGoBack = good !== undefined && world.cluster.intent.update.onFailure === "Rollback";
  if (!mayGoBack) return { ...forward, direction: "Held", isProven: false };
  return {
    templateHash: good.templateHash,
    inputHash: good.inputHash,
    direction: "Back",
    isProven: true,
    record: good,
  };
}

/**
 * The record that says that what the spec asks for has failed; undefined when it is to be tried. The same input that
 * another version of the operator renders differently is the same revision to the user.
 */
export function failureOfWanted(world: World): SeenRecord | undefined {
  const wanted = revisionOf(world.context);
  const good = lastGood(world);
  return recordsOf(world.seen).find(
    (record) =>
      record.note.state === "Failed" &&
      !isRetried(world, record) &&
      (record.templateHash === wanted.templateHash ||
        (record.inputHash === wanted.inputHash && record.inputHash !== good?.inputHash)),
  );
}

/** Whether the user wants a failed revision tried again. It counts for the failure that is named, not for later ones. */
function isRetried(world: World, { templateHash, note }: RevisionRecord): boolean {
  return world.cluster.annotations[ANNOTATION_RETRY] === `${templateHash}.${note.failures}`;
}

/** Whether the user gave up the revision that the spec asks for. */
export function isAborted(world: World): boolean {
  return world.cluster.annotations[ANNOTATION_ABORT] === revisionOf(world.context).templateHash;
}

/** The template that a member gets which has none: what lives beside an untried revision comes back as the others are. */
export function templateForNew(world: World, member: string): PinnedTemplate | undefined {
  const wanted = wantedRecord(world)?.note.state;
  const good = lastGood(world);
  return wanted === "Good" || good === undefined ? undefined : pinnedTemplate(good, member);
}

/** Steps that note down `change` about the wanted revision, if it is not noted yet. */
export function noteWanted(world: World, change: Partial<RevisionNote>): readonly Step[] {
  const record = wantedRecord(world) ?? renderRevision(world.context, freshNote(world));
  return noteOn(world, record, change);
}

function freshNote(world: World): RevisionNote {
  return {
    state: "Trying",
    startedAt: timestamp(world.seen.nowMs),
    failures: 0,
    reason: "",
    promoted: "None",
    version: world.context.engineVersion,
    hooks: {},
    irreversible: "",
  };
}

/** Steps that note down `change` about a recorded revision, if it is not noted yet. */
export function noteOn(world: World, record: RevisionRecord, change: Partial<RevisionNote>): readonly Step[] {
  const note = { ...record.note, ...change };
  const { templateHash, inputHash } = record;
  const recipe = {
    of: `revision ${templateHash}`,
    inputs: `${inputHash} ${JSON.stringify(note)}`,
    build: () => [buildRevision(world.context, { ...record, note })],
  };
  return applyRecipe(world.context, recipe, world.seen.children);
}

/**
 * Steps that note down that the wanted revision is tried from now on, for the first time or once more, and whether what burns did so
 * before the last step. @param stepsNow - Whether a step is taken in this pass.
 */
export function noteTrying(world: World, stepsNow: boolean): readonly Step[] {
  const note = wantedRecord(world)?.note;
  if (note?.state === "Good") return [];
  const isNoted = note?.state === "Trying" && note.burnsSinceBefore === true;
  const burnsSinceBefore = (stepsNow || isNoted) && burningBudgets(world).length > 0 ? true : undefined;
  if (note?.state === "Trying") return noteWanted(world, { burnsSinceBefore });
  const startedAt = timestamp(world.seen.nowMs);
  return noteWanted(world, {
    state: "Trying",
    startedAt,
    promoted: "None",
    hooks: {},
    irreversible: "",
    burnsSinceBefore,
  });
}

/** Steps that note down that the wanted revision failed, once more. */
export function noteFailed(world: World, why: string): readonly Step[] {
  const failures = (wantedRecord(world)?.note.failures ?? 0) + 1;
  const steps = noteWanted(world, { state: "Failed", failures, reason: why.slice(0, 1024) });
  return steps.map((step) => (step.kind === "Apply" ? { ...step, isFinal: true } : step));
}

/** Steps that note down that every member runs the wanted revision, and forget those that nobody will go back to. */
export function noteGood(world: World): readonly Step[] {
  const noted = noteWanted(world, { state: "Good", reason: "" });
  if (noted.length > 0 || world.seen.stateMayHaveGoneBack) return noted;
  const others = recordsOf(world.seen).filter((r) => r.templateHash !== revisionOf(world.context).templateHash);
  const failed = others.filter((r) => r.note.state === "Failed");
  const forgotten = [...others.filter((r) => r.note.state !== "Failed"), ...failed.slice(KEPT_FAILURES)];
  const { namespace } = world.cluster;
  return forgotten.map(({ name, uid }) => ({
    kind: "Delete",
    object: { apiVersion: "apps/v1", kind: "ControllerRevision", namespace, name, uid },
    reason: "no member goes back to it",
  }));
}
