/** Where members' pods run, and what may be done to them there. */
import * as z from "zod";
import { annotationMap, cel, type CelRule, labelMap, listMap, named, reservedKeys } from "./schema.ts";

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

/** One requirement of the nodes that members may run on, as a node affinity has it. */
const NodeRequirement = z
  .object({
    key: z.string().min(1).max(317).describe("key of the node label."),
    operator: z
      .enum(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
      .describe("operator between the label and values."),
    values: z
      .array(z.string().max(63))
      .max(32)
      .meta({ "x-kubernetes-list-type": "atomic" })
      .optional()
      .describe("values to compare with; none for Exists and DoesNotExist, one number for Gt and Lt."),
  })
  .meta(
    cel([
      {
        rule: "(self.operator in ['Exists', 'DoesNotExist']) != (has(self.values) && size(self.values) > 0)",
        message: "values must be given for In, NotIn, Gt and Lt, and for no other operator: add or remove values",
        fieldPath: ".values",
      },
    ]),
  );

/** A variable of the engine's container. What is secret has no place here: everybody who may read the ClusterSpec sees it. */
const EngineVariable = z.object({
  name: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
    .describe("name of the variable.")
    .meta(
      cel([
        {
          rule: "!self.startsWith('QUORATE_') && !self.startsWith('LD_') && !(self in ['PATH', 'NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_TLS_REJECT_UNAUTHORIZED'])",
          message:
            "name must not be QUORATE_…, LD_…, PATH, NODE_OPTIONS, NODE_EXTRA_CA_CERTS or NODE_TLS_REJECT_UNAUTHORIZED: the agent depends on those; choose another variable",
        },
      ]),
    ),
  value: z.string().max(1024).describe("value of the variable, taken as it is: $(NAME) is not expanded."),
});

/** By these annotations Kubernetes takes profiles that fields of the pod were made for later: the fields hold, unless they are contradicted. */
const noProfiles: CelRule = {
  rule: "self.all(key, !key.contains('apparmor.security.beta.kubernetes.io/') && !key.contains('seccomp.security.alpha.kubernetes.io/'))",
  message:
    "pods.annotations must not set AppArmor or seccomp profiles: pods have the runtime's, and cannot be given less; remove the annotation",
};

/** The `pods` block of a ClusterSpec. */
export const PodOptions = z.object({
  labels: labelMap("labels added to every pod.")
    .meta(cel([reservedKeys("pods.labels")]))
    .optional(),
  annotations: annotationMap("annotations added to every pod.")
    .meta(cel([reservedKeys("pods.annotations"), noProfiles]))
    .optional(),
  nodeSelector: labelMap("nodeSelector of every pod.").optional(),
  tolerations: z
    .array(Toleration)
    .max(32)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("tolerations of every pod."),
  nodeRequirements: z
    .array(NodeRequirement)
    .min(1)
    .max(16)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("nodeRequirements that a node must meet, all of them, beside nodeSelector."),
  imagePullSecrets: z
    .array(z.object({ name: named("name of a Secret of the same namespace.") }))
    .min(1)
    .max(8)
    .meta(listMap("name"))
    .optional()
    .describe("imagePullSecrets with which nodes fetch the images of every pod."),
  env: z
    .array(EngineVariable)
    .min(1)
    .max(64)
    .meta(listMap("name"))
    .optional()
    .describe("env of the engine's container, for example its time zone. Changing it restarts the members."),
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
