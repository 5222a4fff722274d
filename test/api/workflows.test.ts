// Workflows keep to actionlint's rules: syntax, expressions, names of events and contexts, inputs of well-known actions.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { binary } from "./harness.ts";

const run = promisify(execFile);
const WORKFLOWS = join(import.meta.dirname, "../../.github/workflows");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-workflows-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What is wrong with workflows, a finding a line. Programs that a machine may have or not, such as shellcheck, judge nothing. */
async function findings(...files: readonly string[]): Promise<readonly string[]> {
  const args = ["-oneline", "-no-color", "-shellcheck=", "-pyflakes=", ...files];
  const text = await run(binary("actionlint"), args).then(
    ({ stdout }) => stdout,
    ({ stdout, code }: { readonly stdout: string; readonly code: number }) => {
      if (code !== 1) throw new Error(`actionlint ended with ${code}`);
      return stdout;
    },
  );
  return text.split("\n").filter((line) => line !== "");
}

test("nothing is wrong with any workflow", async () => {
  const names = await readdir(WORKFLOWS);
  expect(names).toContain("release.yaml");
  expect(await findings(...names.map((name) => join(WORKFLOWS, name)))).toEqual([]);
});

test("a mistake would be found", async () => {
  const good = await readFile(join(WORKFLOWS, "release.yaml"), "utf8");
  const file = join(folder, "release.yaml");
  await writeFile(file, good.replace("github.ref_name }}", "github.reference }}"));
  expect(await findings(file)).toEqual([expect.stringContaining('property "reference" is not defined')]);
});
