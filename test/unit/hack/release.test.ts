// What a release is made of: the plugin's archive and manifest by the rules that krew checks, and a workflow that cannot be changed
// from outside. krew's own checks are Go code (internal/index/validation); they are followed here one by one.
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packFolder, sha256Of } from "../../../hack/release/archive.ts";
import { packImage } from "../../../hack/release/image.ts";
import { installationOf } from "../../../hack/release/installation.ts";
import { krewManifest } from "../../../hack/release/krew.ts";
import { AGENT_IMAGE, VERSION } from "../../../src/version.ts";

const ROOT = join(import.meta.dirname, "../../..");
const WORKFLOW = join(ROOT, ".github/workflows/release.yaml");
const ADDRESS = "https://example.com/quorate/quorate/releases/download/v1.2.3/kubectl-quorate-1.2.3.tar.gz";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-release-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function pluginFolder(name: string, atSeconds: number): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  await writeFile(join(path, "kubectl-quorate.mjs"), "#!/usr/bin/env node\nconsole.log('it runs');\n");
  await chmod(join(path, "kubectl-quorate.mjs"), 0o700);
  await writeFile(join(path, "LICENSE"), "text", { mode: 0o600 });
  for (const file of ["kubectl-quorate.mjs", "LICENSE"]) await utimes(join(path, file), atSeconds, atSeconds);
  return path;
}

test("an archive has the same bytes wherever and whenever it is packed, and its program runs", async () => {
  const [one, other] = [join(folder, "one.tar.gz"), join(folder, "other.tar.gz")];
  await packFolder(await pluginFolder("here", 1_000), one);
  await packFolder(await pluginFolder("there", 2_000_000_000), other);
  expect(await sha256Of(one)).toBe(await sha256Of(other));
  const unpacked = await mkdtemp(join(folder, "unpacked-"));
  execFileSync("tar", ["-C", unpacked, "-xzf", one]);
  expect(execFileSync(join(unpacked, "kubectl-quorate.mjs"), { encoding: "utf8" })).toBe("it runs\n");
});

test("a part of a folder keeps its name in the archive, with nothing before it: Helm reads no chart otherwise", async () => {
  await pluginFolder("of-chart", 1_000);
  const file = join(folder, "part.tar.gz");
  await packFolder(folder, file, "of-chart");
  const names = execFileSync("tar", ["-tzf", file], { encoding: "utf8" }).trim().split("\n");
  expect(names).toEqual(["of-chart/", "of-chart/LICENSE", "of-chart/kubectl-quorate.mjs"]);
});

test("an image is packed under the name of its release, with everything that is in it", async () => {
  const image = join(folder, "agent-0123");
  await mkdir(join(image, "abcd"), { recursive: true });
  await writeFile(join(image, "abcd/layer.tar"), "layer");
  await writeFile(join(image, "config.json"), "{}");
  const manifest = { Config: "config.json", RepoTags: ["docker.io/quorate/agent:dev"], Layers: ["abcd/layer.tar"] };
  await writeFile(join(image, "manifest.json"), JSON.stringify([manifest]));
  await symlink(image, join(folder, "agent"));
  await packImage(join(folder, "agent"), "docker.io/quorate/agent:1.2.3", join(folder, "agent.tar.gz"));
  const read = (name: string): string =>
    execFileSync("tar", ["-xzOf", join(folder, "agent.tar.gz"), `./${name}`], { encoding: "utf8" });
  expect(JSON.parse(read("manifest.json"))).toEqual([{ ...manifest, RepoTags: ["docker.io/quorate/agent:1.2.3"] }]);
  expect([read("config.json"), read("abcd/layer.tar")]).toEqual(["{}", "layer"]);
});

test("programs, chart and packages are of one version, and an operator starts agents of its own", async () => {
  const read = async (file: string): Promise<{ version: string; appVersion?: string }> =>
    load(await readFile(join(ROOT, file), "utf8")) as { version: string };
  expect((await read("package.json")).version).toBe(VERSION);
  expect((await read("package-lock.json")).version).toBe(VERSION);
  expect(await read("charts/quorate/Chart.yaml")).toMatchObject({ version: VERSION, appVersion: VERSION });
  expect(AGENT_IMAGE).toBe(`quorate/agent:${VERSION}`);
});

