// Whether a live object still is what its manifest says, so that an equal one is not written.
import type { BuildContext } from "../build/context.ts";
import { contentHash } from "../build/hash.ts";
import { ANNOTATION_APPLIED_HASH } from "../build/labels.ts";
import { childKey, type Manifest } from "../build/manifest.ts";
import type { ChildView } from "./observation.ts";
import type { Step } from "./plan.ts";

/**
 * The step that makes the live child equal to `manifest`, or none.
 *
 * Two comparisons, because each is blind to half of the differences: the hash of what was last applied shows fields
 * that the manifest no longer names; the live fields show what somebody else changed.
 */
export function applyIfDifferent(manifest: Manifest, children: ReadonlyMap<string, ChildView>): readonly Step[] {
  const { metadata } = manifest;
  const hash = hashes.get(manifest) ?? manifestHash(manifest);
  hashes.set(manifest, hash);
  const desired = withHash(manifest, hash);
  const live = children.get(childKey(manifest.kind, metadata.name));
  if (live === undefined) return [{ kind: "Apply", manifest: desired, reason: "it is missing" }];
  if (live.deleting) return []; // comes again once it is gone
  if (live.appliedHash !== hash) return [{ kind: "Apply", manifest: desired, reason: "it is to be changed" }];
  const replicas = replicasOf(manifest); // the hash may leave the number out
  // The text that the live object has anyway, wherever that will do: it is remembered of every object of every cluster.
  const wanted = replicas === "" ? live.appliedHash : `${hash}/${replicas}`;
  if (verified.get(live.live) === wanted) return [];
  if (!contains(live.live, desired)) return [{ kind: "Apply", manifest: desired, reason: "it was changed by another" }];
  verified.set(live.live, wanted);
  return [];
}

function withHash(manifest: Manifest, hash: string): Manifest {
  const { metadata } = manifest;
  const annotations = { ...metadata.annotations, [ANNOTATION_APPLIED_HASH]: hash };
  return { ...manifest, metadata: { ...metadata, annotations } };
}

const hashes = new WeakMap<Manifest, string>(); // of those that are compared again once they were applied
const verified = new WeakMap<object, string>(); // by live object, which never changes: what was wanted of it and found in it

function replicasOf({ spec }: Manifest & { readonly spec?: unknown }): string {
  return typeof spec === "object" && spec !== null && "replicas" in spec ? String(spec.replicas) : "";
}

/**
 * As `applyIfDifferent`, for what was created: until it first differs nothing was ever applied that could have to be taken back,
 * so an object that has all that the manifest names is left as it is.
 */
export function applyIfLacking(manifest: Manifest, children: ReadonlyMap<string, ChildView>): readonly Step[] {
  const live = children.get(childKey(manifest.kind, manifest.metadata.name));
  const isAsCreated = live?.appliedHash === undefined && contains(live?.live, manifest);
  return isAsCreated ? [] : applyIfDifferent(manifest, children);
}

/**
 * As `applyIfDifferent`, for an object to whose spec nobody may add anything.
 * @param isExact - Whether the live one says no more than the manifest, as the caller compares them.
 */
export function applyUnlessExact(isExact: boolean): typeof applyIfDifferent {
  return (manifest, children) => {
    const steps = applyIfDifferent(manifest, children);
    const live = children.get(childKey(manifest.kind, manifest.metadata.name));
    if (isExact || steps.length > 0 || live?.deleting === true) return steps;
    const desired = withHash(manifest, hashes.get(manifest) ?? manifestHash(manifest));
    return [{ kind: "Apply", manifest: desired, reason: "another added to it" }];
  };
}

/** Manifests that are made only when they have to be. */
export interface Recipe {
  /** What they are of; a context has each only once. */
  readonly of: string;
  /** Everything beside the context that `build` looks at, as text. */
  readonly inputs: string;
  readonly build: () => readonly Manifest[];
}

/** What is remembered of a recipe: as little as can be, because a thousand clusters have ten thousand recipes. */
interface Found {
  readonly inputs: string;
  /** The live objects, when they were as they should be, in the order of the manifests. */
  readonly live?: readonly object[];
  /**
   * Of the manifests, as far as they were hashed: hashing costs more than making them. They themselves are not kept, not even until
   * they are in order: after a start that changes something of every cluster those of all wait for their second pass at once.
   */
  readonly hashes: readonly (string | undefined)[];
}

const lastFound = new WeakMap<BuildContext, Map<string, Found>>();

