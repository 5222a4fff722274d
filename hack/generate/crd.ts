// KindDefinition → CustomResourceDefinition.
import { createHash } from "node:crypto";
import { GROUP, VERSION } from "../../src/api/names.ts";
import { checkConventions } from "./conventions.ts";
import type { KindDefinition } from "./kinds.ts";
import { type StructuralSchema, toStructuralSchema, type ValidationRule } from "./structural-schema.ts";

/** Name of the CRD, which is also the name of its file: `clusterspecs.quorate.io`. */
export function crdName(kind: KindDefinition): string {
  return `${kind.plural}.${GROUP}`;
}

/**
 * The schema of the whole object. Of `metadata` a CRD may only name `name`.
 * @throws {Error} listing every field that breaks the conventions of the API.
 */
export function objectSchema(kind: KindDefinition): StructuralSchema {
  const { shape } = kind.schema;
  const meta = kind.schema.meta() ?? {};
  const properties: Record<string, StructuralSchema> = {
    apiVersion: { type: "string", description: `apiVersion is ${GROUP}/${VERSION}.` },
    kind: { type: "string", description: `kind is ${kind.kind}.` },
    // Named, so that rules can be reported at it.
    metadata: { type: "object", properties: { name: { type: "string" } } },
  };
  for (const part of ["spec", "status"]) {
    const schema = shape[part];
    if (schema !== undefined)
      properties[part] = toStructuralSchema(schema as Parameters<typeof toStructuralSchema>[0], [part]);
  }
  const rules = meta["x-kubernetes-validations"] as ValidationRule[] | undefined;
  const root: StructuralSchema = {
    description: meta.description ?? "",
    type: "object",
    required: ["spec"],
    properties,
    ...(rules === undefined ? {} : { "x-kubernetes-validations": rules }),
  };
  const problems = checkConventions(properties);
  if (problems.length > 0) throw new Error(`${kind.kind}:\n  ${problems.join("\n  ")}`);
  return root;
}

/** The annotation of a CRD that changes with its content: the chart refuses to run beside an older one. */
export const ANNOTATION_SCHEMA = "quorate.io/schema";

/** A CustomResourceDefinition, as far as generators look into it. */
export interface CustomResourceDefinition {
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: object;
}

/** The CustomResourceDefinition object of a kind. */
export function toCustomResourceDefinition(kind: KindDefinition): CustomResourceDefinition {
  const spec = definition(kind);
  const revision = createHash("sha256").update(JSON.stringify(spec)).digest("hex").slice(0, 12);
  const head = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" };
  return { ...head, metadata: { name: crdName(kind), annotations: { [ANNOTATION_SCHEMA]: revision } }, spec };
}

function definition(kind: KindDefinition): object {
  const hasStatus = "status" in kind.schema.shape;
  return {
    group: GROUP,
    scope: kind.scope,
    names: {
      kind: kind.kind,
      listKind: `${kind.kind}List`,
      plural: kind.plural,
      singular: kind.kind.toLowerCase(),
      shortNames: kind.shortNames,
      // Not `all`: `kubectl delete all --all` must not delete a database.
      categories: ["quorate"],
    },
    versions: [
      {
        name: VERSION,
        served: true,
        storage: true,
        ...(hasStatus ? { subresources: { status: {}, ...(kind.scale ? { scale: kind.scale } : {}) } } : {}),
        ...(kind.selectableFields ? { selectableFields: kind.selectableFields.map((jsonPath) => ({ jsonPath })) } : {}),
        additionalPrinterColumns: kind.printerColumns,
        schema: { openAPIV3Schema: objectSchema(kind) },
      },
    ],
  };
}