test("the overlays of a release run its own images, and bring all that they refer to", () => {
  const files = installationOf(ROOT, "1.2.3");
  const images = [...files].flatMap(([path, text]) =>
    path.startsWith("deploy/") ? [...text.matchAll(/quorate\/(operator|agent)[:@](\S+)/g)].map(([image]) => image) : [],
  );
  expect([...new Set(images)].toSorted()).toEqual(["quorate/agent:1.2.3", "quorate/operator:1.2.3"]);
  expect(files.get("crds/clusterspecs.quorate.io.yaml")).toContain("kind: CustomResourceDefinition");
  for (const [path, text] of files) {
    if (!path.endsWith("/kustomization.yaml")) continue;
    const { resources = [] } = load(text) as { readonly resources?: readonly string[] };
    for (const resource of resources) {
      const named = join(path, "..", resource);
      expect(files.has(named) || files.has(join(named, "kustomization.yaml")), `${path}: ${resource}`).toBe(true);
    }
  }
});

interface Platform {
  readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly uri: string;
  readonly sha256: string;
  readonly files: readonly { readonly from: string; readonly to: string }[];
  readonly bin: string;
}

test("krew takes the manifest: names, version, checksums, and one platform for each machine", () => {
  const manifest = krewManifest({ version: "1.2.3", url: ADDRESS, sha256: "ab".repeat(32) }) as {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly spec: {
      readonly version: string;
      readonly homepage: string;
      readonly shortDescription: string;
      readonly description: string;
      readonly platforms: readonly Platform[];
    };
  };
  expect(manifest).toMatchObject({ apiVersion: "krew.googlecontainertools.github.com/v1alpha2", kind: "Plugin" });
  const { metadata, spec } = manifest;
  expect(metadata.name).toMatch(/^[\w-]+$/);
  expect(spec.version).toMatch(/^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/);
  expect(spec.homepage).toBe("https://example.com/quorate/quorate");
  expect(spec.shortDescription).toMatch(/^[^\r\n]{1,50}$/);
  expect(spec.description.trim()).not.toBe("");
  const selectors = spec.platforms.map(({ selector }) => JSON.stringify(selector.matchLabels));
  expect(new Set(selectors).size).toBe(selectors.length);
  expect(selectors).toContain('{"os":"linux","arch":"amd64"}');
  for (const { uri, sha256, files, bin } of spec.platforms) {
    expect(uri).toBe(ADDRESS);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    for (const { from, to } of files)
      expect([from, to].filter((path) => /^\/|\.\./.test(path) || path === "")).toEqual([]);
    expect(files.map(({ from }) => from)).toContain(bin);
  }
});

interface Job {
  readonly permissions: Readonly<Record<string, string>>;
  readonly steps: readonly { readonly uses?: string; readonly run?: string }[];
}

test("the workflow runs nothing that can change under its name, and may do no more than it needs", async () => {
  const { permissions, jobs } = load(await readFile(WORKFLOW, "utf8")) as {
    readonly permissions: object;
    readonly jobs: Readonly<Record<string, Job>>;
  };
  expect(permissions).toEqual({});
  const steps = Object.values(jobs).flatMap((job) => job.steps);
  const actions = steps.flatMap(({ uses }) => uses ?? []);
  expect(actions.length).toBeGreaterThan(0);
  expect(actions.filter((uses) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/.test(uses))).toEqual([]);
  expect(Object.values(jobs).map((job) => job.permissions)).toEqual([{ contents: "write", "id-token": "write" }]);
  // What a person can choose, such as the name of a tag, reaches a shell as a variable only.
  expect(steps.filter(({ run = "" }) => run.includes("${{"))).toEqual([]);
  const commands = steps.flatMap(({ run }) => run ?? []).join("\n");
  for (const command of ["npm audit --omit dev", "make test", "make release"]) expect(commands).toContain(command);
});
