// Oracles over whole runs: what a run with faults leaves behind, and how often it made and deleted each object, must be what runs
// without faults do (Sieve). What differs between runs without faults is not compared.
import { INTENT_KEY } from "../../src/api/agent-wire.ts";
import {
  ANNOTATION_APPLIED_HASH,
  ANNOTATION_CONNECTION_HASH,
  ANNOTATION_REVISION_NOTE,
} from "../../src/build/labels.ts";
import type { Found } from "./model-api.ts";
import { type Outcome, runSchedule, type Schedule } from "./run-schedule.ts";
import type { Scenario } from "./scenarios.ts";
import type { Violation } from "./oracles.ts";
import { NAMESPACE, type World } from "./world.ts";

/** What runs of a scenario without faults have in common. */
export interface Reference {
  /** By `Kind/name field`, as JSON; only what is the same in all of them. */
  readonly fields: ReadonlyMap<string, string>;
  /** How often each object was made and deleted, `made-deleted` by `Kind/name`; only what is the same in all of them. */
  readonly counts: ReadonlyMap<string, string>;
  /** Objects of the end. */
  readonly objects: ReadonlySet<string>;
  /** Writes of the operator while faults count. */
  readonly writes: number;
  /** Changes that the operator was sent, by kind. */
  readonly events: ReadonlyMap<string, number>;
}

const REFERENCE_SEEDS = [101, 102];
/** Events tell stories, Leases time; pods are compared by their counts. */
const NOT_COMPARED = ["Event", "Lease", "Pod", "ClusterOperation"];

const references = new Map<string, Promise<Reference>>();

/** The reference of a scenario, run once. @throws {Error} when a run without faults breaks a promise. */
export function referenceOf(scenario: Scenario): Promise<Reference> {
  const known = references.get(scenario.name) ?? makeReference(scenario);
  references.set(scenario.name, known);
  return known;
}

async function makeReference(scenario: Scenario): Promise<Reference> {
  const outcomes: Outcome[] = [];
  for (const seed of REFERENCE_SEEDS) outcomes.push(await runSchedule({ scenario, seed, faults: [] }));
  const broken = outcomes.find(({ violation }) => violation !== undefined);
  if (broken !== undefined) {
    const { oracle = "", what = "" } = broken.violation ?? {};
    throw new Error(`${scenario.name} without faults\n  ✗ ${oracle}: ${what}\n${broken.trace.slice(-40).join("\n")}`);
  }
  const worlds = outcomes.map(({ world }) => world);
  const [first] = worlds;
  return {
    fields: common(worlds.map(fieldsOf)),
    counts: common(worlds.map(countsOf)),
    objects: new Set(first === undefined ? [] : comparedOf(first).map(keyOf)),
    writes: Math.min(...worlds.map((world) => world.faults.writes.get("operator") ?? 0)),
    events: new Map([...(first?.faults.events ?? [])].map(([key, count]) => [key.replace("operator ", ""), count])),
  };
}

/** Runs a schedule and compares it with its reference. */
export async function judgeSchedule(schedule: Schedule): Promise<Outcome> {
  const outcome = await runSchedule(schedule);
  if (outcome.violation !== undefined) return outcome;
  const violation = differenceOf(await referenceOf(schedule.scenario), outcome.world, schedule);
  return { ...outcome, violation };
}

/** Members come and go by other faults than those of the control plane. */
const ONLY_OPERATOR = [
  "CrashBefore",
  "CrashAfter",
  "LoseAnswer",
  "Ghost",
  "Refuse",
  "Slow",
  "HoldWatch",
  "SilenceWatch",
  "BreakWatch",
  "ForgetVersions",
  "SecondOperator",
  "Skew",
  "Pause",
];

function differenceOf(reference: Reference, world: World, { faults }: Schedule): Violation | undefined {
  if (faults.some(({ kind }) => kind === "ChangeSpec")) return undefined;
  const objects = new Set(comparedOf(world).map(keyOf));
  const missing = [...reference.objects].filter((key) => !objects.has(key));
  const extra = [...objects].filter((key) => !reference.objects.has(key));
  if (missing.length + extra.length > 0)
    return { oracle: "D1", what: `missing ${missing.join()}; left over ${extra.join()}` };
  const fields = fieldsOf(world);
  for (const [field, value] of reference.fields) {
    if (fields.get(field) !== value)
      return { oracle: "D1", what: `${field} is ${fields.get(field) ?? "absent"}, not ${value}` };
  }
  if (!faults.every(({ kind }) => ONLY_OPERATOR.includes(kind))) return undefined;
  const counts = countsOf(world);
  for (const [key, count] of reference.counts) {
    if (counts.get(key) !== count)
      return { oracle: "D2", what: `${key} was made and deleted ${counts.get(key) ?? "never"}, not ${count}` };
  }
  return undefined;
}

