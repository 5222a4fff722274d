// A revision of the members' pods as an object of its own: the template of any member, and what became of it. It outlives
// status and every StatefulSet that used it, so members can go back to it when none of them has it any more.
import { RevisionNote } from "../api/revision-note.ts";
import { ANNOTATION_TEMPLATE_HASH, nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { canonicalJson } from "./hash.ts";
import { ANNOTATION_INPUT_HASH, ANNOTATION_REVISION_NOTE, child, LABEL_REVISION } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { buildPodTemplate } from "./pod-template.ts";
import { type PinnedTemplate, type Revision, revisionOf } from "./stateful-set.ts";

/** A revision as it was recorded. */
export interface RevisionRecord extends Revision {
  /** The template of ANY_MEMBER as JSON. */
  readonly template: string;
  readonly note: RevisionNote;
}

const ANY_MEMBER = "<member>"; // no name of anything, so nothing else in a template can be taken for it

/** The revision that `context` renders, with nothing noted yet. */
export function renderRevision(context: BuildContext, note: RevisionNote): RevisionRecord {
  return { ...revisionOf(context), template: canonicalJson(buildPodTemplate(context, ANY_MEMBER)), note };
}

/** The ControllerRevision that keeps a revision. The API server refuses any change of its template. */
export function buildRevision(context: BuildContext, record: RevisionRecord): Manifest {
  const { templateHash, inputHash, template, note } = record;
  const name = nameOf.revision(context.name, templateHash);
  const object = child(context, { apiVersion: "apps/v1", kind: "ControllerRevision" }, name, {
    data: { template },
    revision: 1, // required; ours are told apart by their hash
  });
  const labels = { ...object.metadata.labels, [LABEL_REVISION]: templateHash };
  const annotations = {
    [ANNOTATION_TEMPLATE_HASH]: templateHash,
    [ANNOTATION_INPUT_HASH]: inputHash,
    [ANNOTATION_REVISION_NOTE]: canonicalJson(note),
  };
  return { ...object, metadata: { ...object.metadata, labels, annotations } };
}

/** A ControllerRevision as the API server has it; only what we read is named. */
interface LiveRevision {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
  readonly data?: { readonly template?: unknown };
}

/** Reads a ControllerRevision. @returns undefined when it is none of ours, or was spoiled by hand. */
export function parseRevision(live: LiveRevision): RevisionRecord | undefined {
  const { annotations = {} } = live.metadata ?? {};
  const templateHash = annotations[ANNOTATION_TEMPLATE_HASH];
  const inputHash = annotations[ANNOTATION_INPUT_HASH];
  const { data } = live;
  const note = parseNote(annotations[ANNOTATION_REVISION_NOTE]);
  if (templateHash === undefined || inputHash === undefined || note === undefined) return undefined;
  if (typeof data?.template !== "string") return undefined;
  return {
    templateHash,
    inputHash,
    note,
    get template() {
      return String(data.template); // large, seldom asked for, and packed in `live`
    },
  };
}

function parseNote(text: string | undefined): RevisionNote | undefined {
  try {
    return RevisionNote.safeParse(JSON.parse(text ?? "")).data;
  } catch {
    return undefined;
  }
}

/** The recorded template for one member. */
export function pinnedTemplate(record: RevisionRecord, member: string): PinnedTemplate {
  const { templateHash, inputHash } = record;
  return { templateHash, inputHash, template: named(JSON.parse(record.template), member) };
}

function named(value: unknown, member: string): unknown {
  if (value === ANY_MEMBER) return member;
  if (value === nameOf.volume(ANY_MEMBER)) return nameOf.volume(member);
  if (Array.isArray(value)) return value.map((item) => named(item, member));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, named(field, member)]));
}
