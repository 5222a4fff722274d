// Where pods run: beside as few of their own kind as possible, on the nodes that the user allows.
import type { BuildContext } from "./context.ts";
import { podSelector } from "./labels.ts";

/** The fields of a pod that say which nodes it may run on, and which it prefers. */
export function placement(context: BuildContext): Record<string, unknown> {
  const { pods } = context.intent;
  return {
    ...(pods.imagePullSecrets === undefined ? {} : { imagePullSecrets: pods.imagePullSecrets }),
    affinity: { podAntiAffinity: antiAffinity(context), ...nodeAffinity(context) },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: pods.topologyKey,
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: podSelector(context.name) },
      },
    ],
    ...(pods.nodeSelector === undefined ? {} : { nodeSelector: pods.nodeSelector }),
    ...(pods.tolerations === undefined ? {} : { tolerations: pods.tolerations }),
    ...(pods.priorityClassName === undefined ? {} : { priorityClassName: pods.priorityClassName }),
  };
}

function antiAffinity(context: BuildContext): Record<string, unknown> {
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: podSelector(context.name) } };
  return context.intent.pods.antiAffinity === "Required"
    ? { requiredDuringSchedulingIgnoredDuringExecution: [term] }
    : { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }] };
}

function nodeAffinity({ intent }: BuildContext): Record<string, unknown> {
  const matchExpressions = intent.pods.nodeRequirements;
  if (matchExpressions === undefined) return {};
  const required = { nodeSelectorTerms: [{ matchExpressions }] };
  return { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
}
