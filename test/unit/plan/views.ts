// How the simulator's objects look to the planner.
import type { MemberReport } from "../../../src/api/agent-wire.ts";
import { ANNOTATION_CLUSTER_UID, ANNOTATION_TEMPLATE_HASH, nameOf } from "../../../src/api/names.ts";
import { ANNOTATION_APPLIED_HASH, ANNOTATION_DELETE_WITH, ANNOTATION_INPUT_HASH } from "../../../src/build/labels.ts";
import type { Manifest } from "../../../src/build/manifest.ts";
import { parseQuantity } from "../../../src/build/quantity.ts";
import type {
  ChildView,
  HomeView,
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

/** A child as the API server has it. */
export function toChild({ uid, version, manifest }: { uid: string; version: number; manifest: Manifest }): ChildView {
  const appliedHash = manifest.metadata.annotations?.[ANNOTATION_APPLIED_HASH];
  return { uid, resourceVersion: String(version), appliedHash, deleting: false, live: manifest };
}

/** A StatefulSet as it is observed. */
export function toSetView(
  { uid, version, manifest }: { uid: string; version: number; manifest: Manifest },
  replicas: number,
): StatefulSetView {
  const annotations = manifest.metadata.annotations ?? {};
  return {
    uid,
    resourceVersion: String(version),
    revision: {
      templateHash: annotations[ANNOTATION_TEMPLATE_HASH] ?? "",
      inputHash: annotations[ANNOTATION_INPUT_HASH] ?? "",
    },
    template: (manifest["spec"] as { template: unknown }).template,
    replicas,
    deleting: false,
  };
}

/** A pod as it is observed. */
export function toPodView(
  member: string,
  { uid, templateHash, createdMs, node, ready, readySinceMs, deletingSinceMs, report, works }: Pod,
  trouble: string,
): PodView {
  return {
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
  };
}

/** What a claim asks for. */
export function requestedBytes({ spec }: Manifest): number {
  const { resources } = spec as { resources: { requests: { storage: string } } };
  return parseQuantity(resources.requests.storage);
}

/** A claim as it is observed. */
export function toVolumeView(
  member: string,
  { uid, manifest, phase, createdMs, capacityBytes, resize, homes }: Volume,
): MemberView["volume"] {
  const annotations = manifest.metadata.annotations ?? {};
  return {
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
  };
}

/** A step in one line. */
export function describe(step: Step): string {
  if ("manifest" in step) return `${step.kind} ${step.manifest.kind} ${step.manifest.metadata.name}: ${step.reason}`;
  if ("object" in step) return `${step.kind} ${step.object.kind} ${step.object.name}: ${step.reason}`;
  return `${step.kind}: ${step.reason}`;
}
