// Every object of ours that examples and documentation show is accepted as it stands, unknown fields refused. Commands are in
// documentation.test.ts.
import { readdirSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { KubeObject } from "../../src/kube/object.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";

const root = join(import.meta.dirname, "../..");
let plane: ControlPlane;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.kubectl("apply", "--server-side", "-k", join(root, "deploy/crds"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
});
afterAll(() => plane?.stop());

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

/** Objects of ours in files, and in the YAML blocks of pages. */
function shown(): { readonly where: string; readonly object: KubeObject }[] {
  const files = filesBelow("examples", ".yaml").map((where) => ({
    where,
    text: readFileSync(join(root, where), "utf8"),
  }));
  const pages = ["README.md", ...filesBelow("docs", ".md")].flatMap((where) => {
    const blocks = readFileSync(join(root, where), "utf8").matchAll(/^```yaml\n([^]*?)^```/gm);
    return [...blocks].map(([, text = ""]) => ({ where, text }));
  });
  return [...files, ...pages].flatMap(({ where, text }) =>
    (loadAll(text) as (KubeObject | null)[]).flatMap((object) =>
      object !== null && ["ClusterSpec", "ClusterOperation", "Engine"].includes(object.kind) ? { where, object } : [],
    ),
  );
}

test.each(shown())("$where: $object.kind $object.metadata.name", async ({ object }) => {
  const file = join(plane.folder, "shown.json");
  const namespace = object.kind === "Engine" ? {} : { namespace: "default" };
  await writeFile(file, JSON.stringify({ ...object, metadata: { ...object.metadata, ...namespace } }));
  const args = ["create", "--dry-run=server", "--validate=strict", "-f", file];
  expect(await plane.kubectl(...args)).toContain("created (server dry run)");
});

test("a field that does not exist would be found", async () => {
  const [first] = shown();
  const file = join(plane.folder, "shown.json");
  const spec = { ...(first?.object as { readonly spec?: object } | undefined)?.spec, membrs: 3 };
  await writeFile(file, JSON.stringify({ ...first?.object, metadata: { name: "x", namespace: "default" }, spec }));
  expect(await readFile(file, "utf8")).toContain("membrs");
  const refused = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", file);
  await expect(refused).rejects.toThrow("membrs");
});