function comparedOf({ api }: World): readonly Found[] {
  return api
    .everything()
    .filter(({ kind, metadata }) => metadata.namespace === NAMESPACE && !NOT_COMPARED.includes(kind));
}

function keyOf({ kind, metadata }: Found): string {
  return `${kind}/${metadata.name}`;
}

function common(maps: readonly ReadonlyMap<string, string>[]): ReadonlyMap<string, string> {
  const [first = new Map<string, string>(), ...others] = maps;
  return new Map([...first].filter(([key, value]) => others.every((other) => other.get(key) === value)));
}

/** How often each object was made and deleted. */
function countsOf({ api }: World): ReadonlyMap<string, string> {
  const counts = new Map<string, [number, number]>();
  for (const { kind, before, after } of api.log) {
    const object = after ?? before;
    if (object === undefined || object.metadata.namespace !== NAMESPACE || kind === "Event") continue;
    const count = counts.get(keyOf(object)) ?? [0, 0];
    if (before === undefined) count[0] += 1;
    if (after === undefined) count[1] += 1;
    counts.set(keyOf(object), count);
  }
  return new Map([...counts].map(([key, [made, deleted]]) => [key, `${made}-${deleted}`]));
}

/** Every field of every object, but those that say who, when and which version. */
function fieldsOf(world: World): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const object of comparedOf(world)) {
    const { labels, annotations = {}, finalizers } = object.metadata;
    const shown = {
      labels,
      annotations: timeless(annotations),
      finalizers,
      spec: object.spec,
      data: dataOf(object),
      status: statusOf(object),
    };
    flatten(JSON.parse(JSON.stringify(shown)) as unknown, keyOf(object), fields);
  }
  return fields;
}

/** Annotations without when something was written, and without hashes of what is compared anyway. */
function timeless(annotations: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  const {
    [ANNOTATION_APPLIED_HASH]: _applied,
    [ANNOTATION_CONNECTION_HASH]: _connection,
    [ANNOTATION_REVISION_NOTE]: note,
    ...others
  } = annotations;
  if (note === undefined) return others;
  const { startedAt: _time, ...noted } = JSON.parse(note) as Record<string, unknown>;
  return { ...others, [ANNOTATION_REVISION_NOTE]: noted };
}

/** Requests in an intent come and go; who belongs to the cluster must be the same. */
function dataOf({ kind, data }: Found): unknown {
  if (kind === "Secret") return Object.keys(data ?? {}).toSorted();
  const intent = data?.[INTENT_KEY];
  if (intent === undefined) return data;
  const { members, learners, durability, profile, paused, parameters } = JSON.parse(intent) as Record<string, unknown>;
  return { members, learners, durability, profile, paused, parameters };
}

function statusOf({ kind, status }: Found): unknown {
  if (kind !== "ClusterSpec") return kind === "PersistentVolumeClaim" ? status : undefined;
  const {
    conditions = [],
    readyMembers,
    desiredMembers,
    observedGeneration,
    initialized,
    blocked = [],
  } = (status ?? {}) as {
    readonly [field: string]: unknown;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly blocked?: readonly { readonly guard: string }[];
  };
  return {
    conditions: Object.fromEntries(conditions.map((one) => [one.type, one.status])),
    blocked: blocked.map(({ guard }) => guard),
    readyMembers,
    desiredMembers,
    observedGeneration,
    initialized,
  };
}

/** Names that the API server or the time has given: `uid-7`, and `after-update-2.1893456041` for a request of that epoch and second. */
const GIVEN = /uid-[0-9]+|(?:-[0-9]+)?\.[0-9]{10}(?=")/g;

function flatten(value: unknown, path: string, into: Map<string, string>): void {
  if (typeof value === "object" && value !== null) {
    for (const [name, field] of Object.entries(value)) flatten(field, `${path} ${name}`, into);
  } else into.set(path, (JSON.stringify(value) ?? "undefined").replaceAll(GIVEN, "given"));
}
