// What follows from an observation of topology Stateless: its two tracks, as their Deployments and pods show them.
import { ANNOTATION_TEMPLATE_HASH, nameOf } from "../api/names.ts";
import type { Track } from "../build/deployment.ts";
import { ANNOTATION_INPUT_HASH, ANNOTATION_RESTART } from "../build/labels.ts";
import { childKey } from "../build/manifest.ts";
import type { PinnedTemplate } from "../build/stateful-set.ts";
import type { ChildView, ClusterView, Identity, InstanceView, Observation } from "./observation.ts";

/** One track as its Deployment shows it. */
export interface TrackView extends Identity {
  readonly track: Track;
  readonly name: string;
  /** undefined: somebody took the annotations away. */
  readonly revision: PinnedTemplate | undefined;
  /** The restart that the template carries. */
  readonly restart: string | undefined;
  readonly replicas: number;
  readonly ready: number;
  /** Pods at the present template. */
  readonly updated: number;
  /** Kubernetes has dealt with the present template: every pod is at it and has been ready for long enough, and no other is left. */
  readonly isSettled: boolean;
  /** What Kubernetes says when it gave up: it waited for too long, or may not make pods. Empty while it has not. */
  readonly stuck: string;
}

/** Whether members keep no data, so that Kubernetes' own controllers keep their number. */
export function isFleet({ intent }: Pick<ClusterView, "intent">): boolean {
  return intent.topology === "Stateless";
}

/** A Deployment as the API server has it; only what is read is named. */
interface LiveDeployment {
  readonly metadata: {
    readonly generation?: number;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

/** The track; undefined while it has no Deployment, or one that is on its way out. */
export function trackOf(seen: Observation, track: Track): TrackView | undefined {
  const name = nameOf.deployment(seen.name, track);
  const child = seen.children.get(childKey("Deployment", name));
  return child === undefined || child.deleting ? undefined : toTrack(track, name, child);
}

function toTrack(track: Track, name: string, child: ChildView): TrackView {
  const { metadata, spec = {}, status = {} } = child.live as LiveDeployment;
  const { replicas = 1, template } = spec;
  const isCurrent = (status.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  const counts = [status.replicas, status.updatedReplicas, status.availableReplicas];
  const templateHash = metadata.annotations?.[ANNOTATION_TEMPLATE_HASH];
  const inputHash = metadata.annotations?.[ANNOTATION_INPUT_HASH];
  const isKnown = templateHash !== undefined && inputHash !== undefined;
  return {
    uid: child.uid,
    resourceVersion: child.resourceVersion,
    track,
    name,
    revision: isKnown ? { templateHash, inputHash, template: withoutRestart(template) } : undefined,
    restart: template?.metadata?.annotations?.[ANNOTATION_RESTART],
    replicas,
    ready: status.readyReplicas ?? 0,
    updated: isCurrent ? (status.updatedReplicas ?? 0) : 0,
    isSettled: isCurrent && counts.every((count) => (count ?? 0) === replicas),
    stuck: isCurrent ? stuckBy(status) : "",
  };
}

/** The template as its revision has it: a restart is none of the revision. */
function withoutRestart(template: NonNullable<LiveDeployment["spec"]>["template"]): unknown {
  const { [ANNOTATION_RESTART]: _, ...annotations } = template?.metadata?.annotations ?? {};
  return { ...template, metadata: { ...template?.metadata, annotations } };
}

function stuckBy({ conditions = [] }: NonNullable<LiveDeployment["status"]>): string {
  const waited = conditions.find(({ reason }) => reason === "ProgressDeadlineExceeded");
  if (waited === undefined) return "";
  const refused = conditions.find(({ type, status }) => type === "ReplicaFailure" && status === "True");
  return (refused ?? waited).message ?? "";
}

/** Pods of a track that run the revision and are not on their way out. */
export function instancesAt(seen: Observation, track: Track, templateHash: string): readonly InstanceView[] {
  return seen.instances.filter(
    (pod) => pod.track === track && pod.templateHash === templateHash && pod.deletingSinceMs === undefined,
  );
}

/** Whether nobody is left of a cluster that shall be stopped. */
export function isFleetStopped(seen: Observation): boolean {
  const tracks = [trackOf(seen, "stable"), trackOf(seen, "canary")];
  return seen.instances.length === 0 && tracks.every((one) => (one?.replicas ?? 0) === 0);
}
