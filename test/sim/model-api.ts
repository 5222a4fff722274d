// An API server as far as this program can tell it from a real one: resourceVersions from one counter, optimistic concurrency,
// preconditions, server-side apply with owners of fields, status apart from the rest, graceful deletion, finalizers, a log of
// changes that watches replay, and 410 for what was forgotten. Knows nothing of time but what it is told.
import type { DeleteOptions, DeleteResult, Selection } from "../../src/kube/api.ts";
import { ApiStatusError } from "../../src/kube/api-error.ts";
import { deepFreeze } from "../../src/kube/deep-freeze.ts";
import type { KubeObject, ObjectMeta, ObjectRef, Stored } from "../../src/kube/object.ts";
import { applyFields, isSameJson, mergeFields } from "./fields.ts";

/** Any object, with the parts that the simulator looks into. */
export interface Any extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}
/** An object as it is stored. */
export type Found = Stored<Any> & { readonly metadata: ObjectMeta };

/** One change, as the log has it. */
export interface LogEntry {
  readonly revision: number;
  /** Who made it. */
  readonly by: string;
  readonly kind: string;
  readonly before: Found | undefined;
  /** Absent: it was deleted. */
  readonly after: Found | undefined;
}

/** How a write is made. */
export interface WriteContext {
  readonly by: string;
  readonly status?: boolean;
  readonly dryRun?: boolean | undefined;
}

/** Kinds whose status is a resource of its own. */
const WITH_STATUS = [
  "ClusterSpec",
  "ClusterOperation",
  "Pod",
  "StatefulSet",
  "Node",
  "PersistentVolumeClaim",
  "PodDisruptionBudget",
];
const CLUSTER_SCOPED = ["Node", "Engine", "StorageClass", "PriorityClass", "PersistentVolume", "ClusterRole"];
/** Kinds that no API server of this model serves. */
const NOT_SERVED = ["PrometheusRule"];
const KIND_MISSING = "the server could not find the requested resource";

/** The state of one API server. Objects are never changed in place. */
export class ModelApi {
  readonly log: LogEntry[] = [];
  readonly #objects = new Map<string, Found>();
  /** By uid: who owns which fields. */
  readonly #owners = new Map<string, Map<string, ReadonlySet<string>>>();
  readonly #listeners = new Set<(entry: LogEntry) => void>();
  readonly #nowMs: () => number;
  #revision = 1;
  #forgottenAt = 0;
  #serial = 0;

