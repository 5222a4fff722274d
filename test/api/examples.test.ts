// Every object of ours that examples and documentation show is accepted as it stands, unknown fields refused; and every command
// of kubectl in documentation is run as it is printed. Those of runbooks are in runbooks.test.ts.
import { readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Terminal } from "../../hack/scenario/runbook.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { binary, type ControlPlane, monitoringKinds, startControlPlane } from "./harness.ts";

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

/** Commands that need members, the operator's pod, or its webhook: the lab's tests and webhook.test.ts have those. */
const ELSEWHERE = [/ wait /, / exec /, / logs deploy[/]/, / port-forward /, / validatingwebhookconfiguration /];

/** What people are told to type into a shell, a here-document with its text; the plugin's calls are checked by unit/docs.test.ts. */
function typed(): string[] {
  const pages = ["README.md", ...filesBelow("docs", ".md").filter((name) => !name.startsWith("docs/runbooks/"))];
  const blocks = pages.flatMap((name) => {
    const text = readFileSync(join(root, name), "utf8").replaceAll("\\\n", " ");
    return [...text.matchAll(/^ *```(sh|console)\n([^]*?)^ *```/gm)].map(([, language, block = ""]) =>
      language === "sh" ? block : block.replaceAll(/^(?!\$ ).*\n/gm, "").replaceAll(/^\$ /gm, ""),
    );
  });
  const lines = blocks.flatMap((block) => block.match(/^.*<<EOF\n[^]*?^EOF$|^.+$/gm) ?? []).map((line) => line.trim());
  return [...new Set(lines)].filter((line) => /^(sed|kubectl(?! quorate)) /.test(line));
}

test("every command of kubectl can be pasted", { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(plane.folder, "checkout-"));
  for (const name of ["deploy", "engines", "examples"]) await symlink(join(root, name), join(folder, name));
  await copyFile(join(root, "examples/postgres/cluster.yaml"), join(folder, "orders.yaml")); // the reader's own
  await plane.kubectl("apply", "--server-side", "-f", monitoringKinds());
  for (const namespace of ["shop", "argocd"]) await plane.kubectl("create", "namespace", namespace);
  const terminal = await Terminal.open(folder, binary("kubectl"), plane.kubeconfig);
  const here = typed().filter((line) => !ELSEWHERE.some((needs) => needs.test(line)));
  expect(here.length).toBeGreaterThan(30);
  const refused: string[] = [];
  for (const line of here) {
    const filled = line.replaceAll("<revision>", "7c9f").replaceAll("<try>", "1");
    // What is not there in a cluster without an operator is not the question.
    await terminal.paste(`cd ${folder}; set -o pipefail; ${filled}`).catch((error: Error) => {
      if (!/NotFound|not found/.test(error.message)) refused.push(error.message);
    });
  }
  expect(refused).toEqual([]);
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
