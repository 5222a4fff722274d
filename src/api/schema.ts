/**
 * Small pieces that all schemas are made of.
 *
 * The schemas are the one source of the types, the CRDs in crds/ and docs/reference.md (see hack/generate). What zod can
 * say but a CRD cannot (refinements, unions of objects, floats, patterns with look-ahead) is an error there; rules
 * across fields are CEL, which the API server evaluates and zod does not.
 */
import * as z from "zod";

/** One CEL rule as a CRD carries it. The message names the field and the fix. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  /** Field the error is reported at, relative to the schema that carries the rule; for example `.durability.mode`. */
  readonly fieldPath?: string;
  readonly reason?: "FieldValueInvalid" | "FieldValueRequired" | "FieldValueForbidden";
}

/** Metadata for `.meta()` that carries CEL rules into the CRD. Give all rules of a schema in one call. */
export function cel(rules: readonly CelRule[]): { "x-kubernetes-validations": readonly CelRule[] } {
  return { "x-kubernetes-validations": rules };
}

/** Metadata for `.meta()` of an array of objects that are told apart by these fields. */
export function listMap(...keys: readonly string[]): Record<string, unknown> {
  return { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys };
}

/** Metadata for `.meta()` of an array of scalars in which nothing occurs twice. */
export const listSet = { "x-kubernetes-list-type": "set" } as const;

/** Metadata for `.meta()` of an array whose items only mean something together, and that has one owner. */
export const LIST_ATOMIC = { "x-kubernetes-list-type": "atomic" } as const;

/** A DNS label of at most 63 characters. */
export function named(description: string): z.ZodString {
  return z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
    .describe(description);
}

/** Marks a schema whose value may be written as an integer or as a string, as Kubernetes does for quantities. */
export const INT_OR_STRING = "x-kubernetes-int-or-string";

const QUANTITY = /^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/;
const EXPECTED = "expected a quantity such as 10Gi, 500m or 2";

/**
 * A Kubernetes quantity such as `10Gi`, `500m` or `2`. Users may write `cpu: 2` without quotes; parsing gives the
 * string in every case. A default is given with `.prefault`, because it goes in, and is not what comes out.
 */
export function quantity(description: string): z.ZodType<string, string | number> {
  return z
    .union([z.int().min(0), z.string().max(32).regex(QUANTITY, EXPECTED)], { error: EXPECTED })
    .transform(String)
    .meta({ [INT_OR_STRING]: true, description });
}

/** A point in time as RFC 3339, for example `2026-11-24T13:00:00Z`. */
export function timestamp(description: string): z.ZodISODateTime {
  return z.iso.datetime({ offset: true }).describe(description);
}

/** Labels, or a selector of labels. */
export function labelMap(description: string): z.ZodRecord<z.ZodString, z.ZodString> {
  return z
    .record(
      z.string(),
      z
        .string()
        .max(63)
        .regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/),
    )
    .meta({ maxProperties: 32, description });
}

/** Annotations. */
export function annotationMap(description: string): z.ZodRecord<z.ZodString, z.ZodString> {
  return z.record(z.string(), z.string().max(4096)).meta({ maxProperties: 32, description });
}

/** Rule for labels and annotations that users add: ours stay ours. */
export function reservedKeys(field: string): CelRule {
  return {
    rule: "self.all(key, !key.startsWith('quorate.io/') && !key.startsWith('app.kubernetes.io/'))",
    message: `${field} must not use the prefixes quorate.io/ and app.kubernetes.io/: the operator sets those; choose a prefix of your own`,
  };
}

/** Engine parameters, name to value. Both end up as lines `name<TAB>value` in a file, so neither holds a tab or a line break. */
export function parameterMap(field: string, description: string): z.ZodRecord<z.ZodString, z.ZodString> {
  const value = z
    .string()
    .max(1024)
    .regex(/^[^\t\r\n]*$/);
  return z.record(z.string(), value).meta({
    maxProperties: 256,
    description,
    ...cel([
      {
        rule: "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_.-]{0,127}$'))",
        message: `${field} has a name that is not a parameter's: use letters, digits, '_', '.' and '-', at most 128 characters, a letter or '_' first`,
      },
    ]),
  });
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
  lastTransitionTime: timestamp("lastTransitionTime is when status last changed."),
  reason: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
    .describe("reason in one CamelCase word."),
  message: z.string().max(32768).describe("message for people: what is the matter and what to do next."),
});
export type Condition = z.infer<typeof Condition>;
