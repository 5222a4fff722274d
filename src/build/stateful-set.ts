// One StatefulSet of one replica per member: a pod lost meanwhile comes back at the revision that member had,
// any member can leave, and each has its own volume.
import { ANNOTATION_TEMPLATE_HASH, LABEL_MEMBER, nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { ANNOTATION_INPUT_HASH, memberLabels, ownerOf, podSelector } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { parametersIn } from "./container.ts";
import { buildPodTemplate, inputHash, templateHash } from "./pod-template.ts";

/** What a StatefulSet's template was rendered from, as its annotations say. */
export interface Revision {
  readonly templateHash: string;
  readonly inputHash: string;
}

/** A template that is kept as it is, with the revision it was rendered at. */
export interface PinnedTemplate extends Revision {
  readonly template: unknown;
}

const revisions = new WeakMap<BuildContext, Revision>(); // asked for many times in one pass

/** The revision that a StatefulSet built from `context` has. */
export function revisionOf(context: BuildContext): Revision {
  const known = revisions.get(context);
  if (known !== undefined) return known;
  const revision = { templateHash: templateHash(context), inputHash: inputHash(context) };
  revisions.set(context, revision);
  return revision;
}

/**
 * Whether a revision was rendered from what users decide about the pod now. A parameter that its template carries belongs to that
 * also when the Engine takes it without a restart by now.
 */
export function isSameInput(context: BuildContext, { inputHash: made, template }: PinnedTemplate): boolean {
  return made === revisionOf(context).inputHash || made === inputHash(context, parametersIn(template));
}

/** What of a StatefulSet is not decided by its ClusterSpec. */
export interface StatefulSetState {
  /** The live template to keep. Everything else is still brought in order, but no pod changes its revision. */
  readonly pinned?: PinnedTemplate | undefined;
  /** 0 while the member is stopped. */
  readonly replicas?: 0 | 1;
}

/** The StatefulSet of one member. */
export function buildStatefulSet(context: BuildContext, member: string, state: StatefulSetState = {}): Manifest {
  const { pinned, replicas = 1 } = state;
  const revision = pinned ?? revisionOf(context);
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: {
      name: member,
      namespace: context.namespace,
      labels: memberLabels(context, member),
      annotations: {
        [ANNOTATION_TEMPLATE_HASH]: revision.templateHash,
        [ANNOTATION_INPUT_HASH]: revision.inputHash,
      },
      ownerReferences: [ownerOf(context)],
    },
    spec: {
      replicas,
      serviceName: nameOf.membersService(context.name),
      selector: { matchLabels: { ...podSelector(context.name), [LABEL_MEMBER]: member } },
      podManagementPolicy: "Parallel",
      updateStrategy: { type: "OnDelete" }, // the planner says when; a leader hands over first
      revisionHistoryLimit: 1,
      template: pinned?.template ?? buildPodTemplate(context, member),
    },
  };
}