/** Makes the manifests of a recipe; those that were made of the same inputs have their hashes at once. */
function madeFrom({ build }: Recipe, known: readonly (string | undefined)[]): readonly Manifest[] {
  const manifests = build();
  for (const [at, hash] of known.entries()) {
    const manifest = manifests[at];
    if (manifest !== undefined && hash !== undefined) hashes.set(manifest, hash);
  }
  return manifests;
}

/**
 * The steps that `compare` finds for all manifests of the recipe.
 *
 * They are not even made while the context, the inputs and the live objects are those with which nothing was to be done: that is
 * how nearly every pass finds them, and making and comparing them is most of what a pass costs.
 */
export function applyRecipe(
  context: BuildContext,
  recipe: Recipe,
  children: ReadonlyMap<string, ChildView>,
  compare = applyIfDifferent,
): readonly Step[] {
  const { of, inputs } = recipe;
  const known = lastFound.get(context) ?? new Map<string, Found>();
  const last = known.get(of);
  const found = last?.inputs === inputs ? last : undefined;
  if (found?.live?.every((live) => isLive(children, live)) === true) return [];
  const manifests = madeFrom(recipe, found?.hashes ?? []);
  const steps = manifests.flatMap((manifest) => compare(manifest, children));
  const live = manifests.flatMap(({ kind, metadata: { name } }) => {
    const child = children.get(childKey(kind, name));
    return child === undefined || child.deleting ? [] : [child.live];
  });
  const isInOrder = steps.length === 0 && live.length === manifests.length;
  const made = manifests.map((manifest) => {
    const applied = children.get(childKey(manifest.kind, manifest.metadata.name))?.appliedHash;
    const hash = hashes.get(manifest);
    return hash === applied ? applied : hash; // the same text, which the live object has anyway
  });
  known.set(of, { inputs, ...(isInOrder ? { live } : {}), hashes: made });
  lastFound.set(context, known);
  return steps;
}

/** Whether the object still is what the API server has. */
function isLive(children: ReadonlyMap<string, ChildView>, live: object): boolean {
  const { kind, metadata } = live as Pick<Manifest, "kind" | "metadata">;
  const child = children.get(childKey(kind, metadata.name));
  return child?.live === live && !child.deleting;
}

const hashesOfData = new WeakMap<object, string>(); // an engine's files are the same object in every pass

/**
 * The pod template of a StatefulSet or Deployment has its own hash in an annotation, and may be kept as it is while the rest is
 * compared. How many pods a Deployment has may be the autoscaler's: it changes without being a change of ours.
 * The data of a ConfigMap is hashed by itself, because it may be large and seldom changes.
 */
function manifestHash(manifest: Manifest): string {
  const { resourceVersion: _, ...metadata } = manifest.metadata;
  const data = manifest["data"];
  if (typeof data === "object" && data !== null) {
    const hash = hashesOfData.get(data) ?? contentHash(data);
    hashesOfData.set(data, hash);
    return contentHash({ ...manifest, metadata, data: hash });
  }
  const spec = manifest["spec"];
  if (typeof spec !== "object") return contentHash({ ...manifest, metadata });
  switch (manifest.kind) {
    case "StatefulSet":
      return contentHash({ ...manifest, metadata, spec: { ...spec, template: undefined } });
    case "Deployment":
      return contentHash({ ...manifest, metadata, spec: { ...spec, template: undefined, replicas: undefined } });
    default:
      return contentHash({ ...manifest, metadata });
  }
}

/** Whether everything that `desired` names is in `live` with the same value. The server's defaults are on `live` only. */
export function contains(live: unknown, desired: unknown): boolean {
  if (live === desired) return true; // a template that is kept is the live one
  if (Array.isArray(desired)) {
    if (desired.length === 0 && live === undefined) return true; // the server leaves empty lists out
    return Array.isArray(live) && live.length === desired.length && desired.every((item, i) => contains(live[i], item));
  }
  if (typeof desired !== "object" || desired === null) return false;
  if (typeof live !== "object" || live === null) return Object.keys(desired).length === 0 && live === undefined;
  return Object.entries(desired).every(([key, value]) => {
    if (value === undefined || key === "resourceVersion") return true;
    const found: unknown = Reflect.get(live, key);
    // Others may add owners and finalizers of their own.
    if (key === "ownerReferences" && Array.isArray(value) && Array.isArray(found)) {
      return value.every((owner) => found.some((other) => contains(other, owner)));
    }
    return contains(found, value);
  });
}
