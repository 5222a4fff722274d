import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { staleFiles } from "../../../hack/generate/generate.ts";

const root = join(import.meta.dirname, "../../..");
let copy: string;

beforeEach(async () => {
  copy = await mkdtemp(join(tmpdir(), "quorate-generated-"));
  const folders = ["crds", "deploy", "charts", "engines", "examples"];
  const files = ["docs/reference.md", "docs/change.md", "docs/metrics.md", "docs/security.md", "package.json"];
  for (const path of [...folders, ...files]) await cp(join(root, path), join(copy, path), { recursive: true });
});
afterEach(() => rm(copy, { recursive: true }));

test("what is committed is what the schemas say", () => {
  expect(staleFiles(root)).toEqual([]);
});

test("a file that was edited, is missing or is left over is stale", async () => {
  await writeFile(join(copy, "crds/engines.quorate.io.yaml"), "edited");
  await rm(join(copy, "docs/reference.md"));
  const page = await readFile(join(copy, "docs/change.md"), "utf8");
  await writeFile(join(copy, "docs/change.md"), page.replace("| `NotPaused`", "| `Paused`"));
  await writeFile(join(copy, "crds/backups.quorate.io.yaml"), "of a kind that is gone");
  await writeFile(join(copy, "deploy/rbac/clusterrole.yaml"), "edited");
  expect(staleFiles(copy)).toEqual([
    "crds/engines.quorate.io.yaml",
    "docs/reference.md",
    "docs/change.md",
    "deploy/rbac/clusterrole.yaml",
    "crds/backups.quorate.io.yaml",
  ]);
});
