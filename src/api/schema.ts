/** Small pieces that all schemas are made of; see crd generation for what becomes of them. */
import { z } from "zod";

/** One CEL rule as a CRD carries it. `message` must name the field and the fix. */
export interface CelRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

/** Metadata for `.meta()` that carries CEL rules into the CRD; zod itself does not evaluate them. */
export function cel(rules: readonly CelRule[]): { "x-kubernetes-validations": readonly CelRule[] } {
  return { "x-kubernetes-validations": rules };
}

/** A DNS label of at most 63 characters. */
export function named(description: string): z.ZodString {
  return z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
    .describe(description);
}

/** A Kubernetes quantity such as `10Gi` or `500m`. */
export function quantity(description: string): z.ZodString {
  return z
    .string()
    .max(32)
    .regex(/^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/)
    .describe(description);
}

/** Object metadata as the API server returns it; only what we read is named. */
export const objectMeta = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  generation: z.number().optional(),
  resourceVersion: z.string().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type ObjectMeta = z.infer<typeof objectMeta>;

/** A condition as kstatus and `kubectl wait` read it. */
export const Condition = z.object({
  type: z.string().max(316).describe("type of the condition, for example Ready."),
  status: z.enum(["True", "False", "Unknown"]).describe("status of the condition."),
  observedGeneration: z.int().min(0).optional().describe("observedGeneration the condition was computed from."),
  lastTransitionTime: z.string().describe("lastTransitionTime is when status last changed."),
  reason: z.string().min(1).max(1024).describe("reason in one CamelCase word."),
  message: z.string().max(32768).describe("message for people: what is the matter and what to do next."),
});
export type Condition = z.infer<typeof Condition>;
