// What a watch promises, as etcd's robustness tests state it, checked on what a reflector emitted and its store made of it.
// The truth to compare with comes from etcd itself and passes neither the API server nor our client.
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import type { ReflectorEvent } from "../../src/kube/reflector-event.ts";
import type { Change } from "../../src/kube/store.ts";

/** An object in etcd at one revision. */
export interface TruthObject {
  readonly uid: string;
  readonly revision: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** One write in etcd; `object` is absent for a deletion, `previous` for a creation. */
export interface TruthEvent {
  readonly revision: number;
  readonly name: string;
  readonly object?: TruthObject;
  readonly previous?: TruthObject;
}

/** What a reflector emitted, each event with the changes that the store made of it. */
export interface Emitted {
  readonly event: ReflectorEvent<KubeObject>;
  readonly changes: readonly Change<KubeObject>[];
}

/** Whether an object belongs to the selection. */
export type Matches = (name: string, labels: Readonly<Record<string, string>>) => boolean;

/** What a selection should show of a write: an object that leaves it looks deleted, one that enters it looks new. */
interface Expected {
  readonly revision: number;
  readonly name: string;
  readonly uid: string;
  readonly type: "Added" | "Updated" | "Deleted";
  readonly previousRevision: number | undefined;
}

/** Checks all eight guarantees. @returns one line for each violation, beginning with the name of the guarantee. */
export function violationsOf(stream: readonly Emitted[], truth: readonly TruthEvent[], matches: Matches): string[] {
  const expected = truth.flatMap((event) => expectedOf(event, matches));
  return [
    ...checkFilter(stream, matches),
    ...checkOrder(stream),
    ...checkUnique(stream),
    ...checkBookmarks(stream),
    ...checkSnapshots(stream, truth, matches),
    ...checkSegments(stream, expected),
    ...checkPrevious(stream, expected),
  ];
}

function expectedOf(event: TruthEvent, matches: Matches): Expected[] {
  const { revision, name, object, previous } = event;
  const was = previous !== undefined && matches(name, previous.labels) ? previous : undefined;
  const is = object !== undefined && matches(name, object.labels) ? object : undefined;
  const uid = is?.uid ?? was?.uid;
  if (uid === undefined) return [];
  const type = is === undefined ? "Deleted" : was === undefined ? "Added" : "Updated";
  return [{ revision, name, uid, type, previousRevision: was?.revision }];
}

/** Filter: everything emitted matches the selection. */
function checkFilter(stream: readonly Emitted[], matches: Matches): string[] {
  return stream
    .flatMap(({ event }) =>
      event.type === "Replaced" ? event.objects : event.type === "Upserted" ? [event.object] : [],
    )
    .filter((object) => !matches(object.metadata.name, object.metadata.labels ?? {}))
    .map((object) => `Filter: ${label(object)} is not selected`);
}

/** Ordered: versions never decrease. */
function checkOrder(stream: readonly Emitted[]): string[] {
  const versions = stream.map(({ event }) => Number(event.resourceVersion));
  return versions.flatMap((version, i) => {
    const before = versions[i - 1];
    return before !== undefined && version < before ? [`Ordered: ${version} after ${before}`] : [];
  });
}

/** Unique and Atomic: one write is one event. The API server writes one object a revision, so no revision may come twice or in parts. */
function checkUnique(stream: readonly Emitted[]): string[] {
  const seen = new Map<string, string>();
  return changesIn(stream).flatMap(({ object }) => {
    const { resourceVersion } = object.metadata;
    const other = seen.get(resourceVersion);
    seen.set(resourceVersion, label(object));
    if (other === undefined) return [];
    return [other === label(object) ? `Unique: ${other} came twice` : `Atomic: ${other} and ${label(object)}`];
  });
}

/** Bookmarkable: after progress to p nothing comes that is p or older, and p is not older than what came before. */
function checkBookmarks(stream: readonly Emitted[]): string[] {
  let progress = 0;
  let last = 0;
  return stream.flatMap(({ event }) => {
    const version = Number(event.resourceVersion);
    const violations = [];
    if (event.type === "Progressed") {
      if (version < last) violations.push(`Bookmarkable: progress ${version} after ${last}`);
      progress = version;
    } else if (event.type !== "Replaced" && version <= progress) {
      violations.push(`Bookmarkable: ${label(event.object)} after progress ${progress}`);
    }
    last = Math.max(last, version);
    return violations;
  });
}

/** Resumable, first half: a list is the state of the truth at its version. */
function checkSnapshots(stream: readonly Emitted[], truth: readonly TruthEvent[], matches: Matches): string[] {
  return stream.flatMap(({ event }) => {
    if (event.type !== "Replaced") return [];
    const state = new Map<string, string>();
    for (const write of truth.filter((one) => one.revision <= Number(event.resourceVersion))) {
      if (write.object === undefined || !matches(write.name, write.object.labels)) state.delete(write.name);
      else state.set(write.name, `${write.name} ${write.object.uid} ${write.object.revision}`);
    }
    const wanted = [...state.values()].toSorted();
    const got = event.objects.map(label).toSorted();
    return JSON.stringify(wanted) === JSON.stringify(got)
      ? []
      : [`Resumable: the list at ${event.resourceVersion} has ${got.join(", ")} instead of ${wanted.join(", ")}`];
  });
}

/** Resumable, second half, and Reliable: between a list and the next one nothing is missing and nothing is invented. */
function checkSegments(stream: readonly Emitted[], expected: readonly Expected[]): string[] {
  return segmentsOf(stream).flatMap(({ from, to, events }) => {
    const wanted = expected.filter(({ revision }) => revision > from && revision <= to);
    const got = events.flatMap((event) => (event.type === "Upserted" || event.type === "Deleted" ? [event] : []));
    const wantedText = wanted.map(
      (one) => `${one.type === "Deleted" ? "Deleted" : "Upserted"} ${one.name} ${one.uid} ${one.revision}`,
    );
    const gotText = got.map((event) => `${event.type} ${label(event.object)}`);
    if (gotText[0] !== wantedText[0])
      return [`Resumable: after ${from} came ${gotText[0]} instead of ${wantedText[0]}`];
    const at = wantedText.findIndex((text, i) => text !== gotText[i]);
    if (at >= 0) return [`Reliable: after ${from} came ${gotText[at]} instead of ${wantedText[at]}`];
    return gotText.length > wantedText.length ? [`Reliable: ${gotText[wantedText.length]} never happened`] : [];
  });
}

/** IsCreate and PrevKV: what the store calls new is new, and what it says was there before was there before. */
function checkPrevious(stream: readonly Emitted[], expected: readonly Expected[]): string[] {
  const byRevision = new Map(expected.map((one) => [one.revision, one]));
  return stream.flatMap(({ event, changes }) => {
    if (event.type !== "Upserted" && event.type !== "Deleted") return [];
    const truth = byRevision.get(Number(event.resourceVersion));
    const [change] = changes;
    if (changes.length !== 1 || change?.type !== truth?.type) {
      return [
        `IsCreate: ${label(event.object)} made ${changes.map((one) => one.type).join()} instead of ${truth?.type}`,
      ];
    }
    const previous = change?.type === "Updated" ? Number(change.previous.metadata.resourceVersion) : undefined;
    const wanted = truth?.type === "Updated" ? truth.previousRevision : undefined;
    return previous === wanted ? [] : [`PrevKV: ${label(event.object)} has ${previous} before it instead of ${wanted}`];
  });
}

interface Segment {
  readonly from: number;
  readonly to: number;
  readonly events: readonly ReflectorEvent<KubeObject>[];
}

/** A list and what was emitted up to the next one. */
function segmentsOf(stream: readonly Emitted[]): Segment[] {
  const starts = stream.flatMap(({ event }, i) => (event.type === "Replaced" ? [i] : []));
  return starts.map((start, n) => {
    const part = stream.slice(start, starts[n + 1]).map(({ event }) => event);
    return { from: Number(part[0]?.resourceVersion), to: Number(part.at(-1)?.resourceVersion), events: part.slice(1) };
  });
}

function changesIn(stream: readonly Emitted[]): { readonly object: Stored<KubeObject> }[] {
  return stream.flatMap(({ event }) => (event.type === "Upserted" || event.type === "Deleted" ? [event] : []));
}

function label(object: Stored<KubeObject>): string {
  return `${object.metadata.name} ${object.metadata.uid} ${object.metadata.resourceVersion}`;
}
