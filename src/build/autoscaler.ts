// The number of members that follows the load, by the HorizontalPodAutoscaler of Kubernetes.
import { nameOf } from "../api/names.ts";
import type { Autoscaling } from "../api/stateless.ts";
import type { BuildContext } from "./context.ts";
import { child } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { formatDecimal, parseQuantity } from "./quantity.ts";

/** The autoscaler of a cluster. It counts and moves the stable track alone: a canary is room beside it. */
export function buildAutoscaler(context: BuildContext, autoscaling: Autoscaling): Manifest {
  const { maxMembers, metrics, scaleOut, scaleIn } = autoscaling;
  const kind = { apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler" };
  return child(context, kind, nameOf.autoscaler(context.name), {
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: nameOf.deployment(context.name, "stable") },
      minReplicas: context.intent.members,
      maxReplicas: maxMembers,
      metrics: metrics.map(toMetric),
      behavior: { scaleUp: toRules(scaleOut), scaleDown: toRules(scaleIn) },
    },
  });
}

function toMetric({ cpuPercent, podMetric, averageValue = "0" }: Autoscaling["metrics"][number]): object {
  if (podMetric === undefined) {
    const target = { type: "Utilization", averageUtilization: cpuPercent };
    // Of the engine's container: what helps it must not thin out the figure.
    return { type: "ContainerResource", containerResource: { name: "cpu", container: "engine", target } };
  }
  const target = { type: "AverageValue", averageValue: formatDecimal(parseQuantity(averageValue)) };
  return { type: "Pods", pods: { metric: { name: podMetric }, target } };
}

function toRules({ stabilizationSeconds, percent, members, periodSeconds }: Autoscaling["scaleIn"]): object {
  return {
    stabilizationWindowSeconds: stabilizationSeconds,
    selectPolicy: "Max",
    policies: [
      { type: "Percent", value: percent, periodSeconds },
      { type: "Pods", value: members, periodSeconds },
    ],
  };
}
