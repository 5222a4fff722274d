/** Where members' pods run, and what may be done to them there. */
import { z } from "zod";
import { annotationMap, cel, labelMap, reservedKeys } from "./schema.ts";

/** A toleration as the Pod API has it, complete, so that a typing mistake is refused here and not in the pod. */
const Toleration = z.object({
  key: z.string().max(317).optional().describe("key of the taint; every key when absent, with operator Exists."),
  operator: z.enum(["Equal", "Exists"]).optional().describe("operator between key and value; Equal when absent."),
  value: z.string().max(63).optional().describe("value of the taint, for operator Equal."),
  effect: z
    .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
    .optional()
    .describe("effect of the taint; every effect when absent."),
  tolerationSeconds: z
    .int()
    .min(0)
    .optional()
    .describe("tolerationSeconds a member stays on a node with a NoExecute taint; for ever when absent."),
});

/** The `pods` block of a ClusterSpec. */
export const PodOptions = z.object({
  labels: labelMap("labels added to every pod.")
    .meta(cel([reservedKeys("pods.labels")]))
    .optional(),
  annotations: annotationMap("annotations added to every pod.")
    .meta(cel([reservedKeys("pods.annotations")]))
    .optional(),
  nodeSelector: labelMap("nodeSelector of every pod.").optional(),
  tolerations: z
    .array(Toleration)
    .max(32)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("tolerations of every pod."),
  priorityClassName: z.string().max(253).optional().describe("priorityClassName of every pod."),
  antiAffinity: z
    .enum(["Required", "Preferred"])
    .default("Preferred")
    .describe("antiAffinity between members on one node: Required never puts two on a node, Preferred avoids it."),
  topologyKey: z
    .string()
    .max(316)
    .default("topology.kubernetes.io/zone")
    .describe("topologyKey is the node label whose values members are spread over, beside nodes."),
});

/** The `disruption` block of a ClusterSpec. */
export const Disruption = z.object({
  singleMember: z
    .enum(["Allow", "Block", "Surge"])
    .default("Allow")
    .describe(
      "singleMember says what a drain may do to a cluster of one member: Allow evicts it, which is an outage until it is back; Block never; Surge adds a second member, hands over to it, and removes the first.",
    ),
  deadNode: z
    .enum(["Wait", "Replace"])
    .default("Wait")
    .describe(
      "deadNode says what becomes of a follower whose volume was on a node that is gone for good: Wait leaves it to a person; Replace gives it a new volume and clones it. A node counts as gone when its Node object was deleted, or a person tainted it out-of-service.",
    ),
});
