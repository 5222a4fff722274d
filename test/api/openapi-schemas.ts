// JSON schemas for kubeconform from what an API server itself publishes, so that they fit its version and its CRDs.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

interface Definition {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly "x-kubernetes-group-version-kind"?: readonly {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
  }[];
}

const REF = "#/definitions/";
const INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/**
 * Writes a schema for each of `kinds` below `folder`, from the text of `/openapi/v2`. Unknown fields are refused.
 * @returns the argument of `-schema-location`.
 */
export async function writeSchemas(openapi: string, kinds: ReadonlySet<string>, folder: string): Promise<string> {
  const { definitions } = JSON.parse(openapi) as { readonly definitions: Readonly<Record<string, Definition>> };
  await mkdir(folder, { recursive: true });
  for (const [name, definition] of Object.entries(definitions)) {
    for (const { group, version, kind } of definition["x-kubernetes-group-version-kind"] ?? []) {
      if (!kinds.has(kind)) continue;
      const schema = { $ref: `${REF}${name}`, definitions: Object.fromEntries(needed(definitions, name)) };
      const file = [kind, group.split(".")[0], version].filter((part) => part !== "").join("-");
      await writeFile(join(folder, `${file.toLowerCase()}.json`), JSON.stringify(schema));
    }
  }
  return join(folder, "{{ .ResourceKind }}{{ .KindSuffix }}.json");
}

/** The definition and all that it refers to. */
function needed(definitions: Readonly<Record<string, Definition>>, name: string): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  const visit = (at: string) => {
    const definition = definitions[at];
    if (definition === undefined || found.has(at)) return;
    found.set(at, strict(at, definition));
    for (const [, to = ""] of JSON.stringify(definition).matchAll(/"#\/definitions\/([^"]+)"/g)) visit(to);
  };
  visit(name);
  return found;
}

function strict(name: string, definition: Definition): unknown {
  // OpenAPI 2 has no unions: the API server says "string" and takes both.
  if (name === INT_OR_STRING) return { oneOf: [{ type: "string" }, { type: "integer" }] };
  return definition.properties === undefined ? definition : { ...definition, additionalProperties: false };
}
