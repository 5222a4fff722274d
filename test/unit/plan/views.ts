// How the simulator's objects look to the planner.
import { INTENT_KEY, Intent, type MemberReport } from "../../../src/api/agent-wire.ts";
import { ANNOTATION_CLUSTER_UID, ANNOTATION_TEMPLATE_HASH, nameOf } from "../../../src/api/names.ts";
import { ANNOTATION_APPLIED_HASH, ANNOTATION_DELETE_WITH, ANNOTATION_INPUT_HASH } from "../../../src/build/labels.ts";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { parseQuantity } from "../../../src/build/quantity.ts";
import type {
  ChildView,
  HomeView,
  IntentView,
  MemberView,
  PodView,
  ResizeView,
  StatefulSetView,
} from "../../../src/plan/observation.ts";
import type { Step } from "../../../src/plan/plan.ts";

/** A claim and what is on its volume. */
export interface Volume {
  readonly uid: string;
  manifest: Manifest;
  phase: "Bound" | "Lost";
  capacityBytes: number;
  resize: ResizeView;
  homes: readonly HomeView[];
  hasData: boolean;
  readonly createdMs: number;
}

/** A pod and its agent. */
export interface Pod {
  readonly uid: string;
  readonly templateHash: string;
  readonly works: boolean;
  readonly createdMs: number;
  /** Its node does not answer: nothing happens in it, and its deletion does not end. */
  lost: boolean;
  deletingSinceMs: number | undefined;
  node: string;
  ready: boolean;
  readySinceMs: number | undefined;
  report: MemberReport | undefined;
}

/** What an agent says that has just started. */
export const NO_REPORT: MemberReport = {
  role: "none",
  epoch: 0,
  state: "Starting",
  reason: null,
  history: null,
  lagBucket: "0",
  syncNames: [],
  ackCount: 0,
  agentVersion: "0",
  engineVersion: null,
  leaderSince: null,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
};

/** A version of a child. Another version is another object. */
export interface Child {
  readonly uid: string;
  readonly version: number;
  readonly manifest: Manifest;
}

/** Makes a view of a version once. */
function once<T>(make: (child: Child) => T): (child: Child) => T {
  const made = new WeakMap<Child, T>();
  return (child) => {
    const view = made.get(child) ?? make(child);
    made.set(child, view);
    return view;
  };
}

/** A child as the API server has it. */
export const toChild = once(({ uid, version, manifest }): ChildView => {
  const appliedHash = manifest.metadata.annotations?.[ANNOTATION_APPLIED_HASH];
  return { uid, resourceVersion: String(version), appliedHash, deleting: false, live: manifest };
});

const toIntentView = once(({ uid, version, manifest }): IntentView & { readonly intent: Intent } => {
  const data = manifest["data"] as Readonly<Record<string, string>>;
  return { uid, resourceVersion: String(version), intent: Intent.parse(JSON.parse(data[INTENT_KEY] ?? "")) };
});

const INTENT_CHILD = childKey("ConfigMap", nameOf.intent("orders"));

/** The intent among the children, as agents read it. */
export function intentViewOf(children: ReadonlyMap<string, Child>): ReturnType<typeof toIntentView> | undefined {
  const child = children.get(INTENT_CHILD);
  return child === undefined ? undefined : toIntentView(child);
}

/** How many pods a StatefulSet shall have. */
export function replicasOf(set: Child | undefined): number {
  return (set?.manifest["spec"] as { replicas?: number } | undefined)?.replicas ?? 1;
}

/** A StatefulSet as it is observed. */
export const toSetView = once((child): StatefulSetView => {
  const { uid, version, manifest } = child;
  const annotations = manifest.metadata.annotations ?? {};
  return {
    uid,
    resourceVersion: String(version),
    revision: {
      templateHash: annotations[ANNOTATION_TEMPLATE_HASH] ?? "",
      inputHash: annotations[ANNOTATION_INPUT_HASH] ?? "",
    },
    template: (manifest["spec"] as { template: unknown }).template,
    replicas: replicasOf(child),
    deleting: false,
  };
});

/** Keeps views of what changes in place: the same object for as long as nothing in it is another. */
function kept<T extends object>(): (of: object, view: T) => T {
  const views = new WeakMap<object, T>();
  return (of, view) => {
    const last = views.get(of);
    if (last !== undefined && isSameView(last, view)) return last;
    views.set(of, view);
    return view;
  };
}

function isSameView(a: object, b: object): boolean {
  for (const name in b) if (Reflect.get(a, name) !== Reflect.get(b, name)) return false;
  return true;
}

const keptPod = kept<PodView>();
const keptVolume = kept<NonNullable<MemberView["volume"]>>();

/** A pod as it is observed. */
export function toPodView(member: string, pod: Pod, trouble: string): PodView {
  const { uid, templateHash, createdMs, node, ready, readySinceMs, deletingSinceMs, report, works } = pod;
  return keptPod(pod, {
    uid,
    resourceVersion: "1",
    name: nameOf.pod(member),
    ready,
    readySinceMs,
    deletingSinceMs,
    node,
    templateHash,
    createdMs,
    report,
    trouble: works ? undefined : trouble,
  });
}

const bytes = new WeakMap<Manifest, number>(); // manifests never change

/** What a claim asks for. */
export function requestedBytes(manifest: Manifest): number {
  const { resources } = manifest["spec"] as { resources: { requests: { storage: string } } };
  const known = bytes.get(manifest) ?? parseQuantity(resources.requests.storage);
  bytes.set(manifest, known);
  return known;
}

/** A claim as it is observed. */
export function toVolumeView(member: string, volume: Volume): MemberView["volume"] {
  const { uid, manifest, phase, createdMs, capacityBytes, resize, homes } = volume;
  const annotations = manifest.metadata.annotations ?? {};
  return keptVolume(volume, {
    uid,
    resourceVersion: "1",
    name: nameOf.volume(member),
    phase,
    createdMs,
    deleting: false,
    deleteWith: annotations[ANNOTATION_DELETE_WITH],
    clusterUid: annotations[ANNOTATION_CLUSTER_UID],
    requestedBytes: requestedBytes(manifest),
    className: "standard",
    capacityBytes,
    resize,
    volumeName: `pv-${uid}`,
    homes,
  });
}

/** A step in one line. */
export function describe(step: Step): string {
  if ("manifest" in step) return `${step.kind} ${step.manifest.kind} ${step.manifest.metadata.name}: ${step.reason}`;
  if ("object" in step) return `${step.kind} ${step.object.kind} ${step.object.name}: ${step.reason}`;
  return `${step.kind}: ${step.reason}`;
}
