// deploy/ and charts/quorate, together: what both are made of is read once.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "js-yaml";
import { VERSION } from "../../../src/api/names.ts";
import { ANNOTATION_SCHEMA, crdName, toCustomResourceDefinition } from "../crd.ts";
import { KINDS } from "../kinds.ts";
import { chartFiles, type CrdPart } from "./chart.ts";
import { kustomizeFiles } from "./kustomize.ts";
import { chartSources } from "./observability.ts";
import { chartValues } from "./values.ts";

/** How to write what the installations share with other folders, and what to install. */
export interface InstallationStyle {
  /** Text of a CRD's file. */
  readonly crdText: (crd: object) => string;
  /** Text of a file with rules. */
  readonly rulesText: (rules: object) => string;
  /** Of the images that kustomize's installation runs; the chart's are of its version. */
  readonly tag: string;
}

/** Every generated file of both installations, by its path from the root of the repository. */
export function installationFiles(
  root: string,
  { crdText, rulesText, tag }: InstallationStyle,
): ReadonlyMap<string, string> {
  const engines = builtInEngines(join(root, "engines"));
  const schema = chartValues([...engines.keys()]);
  const files = new Map<string, string>();
  for (const [path, text] of kustomizeFiles(schema.parse({ image: { tag }, agentImage: { tag } }))) {
    files.set(`deploy/${path}`, text);
  }
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
  const example = load(readFileSync(join(root, "examples/postgres/cluster.yaml"), "utf8")) as object;
  const parts = { version, schema, engines, example, crds: crdParts(crdText), sources: chartSources(rulesText) };
  for (const [path, text] of chartFiles(parts)) {
    files.set(`charts/quorate/${path}`, text);
  }
  return files;
}

function builtInEngines(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
  return new Map(
    names.toSorted().map((name) => [name.slice(0, -".yaml".length), readFileSync(join(folder, name), "utf8")]),
  );
}

function crdParts(crdText: (crd: object) => string): CrdPart[] {
  return KINDS.map((kind) => {
    const crd = toCustomResourceDefinition(kind);
    return {
      name: crdName(kind),
      kind: kind.kind,
      version: VERSION,
      description: kind.schema.description ?? "",
      revision: crd.metadata.annotations[ANNOTATION_SCHEMA] ?? "",
      text: crdText(crd),
    };
  });
}