  /** @param nowMs - Its wall clock. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Calls `listener` after every change, at once. @returns the function that ends it. */
  onChange(listener: (entry: LogEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets the log up to now: watches that begin earlier get 410. */
  compact(): void {
    this.#forgottenAt = this.#revision;
  }

  read(kind: string, namespace: string | undefined, name: string): Found | undefined {
    return this.#objects.get(keyOf(kind, namespace, name));
  }

  get({ kind, namespace, name }: Omit<ObjectRef, "apiVersion">): Found | undefined {
    assertServed(kind);
    return this.read(kind, namespace, name);
  }

  list(selection: Selection): readonly Found[] {
    assertServed(selection.kind);
    return [...this.#objects.values()].filter((object) => isSelected(selection, object));
  }

  /** All objects of a kind. */
  all(kind: string): readonly Found[] {
    return [...this.#objects.values()].filter((object) => object.kind === kind);
  }

  /** All objects there are. */
  everything(): readonly Found[] {
    return [...this.#objects.values()];
  }

  /** Changes after `revision`. @throws {ApiStatusError} 410 when some of them were forgotten. */
  since(revision: number): readonly LogEntry[] {
    if (revision < this.#forgottenAt) throw status(410, "Expired", "too old resource version");
    let at = this.log.length;
    while (at > 0 && (this.log[at - 1]?.revision ?? 0) > revision) at -= 1;
    return this.log.slice(at);
  }

  create(object: Any, context: WriteContext): Found {
    const { kind, metadata } = object;
    assertServed(kind);
    const name = metadata.name ?? "";
    if (this.read(kind, metadata.namespace, name) !== undefined) {
      throw status(409, "AlreadyExists", `${kind} ${name} already exists`, name);
    }
    this.#serial += 1;
    const made = {
      ...object,
      ...(WITH_STATUS.includes(kind) ? { status: {} } : {}),
      metadata: {
        ...metadata,
        name,
        uid: `uid-${this.#serial}`,
        resourceVersion: "",
        creationTimestamp: timestamp(this.#nowMs()),
        ...(object.spec === undefined ? {} : { generation: 1 }),
      },
    } as Found;
    return context.dryRun === true ? made : this.#store(made, undefined, context.by);
  }

  update(object: Any, context: WriteContext): Found {
    const live = this.#live(object.kind, object.metadata.namespace, object.metadata.name ?? "");
    assertSame(live, object.metadata);
    return this.#change(live, object, context);
  }

  mergePatch(ref: ObjectRef, patch: object, context: WriteContext): Found {
    const live = this.#live(ref.kind, ref.namespace, ref.name);
    assertSame(live, (patch as Partial<KubeObject>).metadata ?? {});
    return this.#change(live, mergeFields(live, patch) as Any, context);
  }

  /** Server-side apply, always with force: this program never does without. */
  apply(desired: Any, manager: string, context: WriteContext): Found {
    const { kind, metadata } = desired;
    assertServed(kind);
    const live = this.read(kind, metadata.namespace, metadata.name ?? "");
    const { uid, resourceVersion, ...meta } = metadata;
    const asked: Any =
      context.status === true
        ? { ...identityOf(desired), status: desired.status ?? {} }
        : { ...desired, metadata: meta };
    if (live === undefined) {
      if (context.status === true) throw notFound(kind, metadata.name ?? "");
      if (uid !== undefined || resourceVersion !== undefined) throw conflict(kind, metadata.name ?? "");
    } else assertSame(live, metadata);
    const base = live ?? ({ ...identityOf(desired) } as Any);
    const owners =
      (live === undefined ? undefined : this.#owners.get(live.metadata.uid)) ?? new Map<string, ReadonlySet<string>>();
    const { object, owned } = applyFields(base, asked, manager, owners);
    const stored = live === undefined ? this.create(object, context) : this.#change(live, object, context);
    if (context.dryRun !== true) this.#owners.set(stored.metadata.uid, new Map([...owners, [manager, owned]]));
    return stored;
  }

  delete(ref: ObjectRef, options: DeleteOptions, by: string): DeleteResult {
    assertServed(ref.kind);
    const live = this.read(ref.kind, ref.namespace, ref.name);
    if (live === undefined) return "Absent";
    assertSame(live, { uid: options.uid, resourceVersion: options.resourceVersion });
    if (options.dryRun === true) return "Deleted";
    const graceSeconds = graceOf(live, options);
    const isHeld =
      (live.metadata.finalizers ?? []).length > 0 ||
      (graceSeconds > 0 && live.metadata.deletionTimestamp === undefined);
    if (graceSeconds === 0 && (live.metadata.finalizers ?? []).length === 0) {
      this.#remove(live, by);
      return "Deleted";
    }
    if (!isHeld || live.metadata.deletionTimestamp !== undefined) return "Deleting";
    const deletionTimestamp = timestamp(this.#nowMs() + graceSeconds * 1000);
    const metadata = { ...live.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds };
    this.#store({ ...live, metadata }, live, by);
    return "Deleting";
  }

  /** Takes a finalizer off; what waits for its last one goes. */
  finalize(object: Found, finalizer: string, by: string): void {
    const live = this.read(object.kind, object.metadata.namespace, object.metadata.name);
    if (live?.metadata.uid !== object.metadata.uid) return;
    const finalizers = (live.metadata.finalizers ?? []).filter((one) => one !== finalizer);
    const left = { ...live, metadata: { ...live.metadata, finalizers } };
    if (finalizers.length === 0 && live.metadata.deletionTimestamp !== undefined) this.#remove(left, by);
    else this.#store(left, live, by);
  }

  #live(kind: string, namespace: string | undefined, name: string): Found {
    assertServed(kind);
    const live = this.read(kind, namespace, name);
    if (live === undefined) throw notFound(kind, name);
    return live;
  }

  /** Stores `next` in place of `live`: the status or everything else, never both where the kind keeps them apart. */
  #change(live: Found, next: Any, { by, status: isStatus = false, dryRun }: WriteContext): Found {
    const isApart = WITH_STATUS.includes(live.kind);
    const { uid, creationTimestamp, generation, resourceVersion, deletionTimestamp } = live.metadata;
    const kept = { uid, resourceVersion, ...present({ creationTimestamp, generation, deletionTimestamp }) };
    const metadata = { ...next.metadata, ...kept };
    const merged = (
      isStatus
        ? { ...live, status: next.status ?? {} }
        : { ...next, metadata, ...(isApart ? { status: live.status } : {}) }
    ) as Found;
    if (isSameJson(merged, live)) return live;
    const isNewSpec = generation !== undefined && !isSameJson(merged.spec, live.spec);
    const grown = isNewSpec ? { ...merged, metadata: { ...merged.metadata, generation: generation + 1 } } : merged;
    return dryRun === true ? grown : this.#store(grown, live, by);
  }

  #store(object: Found, before: Found | undefined, by: string): Found {
    const revision = this.#revision + 1;
    this.#revision = revision;
    const after = deepFreeze({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
    this.#objects.set(keyOf(after.kind, after.metadata.namespace, after.metadata.name), after);
    this.#tell({ revision, by, kind: after.kind, before, after });
    return after;
  }

  #remove(object: Found, by: string): void {
    this.#revision += 1;
    this.#objects.delete(keyOf(object.kind, object.metadata.namespace, object.metadata.name));
    this.#owners.delete(object.metadata.uid);
    this.#tell({ revision: this.#revision, by, kind: object.kind, before: object, after: undefined });
  }

  #tell(entry: LogEntry): void {
    this.log.push(entry);
    for (const listener of this.#listeners) listener(entry);
  }
}

/** Whether the object belongs to a selection. */
export function isSelected({ kind, namespace, name, labelSelector, fieldSelector }: Selection, object: Found): boolean {
  const { metadata } = object;
  if (object.kind !== kind) return false;
  if (namespace !== undefined && !CLUSTER_SCOPED.includes(kind) && metadata.namespace !== namespace) return false;
  if (name !== undefined && metadata.name !== name) return false;
  if (fieldSelector !== undefined) throw new TypeError(`the model has no field selectors: ${fieldSelector}`);
  return (labelSelector ?? "").split(",").every((term) => {
    const [label = "", value] = term.split("=");
    const live = metadata.labels?.[label];
    return label === "" || (value === undefined ? live !== undefined : live === value);
  });
}

/** RFC 3339 without fractions, as the API server writes it. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.[0-9]+Z$/, "Z");
}

/** An error as the API server answers it. */
export function status(code: number, reason: string, message: string, name?: string): ApiStatusError {
  return new ApiStatusError(code, { kind: "Status", message, reason, details: { name } });
}

function assertServed(kind: string): void {
  if (NOT_SERVED.includes(kind)) throw status(404, "NotFound", KIND_MISSING);
}

function notFound(kind: string, name: string): ApiStatusError {
  return status(404, "NotFound", `${kind} ${name} not found`, name);
}

function conflict(kind: string, name: string): ApiStatusError {
  return status(409, "Conflict", `${kind} ${name}: the object has been modified`, name);
}

/** Another incarnation, or another version, than the one that was seen. */
function assertSame(
  live: Found,
  { uid, resourceVersion }: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined },
): void {
  const isSame =
    (uid ?? live.metadata.uid) === live.metadata.uid &&
    (resourceVersion ?? live.metadata.resourceVersion) === live.metadata.resourceVersion;
  if (!isSame) throw conflict(live.kind, live.metadata.name);
}

/** Only pods that run somewhere are given time. */
function graceOf(live: Found, { gracePeriodSeconds }: DeleteOptions): number {
  if (live.kind !== "Pod" || live.spec?.["nodeName"] === undefined) return 0;
  const own = live.spec["terminationGracePeriodSeconds"];
  return gracePeriodSeconds ?? (typeof own === "number" ? own : 30);
}

function identityOf({ apiVersion, kind, metadata: { name, namespace } }: Any): Any {
  return { apiVersion, kind, metadata: { ...present({ name, namespace }) } };
}

function present<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function keyOf(kind: string, namespace: string | undefined, name: string): string {
  return CLUSTER_SCOPED.includes(kind) ? `${kind}/${name}` : `${kind}/${namespace ?? ""}/${name}`;
}
