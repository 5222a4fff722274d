/** What installs a release without Helm. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { generateFiles } from "../generate/generate.ts";

/** The folders that `kubectl apply -k` needs, by path: kustomize's overlays with the images of `version`, the CRDs, and the Engines. */
export function installationOf(root: string, version: string): ReadonlyMap<string, string> {
  const generated = [...generateFiles(root, version)].filter(([path]) => /^(crds|deploy)\//.test(path));
  const engines = readdirSync(join(root, "engines"))
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => [`engines/${name}`, readFileSync(join(root, "engines", name), "utf8")] as const);
  return new Map([...generated, ...engines]);
}
