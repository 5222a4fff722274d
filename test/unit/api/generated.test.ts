import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { staleFiles } from "../../../hack/generate/generate.ts";

const root = join(import.meta.dirname, "../../..");
let copy: string;

beforeEach(async () => {
  copy = await mkdtemp(join(tmpdir(), "quorate-generated-"));
  await cp(join(root, "crds"), join(copy, "crds"), { recursive: true });
  await cp(join(root, "docs/reference.md"), join(copy, "docs/reference.md"));
});
afterEach(() => rm(copy, { recursive: true }));

test("what is committed is what the schemas say", () => {
  expect(staleFiles(root)).toEqual([]);
});

test("a file that was edited, is missing or is left over is stale", async () => {
  await writeFile(join(copy, "crds/engines.quorate.io.yaml"), "edited");
  await rm(join(copy, "docs/reference.md"));
  await writeFile(join(copy, "crds/backups.quorate.io.yaml"), "of a kind that is gone");
  expect(staleFiles(copy)).toEqual([
    "crds/engines.quorate.io.yaml",
    "docs/reference.md",
    "crds/backups.quorate.io.yaml",
  ]);
});
