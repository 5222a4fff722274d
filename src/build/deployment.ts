// The members of topology Stateless: one Deployment of those that serve, and one beside it of those that try a revision.
import { ANNOTATION_TEMPLATE_HASH, LABEL_TRACK, nameOf } from "../api/names.ts";
import { DEFAULT_SERVING } from "../api/stateless.ts";
import type { BuildContext } from "./context.ts";
import { ANNOTATION_INPUT_HASH, ANNOTATION_RESTART, child, podSelector } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { buildPodTemplate } from "./pod-template.ts";
import { type PinnedTemplate, revisionOf } from "./stateful-set.ts";

/** Stable serves; canary tries a revision. Both are behind the Service, so the share of each is that of its members. */
export type Track = "stable" | "canary";

/** What of a Deployment is not decided by its ClusterSpec alone. */
export interface DeploymentState {
  readonly replicas: number;
  /** The template to keep; the one that the context renders when absent. */
  readonly pinned?: PinnedTemplate | undefined;
  /** The restart that its members have been through; another one replaces them all. */
  readonly restart?: string | undefined;
  /** Of the version that `replicas` was computed from: somebody else may be changing it. */
  readonly resourceVersion?: string | undefined;
}

interface Template {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}

/** The Deployment of one track. While the cluster is paused it replaces nobody for an update. */
export function buildDeployment(context: BuildContext, track: Track, state: DeploymentState): Manifest {
  const { pinned, replicas, restart, resourceVersion } = state;
  const { update, serving = DEFAULT_SERVING, paused } = context.intent;
  const { templateHash, inputHash } = pinned ?? revisionOf(context);
  const template = (pinned?.template ?? buildPodTemplate(context, track)) as Template;
  const name = nameOf.deployment(context.name, track);
  const object = child(context, { apiVersion: "apps/v1", kind: "Deployment" }, name, {
    spec: {
      replicas,
      selector: { matchLabels: { ...podSelector(context.name), [LABEL_TRACK]: track } },
      // Added first, taken away afterwards: there are never fewer members than before.
      strategy: {
        type: "RollingUpdate",
        rollingUpdate: { maxSurge: `${serving.surgePercent}%`, maxUnavailable: 0 },
      },
      ...(update.minReadySeconds === 0 ? {} : { minReadySeconds: update.minReadySeconds }),
      progressDeadlineSeconds: update.progressDeadlineSeconds,
      revisionHistoryLimit: 1, // what to go back to is in our own records
      ...(paused ? { paused } : {}),
      template: restart === undefined ? template : restarted(template, restart),
    },
  });
  const annotations = { [ANNOTATION_TEMPLATE_HASH]: templateHash, [ANNOTATION_INPUT_HASH]: inputHash };
  const metadata = { ...object.metadata, annotations };
  return { ...object, metadata: resourceVersion === undefined ? metadata : { ...metadata, resourceVersion } };
}

function restarted(template: Template, restart: string): Template {
  const annotations = { ...template.metadata.annotations, [ANNOTATION_RESTART]: restart };
  return { ...template, metadata: { ...template.metadata, annotations } };
}
