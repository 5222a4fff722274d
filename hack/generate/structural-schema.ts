// zod → the structural OpenAPI schema of a CRD. What a CRD cannot say is an error that names the field, never dropped:
// a rule that only zod knows would be promised to users and not kept by the API server.
import { z } from "zod";
import { INT_OR_STRING } from "../../src/api/schema.ts";

/** A JSON value as it stands in a schema. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** A node of a CRD's `openAPIV3Schema`. */
export interface StructuralSchema {
  type?: "object" | "array" | "string" | "integer" | "boolean";
  format?: string;
  description?: string;
  default?: JsonValue;
  nullable?: true;
  enum?: JsonValue[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: true;
  exclusiveMaximum?: true;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
  maxProperties?: number;
  required?: string[];
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema;
  items?: StructuralSchema;
  anyOf?: { type: "integer" | "string" }[];
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-preserve-unknown-fields"?: true;
  "x-kubernetes-embedded-resource"?: true;
  "x-kubernetes-list-type"?: "atomic" | "set" | "map";
  "x-kubernetes-list-map-keys"?: string[];
  "x-kubernetes-map-type"?: "atomic" | "granular";
  "x-kubernetes-validations"?: ValidationRule[];
}

/** A CEL rule as it stands in a CRD. */
export interface ValidationRule {
  rule: string;
  message: string;
  fieldPath?: string;
  reason?: string;
}

/** A schema that a CRD cannot carry; the message names the field and what to write instead. */
export class NotStructuralError extends Error {
  constructor(path: readonly string[], problem: string) {
    super(`${fieldPath(path)}: ${problem}`);
    this.name = "NotStructuralError";
  }
}

/** `["spec", "tolerations", "[]", "key"]` → `spec.tolerations[].key`; the empty path is `<root>`. */
export function fieldPath(path: readonly string[]): string {
  return path.length === 0 ? "<root>" : path.join(".").replaceAll(".[]", "[]");
}

/**
 * The structural schema of what users may write: defaults are not required, and unknown fields are for the API server
 * to refuse or prune. `path` is where the schema stands in the object, for messages.
 * @throws {NotStructuralError} when the schema holds something that a CRD cannot say.
 */
export function toStructuralSchema(schema: z.ZodType, path: readonly string[] = []): StructuralSchema {
  const transformed = new Map<string, readonly string[]>();
  let json: unknown;
  try {
    json = z.toJSONSchema(schema, {
      target: "openapi-3.0", // boolean exclusiveMinimum, nullable and enum, as Kubernetes wants them
      io: "input", // users write before defaults are filled in
      reused: "inline",
      cycles: "throw",
      unrepresentable: "throw",
      override: (visit) => {
        const at = [...path, ...toFieldPath(visit.path)];
        refuseWhatGetsLost(visit, at);
        // One value is visited from the innermost schema outwards; the marker may stand on any of them.
        if (visit.jsonSchema[INT_OR_STRING as keyof object] === true) transformed.delete(fieldPath(at));
        else if (definition<{ type: string }>(visit.zodSchema).type === "pipe") transformed.set(fieldPath(at), at);
      },
    });
  } catch (error) {
    if (error instanceof NotStructuralError) throw error;
    throw new NotStructuralError(path, firstLine(error));
  }
  for (const at of transformed.values()) {
    throw new NotStructuralError(at, "transform, pipe and preprocess are not known to the API server");
  }
  return normalize(json as JsonSchema, path);
}

type JsonSchema = Record<string, unknown>;

/** The part of zod's override context that is looked at. */
interface Visit {
  readonly zodSchema: z.core.$ZodType;
  readonly jsonSchema: object;
  readonly path: readonly (string | number)[];
}

/** zod keeps what libraries may look at under `_zod`. */
function definition<Def>(node: { _zod: { def: Def } }): Def {
  return node._zod.def; // oxlint-disable-line no-underscore-dangle -- zod's name, not ours
}

/** Runs for every zod node, because toJSONSchema says nothing when it leaves out a refinement or a default. */
function refuseWhatGetsLost(visit: Visit, path: readonly string[]): void {
  const def = definition(visit.zodSchema);
  for (const check of def.checks ?? []) {
    const kind = definition(check).check;
    if (kind === "custom")
      throw new NotStructuralError(path, "refine is not known to the API server: write a cel() rule");
    if (kind === "overwrite")
      throw new NotStructuralError(path, "the API server does not change what users write: use a pattern");
  }
  if (def.type === "catch") throw new NotStructuralError(path, "catch accepts anything: use default");
  if (def.type === "default" && !("default" in visit.jsonSchema)) {
    throw new NotStructuralError(path, "the default of a transformed value is lost: use prefault");
  }
}

/** zod's path through the JSON schema → the path of the field in the object. */
function toFieldPath(path: readonly (string | number)[]): string[] {
  const fields: string[] = [];
  for (let i = 0; i < path.length; i++) {
    if (path[i] === "properties") fields.push(String(path[++i]));
    else if (path[i] === "items") fields.push("[]");
    else if (path[i] === "additionalProperties") fields.push("*");
  }
  return fields;
}

const KEYWORDS = new Set([
  "type", "format", "description", "default", "nullable", "enum", "pattern",
  "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
  "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
  "required", "properties", "additionalProperties", "items",
  "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations",
]); // biome-ignore format: a table

/** Why a keyword that zod writes has no place in a CRD. */
const REFUSED: Readonly<Record<string, string>> = {
  oneOf:
    "a union of objects cannot be made structural: use a discriminator field, an optional object per case and cel() rules",
  anyOf: "a union cannot be made structural: use quantity() or a discriminator field",
  allOf: "an intersection, or a second pattern, cannot be made structural: write one schema",
  not: "never has no value: leave the field out",
  $ref: "references are not allowed in a CRD: leave out .meta({id})",
  prefixItems: "a tuple cannot be made structural: use an object with named fields",
  propertyNames: "rules for keys are not known to the API server: write a cel() rule",
  patternProperties: "rules for keys are not known to the API server: write a cel() rule",
};

function normalize(json: JsonSchema, path: readonly string[]): StructuralSchema {
  const schema = { ...json };
  // Only what zod says of itself; nothing a user could rely on.
  for (const key of ["$schema", "id", "examples", "readOnly", "title", "deprecated"]) delete schema[key];
  if (schema[INT_OR_STRING] === true) return normalizeIntOrString(schema, path);
  for (const key of Object.keys(schema)) {
    if (!KEYWORDS.has(key)) throw new NotStructuralError(path, REFUSED[key] ?? `${key} has no place in a CRD`);
  }
  const described = (keys: string[]) => keys.every((key) => key === "description");
  if (described(Object.keys(schema))) return { ...schema, "x-kubernetes-preserve-unknown-fields": true };
  if (schema["pattern"] !== undefined) normalizePattern(schema, path);
  switch (schema["type"]) {
    case "object":
      return normalizeObject(schema, path);
    case "array":
      return normalizeArray(schema, path);
    case "integer":
      return normalizeInteger(schema);
    case "string":
    case "boolean":
      return schema;
    case "number":
      throw new NotStructuralError(
        path,
        "the API holds no floating-point numbers: use z.int(), or a string with a pattern",
      );
    default:
      throw new NotStructuralError(path, "has no type that a CRD knows");
  }
}

/** Formats that the API server itself checks, so that zod's pattern for them is left out. */
const SERVER_FORMATS = new Set(["date-time", "date", "uri", "email", "ipv4", "ipv6", "uuid", "byte", "cidr", "mac"]);

/** The API server's patterns are RE2, which knows no look-around and no back-reference. */
function normalizePattern(schema: JsonSchema, path: readonly string[]): void {
  if (SERVER_FORMATS.has(String(schema["format"]))) delete schema["pattern"];
  else if (/\(\?(?:[=!]|<[=!])|\\[1-9]|\\k</.test(String(schema["pattern"]))) {
    throw new NotStructuralError(
      path,
      "the pattern uses look-around or a back-reference, which the API server's RE2 does not know",
    );
  }
}

function normalizeObject(schema: JsonSchema, path: readonly string[]): StructuralSchema {
  const { properties, additionalProperties, ...rest } = schema as {
    properties?: Record<string, JsonSchema>;
    additionalProperties?: boolean | JsonSchema;
  };
  const object: StructuralSchema = rest;
  const fields = Object.entries(properties ?? {});
  if (fields.length > 0) {
    object.properties = Object.fromEntries(fields.map(([name, field]) => [name, normalize(field, [...path, name])]));
  }
  if (isObject(object.default)) object.default = withDefaultsOf(object, object.default);
  // Strict: unknown fields are pruned, or refused by strict field validation, without being asked.
  if (additionalProperties === undefined || additionalProperties === false) return object;
  if (additionalProperties === true || Object.keys(additionalProperties).length === 0) {
    object["x-kubernetes-preserve-unknown-fields"] = true;
  } else if (fields.length > 0) {
    throw new NotStructuralError(
      path,
      "named fields and a catchall exclude each other in a CRD: put the map in a field of its own",
    );
  } else if (object.required !== undefined) {
    throw new NotStructuralError(path, "a record with fixed keys cannot be made structural: use an object");
  } else {
    object.additionalProperties = normalize(additionalProperties, [...path, "*"]);
  }
  return object;
}

/** The API server checks an object's default against its CEL rules before it fills in the defaults of the fields. */
function withDefaultsOf(schema: StructuralSchema, value: { [key: string]: JsonValue }): { [key: string]: JsonValue } {
  const filled = { ...value };
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    if (filled[name] === undefined && field.default !== undefined) filled[name] = structuredClone(field.default);
  }
  return filled;
}

function isObject(value: JsonValue | undefined): value is { [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function normalizeArray(schema: JsonSchema, path: readonly string[]): StructuralSchema {
  const items = schema["items"];
  // zod writes a tuple's types as items.anyOf.
  if (typeof items !== "object" || items === null || Array.isArray(items) || "anyOf" in items) {
    throw new NotStructuralError(
      path,
      "a tuple or an array of a union cannot be made structural: use an object with named fields",
    );
  }
  return { ...schema, items: normalize(items as JsonSchema, [...path, "[]"]) };
}

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/** int32 only when every value fits: Kubernetes 1.36 refuses values outside of a number's format. */
function normalizeInteger(schema: JsonSchema): StructuralSchema {
  const { minimum, maximum, ...rest } = schema as { minimum?: number; maximum?: number };
  const fits = minimum !== undefined && minimum >= INT32_MIN && maximum !== undefined && maximum <= INT32_MAX;
  const integer: StructuralSchema = { ...rest, format: fits ? "int32" : "int64" };
  // zod's own limits, which the format says already.
  if (minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER && minimum !== INT32_MIN) integer.minimum = minimum;
  if (maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER && maximum !== INT32_MAX) integer.maximum = maximum;
  return integer;
}

/** The one union that a CRD knows; limits of the string branch are kept beside it. */
function normalizeIntOrString(schema: JsonSchema, path: readonly string[]): StructuralSchema {
  const { anyOf, ...rest } = schema as { anyOf?: JsonSchema[] };
  const text = anyOf?.find((branch) => branch["type"] === "string");
  if (anyOf?.length !== 2 || text === undefined || !anyOf.some((branch) => branch["type"] === "integer")) {
    throw new NotStructuralError(path, `${INT_OR_STRING} needs a union of z.int() and z.string()`);
  }
  const { type: _, ...limits } = text;
  normalizePattern(limits, path);
  return { ...rest, ...limits, anyOf: [{ type: "integer" }, { type: "string" }], "x-kubernetes-int-or-string": true };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}
